"""What a network sees of a stored face: random looks in training, the whole face in evaluation, standardised.

Everything works on a whole batch of uint8 faces at once, on whatever device holds them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def random_crop_flip(faces: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Cut a random square out of each face and mirror half of them.

    faces uint8 (N, S, S, 3) -> uint8 (N, 3, size, size); `generator` lives on the CPU whatever the device.
    """
    count, stored = faces.shape[0], faces.shape[1]
    top, left = torch.randint(0, stored - size + 1, (2, count, 1), generator=generator)
    flip = torch.rand(count, 1, generator=generator) < 0.5
    steps = torch.arange(size)
    rows = torch.arange(count)[:, None] * stored + top + steps
    columns = left + torch.where(flip, steps.flip(0), steps)
    pixels = (rows[:, :, None] * stored + columns[:, None, :]).flatten().to(faces.device)
    return faces.view(-1, 3).index_select(0, pixels).view(count, size, size, 3).permute(0, 3, 1, 2)


def standardize(images: Tensor, contrast: Tensor | None = None) -> Tensor:
    """Change the contrast, then give each image mean 0 and deviation 1 over all its pixels and channels.

    images (N, 3, H, W) in 0..255 -> float32 (N, 3, H, W). `contrast` (N,) scales each channel about its own mean
    (TensorFlow's `adjust_contrast`). The deviation is at least 1/sqrt(3HW) on the 0..1 scale (TensorFlow's
    `per_image_standardization`). Both together are one affine map per channel, from its sum and sum of squares.
    A brightness shift before them would cancel exactly, so LMT `data.py`'s random_brightness needs no arithmetic here.
    """
    x = images.to(torch.float32, memory_format=torch.contiguous_format)
    pixels = x.flatten(2)
    mean = pixels.mean(2)
    variance = (torch.linalg.vector_norm(pixels, dim=2).square() / pixels.shape[2] - mean.square()).clamp(min=0)
    factor = torch.ones_like(mean[:, :1]) if contrast is None else contrast.to(x.device)[:, None]
    centre = mean.mean(1, keepdim=True)
    total = (factor.square() * variance).mean(1, keepdim=True) + (mean - centre).square().mean(1, keepdim=True)
    deviation = total.sqrt().clamp(min=255.0 / x[0].numel() ** 0.5)
    shift = (mean * (1 - factor) - centre) / deviation
    return torch.addcmul(shift[:, :, None, None], x, (factor / deviation)[:, :, None, None])


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
