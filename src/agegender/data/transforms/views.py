"""Test-time views of a stored face; a network's posteriors are averaged over them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from agegender.data.transforms.augmentations import resize
from agegender.lookup import find

View = Callable[[Tensor, int], Tensor]
"""faces (N, S, S, 3), uint8 0..255, and a size -> (N, 3, size, size), 0..255."""


@dataclass(frozen=True)
class Views:
    """What is seen of a face in a test: `each` view of it, and what they are, in a sentence for exported files."""

    each: tuple[View, ...]
    meaning: str


def crop(faces: Tensor, size: int, *, top: float, left: float) -> Tensor:
    """Cut a square out of each face; `top` and `left` are 0 at one border and 1 at the other, rounded down."""
    room = faces.shape[1] - size
    row, column = int(top * room), int(left * room)
    return faces[:, row : row + size, column : column + size].permute(0, 3, 1, 2)


def mirrored(faces: Tensor, size: int, *, view: View) -> Tensor:
    """Return a view of each face in the mirror."""
    return view(faces, size).flip(3)


_CENTRE: View = partial(crop, top=0.5, left=0.5)
_FIVE: tuple[View, ...] = (*(partial(crop, top=top, left=left) for top in (0, 1) for left in (0, 1)), _CENTRE)

VIEWS = {
    # LMT `data.py`, eval_image.
    "resize": Views((resize,), "the whole face"),
    # Levi and Hassner's single crop, of the network's size from a face stored larger.
    "centre_crop": Views((_CENTRE,), "the central square"),
    # Their over-sampling (Caffe's `oversample`).
    "ten_crop": Views(
        (*_FIVE, *(partial(mirrored, view=view) for view in _FIVE)),
        "corners and centre, each mirrored too, one at a time; the mean of the ten posteriors is the answer",
    ),
    # DLDL-v2's test.
    "flip": Views(
        (resize, partial(mirrored, view=resize)),
        "the whole face and its mirror image, one at a time; the mean of both posteriors is the answer",
    ),
}


def find_views(name: str) -> Views:
    """Return the `Views` of this name, or at `package.module:object`; UserError when there are none."""
    return find(name, VIEWS, "set of views", "evaluation.views", lambda found: isinstance(found, Views))


def get_views(name: str) -> tuple[View, ...]:
    """Return the views of this name, one function for each; UserError as from `find_views`."""
    return find_views(name).each
