"""From pixels to what a network reads: part of the system, the same in training, evaluation, files and timings.

Everything works on a whole batch at once, on whatever device holds it.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from agegender.lookup import find
from agegender.spec import Spec, Text

Positive = Annotated[float, Field(gt=0)]
PER_CHANNEL = Field(strict=False, min_length=3, max_length=3)

AT_ONCE = 8  # faces prepared together on a CPU: what its caches hold


class Preprocessing(Spec):
    """How pixels are prepared: by numbers of each channel, or without a `mean` each image standardised by its own.

    `channels` is the order in which the network reads them, and that of `mean` and `deviation`, which are those of
    pixels (0..255) divided by `divisor`.
    """

    name: Text
    channels: Literal["RGB", "BGR"] = "RGB"
    divisor: Positive = 255.0
    mean: Annotated[tuple[float, ...], PER_CHANNEL] | None = None
    deviation: Annotated[tuple[Positive, ...], PER_CHANNEL] = (1.0, 1.0, 1.0)

    def __call__(self, images: Tensor, contrast: Tensor | None = None) -> Tensor:
        """Change the contrast, then prepare: images (N, 3, H, W), RGB in 0..255 -> float32 of that shape.

        The result has its channels last in memory. `contrast` (N,) scales each channel about its own mean (TensorFlow's
        `adjust_contrast`); nothing is clipped. Both together are one affine map per channel.
        """
        pixels = images.permute(0, 2, 3, 1)
        result = torch.empty(pixels.shape, device=images.device)
        factor = None if contrast is None else contrast.to(images.device)[:, None]
        step = AT_ONCE if images.device.type == "cpu" else len(images)
        for part in (slice(start, start + step) for start in range(0, len(images), step)):
            ordered = pixels[part].flip(3) if self.channels == "BGR" else pixels[part]
            self._apply(result[part].copy_(ordered), None if factor is None else factor[part])
        return result.permute(0, 3, 1, 2)

    def _apply(self, x: Tensor, factor: Tensor | None) -> None:
        """In place, x float32 (N, H, W, 3) and contiguous, factor (N, 1)."""
        if self.mean is None:
            standardize(x, torch.ones(len(x), 1, device=x.device) if factor is None else factor)
        else:
            scale = 1 / (self.divisor * torch.tensor([self.deviation], device=x.device))
            shift = -torch.tensor([self.mean], device=x.device) * self.divisor * scale
            normalize(x, factor, scale, shift)


STANDARDIZE = Preprocessing(name="standardize")


def standardize(x: Tensor, factor: Tensor) -> None:
    """Change the contrast by `factor`, then give each image mean 0 and deviation 1 over all its pixels and channels.

    The deviation is at least 1/sqrt(3HW) on the 0..1 scale (TensorFlow's `per_image_standardization`). The map is made
    from each channel's sum and sum of squares. A brightness shift before it would cancel exactly, so LMT `data.py`'s
    random_brightness needs no arithmetic here. In place; whole rows of pixels at a time, as they vectorise.
    """
    count, height, width, channels = x.shape
    rows = x.view(count, height, width * channels)
    sums = (y.sum(1).view(count, width, channels).sum(1) for y in (rows, rows.square()))
    mean, square = (y / (height * width) for y in sums)
    variance = (square - mean.square()).clamp(min=0)
    centre = mean.mean(1, keepdim=True)
    total = (factor.square() * variance).mean(1, keepdim=True) + (mean - centre).square().mean(1, keepdim=True)
    deviation = total.sqrt().clamp(min=255.0 / x[0].numel() ** 0.5)
    shift = ((mean * (1 - factor) - centre) / deviation).repeat(1, width)
    torch.addcmul(shift[:, None], rows, (factor / deviation)[:, :, None], out=rows)


def normalize(x: Tensor, factor: Tensor | None, scale: Tensor, shift: Tensor) -> None:
    """Change the contrast by `factor` where there is one, then x * scale + shift, (1, 3) each. In place, as above."""
    count, height, width, channels = x.shape
    rows = x.view(count, height, width * channels)
    if factor is not None:
        mean = rows.sum(1).view(count, width, channels).sum(1) / (height * width)
        scale, shift = factor * scale, shift + mean * (1 - factor) * scale
    torch.addcmul(shift.repeat(1, width)[:, None], rows, scale.repeat(1, width)[:, None], out=rows)


def get_preprocessing(given: Mapping[str, Any]) -> Preprocessing:
    """Return the preprocessing that a system's settings describe; UserError for a value none can have.

    With `name` as in `package.module:object` that `Preprocessing` is meant, but for the values that are given too.
    """
    where, name = "system.preprocessing", str(given.get("name"))
    if ":" not in name:
        return Preprocessing.read(given, where)
    own: dict[str, Preprocessing] = {}  # others are described by their values alone
    found = find(name, own, "preprocessing", f"{where}.name", lambda found: isinstance(found, Preprocessing))
    return type(found).read({**found.model_dump(), **given, "name": found.name}, where)
