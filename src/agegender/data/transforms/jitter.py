"""DLDL-v2's augmentation in training: mirrored, grey, blurred, rotated, in other colours (gaobb/DLDL-v2)."""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

GREY = (0.299, 0.587, 0.114)  # of R, G, B: `datasets/transforms.lua`
ANGLE = 15.0  # degrees to either side: `Rotation(30)`
COLOUR = 0.4  # brightness, contrast and saturation are 1 - COLOUR to 1 + COLOUR


@dataclass(frozen=True)
class Jitter:
    """What is drawn, (N,) each: flip, grey bool; scale int64, in pixels; angle in radians; the rest are factors."""

    flip: Tensor
    grey: Tensor
    scale: Tensor
    angle: Tensor
    brightness: Tensor
    contrast: Tensor
    saturation: Tensor


def random_jitter(count: int, size: int, generator: torch.Generator) -> Jitter:
    """Draw for `count` faces seen at `size` pixels; the authors' scale of 112 to 224 is from half the size to all."""
    flip, grey = torch.rand(2, count, generator=generator) < 0.5
    scale = torch.randint(size // 2, size + 1, (count,), generator=generator)
    angle = math.radians(ANGLE) * (2 * torch.rand(count, generator=generator) - 1)
    colours = 1 + COLOUR * (2 * torch.rand(3, count, generator=generator) - 1)
    return Jitter(flip, grey, scale, angle, *colours)


def jittered(faces: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Draw and apply: uint8 (N, S, S, 3) -> float32 (N, 3, size, size), in 0..255 but for what colours push beyond it.

    Nothing is clipped, as in the authors' code. They rotate a face while it is small, here it is rotated at its size.
    """
    jitter = random_jitter(len(faces), size, generator)
    images = blurred(faces.permute(0, 3, 1, 2).to(torch.float32), size, jitter.scale)
    return coloured(rotated(images, jitter.angle, jitter.flip), jitter)


def blurred(images: Tensor, size: int, scale: Tensor) -> Tensor:
    """Resize (N, 3, S, S) to `scale` (N,) pixels and from there to `size`: (N, 3, size, size), no antialiasing."""
    matrices = _resizings(images.shape[-1], size)[scale - size // 2].to(images.device)[:, None]
    return torch.matmul(torch.matmul(matrices, images), matrices.mT)


@lru_cache(maxsize=2)
def _resizings(stored: int, size: int) -> Tensor:
    """For each scale from half the size to all, the matrix (size, stored) that resizes a row there and back."""
    return torch.stack([cubic(scale, size) @ cubic(stored, scale) for scale in range(size // 2, size + 1)])


def cubic(source: int, target: int) -> Tensor:
    """Return the matrix (target, source) of Torch7's bicubic `image.scale`: torch/image `generic/image.c`.

    Corners fall on corners, a cubic goes through four neighbours (Catmull-Rom), and beyond a border goes on as a line.
    """
    position = torch.arange(target) * ((source - 1) / (target - 1))
    low = position.floor().long().clamp(max=source - 2)
    f = position - low
    near = [-f / 2 + f**2 - f**3 / 2, 1 - 2.5 * f**2 + 1.5 * f**3, f / 2 + 2 * f**2 - 1.5 * f**3, (f**3 - f**2) / 2]
    wide = torch.zeros(target, source + 2)  # with a neighbour beyond either border
    for offset, weight in enumerate(near):
        wide[torch.arange(target), low + offset] = weight
    matrix = wide[:, 1:-1].clone()
    for beyond, border, inner in ((0, 0, 1), (-1, -1, -2)):
        matrix[:, border] += 2 * wide[:, beyond]
        matrix[:, inner] -= wide[:, beyond]
    return matrix


def rotated(images: Tensor, angle: Tensor, flip: Tensor) -> Tensor:
    """Mirror (N, 3, S, S) where `flip` says so, then turn by `angle` about the middle; corners become black."""
    cosine, sine, mirror = torch.cos(angle), torch.sin(angle), 1 - 2 * flip.to(torch.float32)
    rows = torch.stack([mirror * cosine, -mirror * sine, sine, cosine], 1).view(-1, 2, 2)
    theta = F.pad(rows, (0, 1)).to(images.device)  # no shift
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def coloured(images: Tensor, jitter: Jitter) -> Tensor:
    """Make grey, then change saturation (towards the pixel's grey), contrast (towards the image's) and brightness.

    The authors do the three in random order. Each is linear and none moves what the others move towards, so every order
    gives the same; grey is saturation 0, and stays so.
    """
    saturation = torch.where(jitter.grey, 0, jitter.saturation)
    factors = torch.stack([saturation, jitter.contrast, jitter.brightness]).to(images.device)
    s, c, b = factors[:, :, None, None, None]
    grey = (images * torch.tensor(GREY, device=images.device)[:, None, None]).sum(1, keepdim=True)
    result: Tensor = b * c * s * images + b * c * (1 - s) * grey + b * (1 - c) * grey.mean((2, 3), keepdim=True)
    return result
