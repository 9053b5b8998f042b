"""Test-time views of a stored face; a network's posteriors are averaged over them."""

from collections.abc import Callable
from functools import partial

from torch import Tensor

from agegender.data.transforms.augmentations import resize
from agegender.errors import UserError

View = Callable[[Tensor, int], Tensor]
"""faces (N, S, S, 3), uint8 0..255, and a size -> (N, 3, size, size), 0..255."""


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

VIEWS: dict[str, tuple[View, ...]] = {
    # The whole face, resized (LMT `data.py`, eval_image).
    "resize": (resize,),
    # Levi and Hassner's single crop, of the network's size from a face stored larger.
    "centre_crop": (_CENTRE,),
    # Their over-sampling: the corners and the centre, each mirrored too (Caffe's `oversample`).
    "ten_crop": (*_FIVE, *(partial(mirrored, view=view) for view in _FIVE)),
    # The whole face and its mirror image (DLDL-v2's test).
    "flip": (resize, partial(mirrored, view=resize)),
}


def get_views(name: str) -> tuple[View, ...]:
    """Return the views of this name; UserError when there is none of this name."""
    if name not in VIEWS:
        raise UserError(f"evaluation.views={name} is unknown: choose from {', '.join(VIEWS)}")
    return VIEWS[name]
