"""What a network sees of a stored face: random crops in training, the whole face in evaluation.

Everything works on a whole batch of uint8 faces at once, on whatever device holds them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agegender.data.transforms.jitter import jittered
from agegender.lookup import find

Augmentation = Callable[[Tensor, int, torch.Generator], Tensor]
"""faces uint8 (N, S, S, 3), a size and where numbers are drawn from -> (N, 3, size, size), RGB in 0..255."""


@dataclass(frozen=True)
class Windows:
    """Where a square is cut out of each face, and whether it is mirrored: top, left int64 (N,), flip bool (N,)."""

    top: Tensor
    left: Tensor
    flip: Tensor


def random_windows(count: int, room: int, generator: torch.Generator) -> Windows:
    """Draw a window and a mirror for each of `count` faces, `room` pixels larger than their windows, on the CPU."""
    top, left = torch.randint(0, room + 1, (2, count), generator=generator)
    return Windows(top, left, torch.rand(count, generator=generator) < 0.5)


def cut(faces: Tensor, windows: Windows, size: int) -> Tensor:
    """Cut one window out of each face: uint8 (N, S, S, 3) -> uint8 (N, 3, size, size), its channels last in memory."""
    if faces.device.type != "cpu":
        return cut_by_pixels(faces, windows, size)
    stored = faces.shape[1]
    # Rows of a window are contiguous bytes of a face: they are copied as they are, from any byte as a start.
    starts = (torch.arange(len(faces))[:, None] * stored + windows.top[:, None] + torch.arange(size)) * stored
    starts = (starts + windows.left[:, None]).flatten() * 3
    every = np.lib.stride_tricks.sliding_window_view(faces.numpy().reshape(-1), size * 3)
    crops = torch.from_numpy(every[starts.numpy()]).view(-1, size, size, 3)
    flipped = windows.flip.nonzero().flatten()
    mirrored = crops.index_select(0, flipped).view(-1, size, 3).flip(1)
    return crops.index_copy_(0, flipped, mirrored.view(-1, size, size, 3)).permute(0, 3, 1, 2)


def cut_by_pixels(faces: Tensor, windows: Windows, size: int) -> Tensor:
    """Take pixel by pixel what `cut` copies by rows: on a GPU, where their numbers are made too."""
    top, left, flip = (x[:, None].to(faces.device) for x in (windows.top, windows.left, windows.flip))
    stored, steps = faces.shape[1], torch.arange(size, device=faces.device)
    rows = torch.arange(len(faces), device=faces.device)[:, None] * stored + top + steps
    columns = left + torch.where(flip, size - 1 - steps, steps)
    pixels = (rows[:, :, None] * stored + columns[:, None, :]).flatten()
    return faces.view(-1, 3).index_select(0, pixels).view(-1, size, size, 3).permute(0, 3, 1, 2)


def random_crops(faces: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Cut a random window out of each face and mirror every second: uint8 (N, S, S, 3) -> uint8 (N, 3, size, size)."""
    return cut(faces, random_windows(len(faces), faces.shape[1] - size, generator), size)


AUGMENTATIONS: dict[str, Augmentation] = {
    "crops": random_crops,  # of the LMTCNN family and of Caffe
    "dldl_v2": jittered,
}


def get_augmentation(name: str) -> Augmentation:
    """Return the augmentation of this name, or at `package.module:object`; UserError when there is none."""
    return find(name, AUGMENTATIONS, "augmentation", "recipe.augmentation")


def random_contrast(count: int, bounds: Sequence[float], generator: torch.Generator) -> Tensor:
    """Draw one contrast factor per image, uniform between the bounds: (count,)."""
    low, high = bounds
    return low + (high - low) * torch.rand(count, generator=generator)


def resize(faces: Tensor, size: int) -> Tensor:
    """Shrink whole faces as TensorFlow 1's `resize_images` does (LMT `data.py`, eval_image).

    Bilinear between the two nearest pixels at coordinate i * S / size: no half-pixel centres, no antialiasing.
    faces uint8 (N, S, S, 3) -> float32 (N, 3, size, size) in 0..255.
    """
    stored = faces.shape[1]
    target = torch.arange(size, device=faces.device)
    source = target * (stored / size)
    low = source.floor().long()
    weights = torch.zeros(size, stored, device=faces.device)
    weights[target, low] = 1 - (source - low)
    weights[target, (low + 1).clamp(max=stored - 1)] += source - low
    return weights @ faces.permute(0, 3, 1, 2).to(torch.float32) @ weights.T
