"""What a network sees of a stored face: random looks in training, the whole face in evaluation, standardised.

Everything works on a whole batch of uint8 faces at once, on whatever device holds them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def random_crop_flip(faces: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Cut a random square out of each face and mirror half of them.

    faces uint8 (N, S, S, 3) -> uint8 (N, size, size, 3); `generator` lives on the CPU whatever the device.
    """
    count, stored = faces.shape[0], faces.shape[1]
    top, left = torch.randint(0, stored - size + 1, (2, count, 1), generator=generator)
    flip = torch.rand(count, 1, generator=generator) < 0.5
    steps = torch.arange(size)
    rows = top + steps
    columns = left + torch.where(flip, steps.flip(0), steps)
    face = torch.arange(count)[:, None, None]
    index = tuple(i.to(faces.device) for i in (face, rows[:, :, None], columns[:, None, :]))
    return faces[index]


def standardize(images: Tensor, contrast: Tensor | None = None) -> Tensor:
    """Change the contrast, then give each image mean 0 and deviation 1 over all its pixels and channels.

    images (N, H, W, 3) in 0..255 -> float32 (N, 3, H, W), stored channels-last. `contrast` (N,) scales each channel
    about its own mean (TensorFlow's `adjust_contrast`). The deviation is at least 1/sqrt(3HW) on the 0..1 scale
    (TensorFlow's `per_image_standardization`). Both are one affine map per channel, computed from its mean and variance.
    A brightness shift before them would cancel exactly, so LMT `data.py`'s random_brightness needs no arithmetic here.
    """
    x = images.permute(0, 3, 1, 2).to(torch.float32)
    variance, mean = torch.var_mean(x, dim=(2, 3), correction=0)
    factor = torch.ones(x.shape[0], 1, device=x.device) if contrast is None else contrast.to(x.device)[:, None]
    centre = mean.mean(1, keepdim=True)
    total = (factor.square() * variance).mean(1, keepdim=True) + (mean - centre).square().mean(1, keepdim=True)
    smallest = 255.0 / (x[0].numel() ** 0.5)
    scale = factor / total.sqrt().clamp(min=smallest)
    shift = (mean - centre) / total.sqrt().clamp(min=smallest) - scale * mean
    return x.mul_(scale[:, :, None, None]).add_(shift[:, :, None, None])


def random_contrast(count: int, bounds: Sequence[float], generator: torch.Generator) -> Tensor:
    """Draw one contrast factor per image, uniform between the bounds: (count,)."""
    low, high = bounds
    return low + (high - low) * torch.rand(count, generator=generator)


def resize(faces: Tensor, size: int) -> Tensor:
    """Shrink whole faces as TensorFlow 1's `resize_images` does (LMT `data.py`, eval_image).

    Bilinear between the two nearest pixels at coordinate i * S / size: no half-pixel centres, no antialiasing.
    faces uint8 (N, S, S, 3) -> float32 (N, size, size, 3) in 0..255.
    """
    stored = faces.shape[1]
    source = torch.arange(size, device=faces.device) * (stored / size)
    low = source.floor().long()
    high = (low + 1).clamp(max=stored - 1)
    weight = (source - low).to(torch.float32)
    rows = torch.lerp(faces[:, low].float(), faces[:, high].float(), weight[:, None, None])
    return torch.lerp(rows[:, :, low], rows[:, :, high], weight[:, None])
