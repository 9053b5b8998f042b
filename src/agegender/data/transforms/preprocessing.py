"""From pixels to what a network reads: part of the system, the same in training, evaluation, files and timings.

Everything works on a whole batch at once, on whatever device holds it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from agegender.errors import UserError
from agegender.registry import find

AT_ONCE = 8  # faces prepared together on a CPU: what its caches hold


@dataclass(frozen=True)
class Preprocessing:
    """How pixels are prepared: by numbers of each channel, or without a `mean` each image standardised by its own.

    `channels` is the order in which the network reads them, "RGB" or "BGR", and that of `mean` and `deviation`, which
    are those of pixels (0..255) divided by `divisor`.
    """

    name: str
    channels: str = "RGB"
    divisor: float = 255.0
    mean: tuple[float, ...] | None = None
    deviation: tuple[float, ...] = (1.0, 1.0, 1.0)

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


STANDARDIZE = Preprocessing("standardize")


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
    """Return the preprocessing that a system's configuration describes; UserError for a value none can have.

    With `name` as in `package.module:object` that `Preprocessing` is meant, but for the values that are given too.
    """
    known = [field.name for field in fields(Preprocessing)]
    if unknown := given.keys() - set(known):
        raise UserError(f"there is no setting 'system.preprocessing.{min(unknown)}': choose from {', '.join(known)}")
    values = {name: value for name, value in given.items() if name != "name"}
    for name in ("mean", "deviation"):
        if (numbers := values.get(name)) is not None:
            if not isinstance(numbers, list) or [isinstance(x, int | float) for x in numbers] != [True] * 3:
                raise UserError(f"system.preprocessing.{name}={numbers} must be three numbers, one of each channel")
            values[name] = tuple(map(float, numbers))
    if not isinstance(values.get("divisor", 1), int | float):
        raise UserError(f"system.preprocessing.divisor={values['divisor']} must be a number")
    found = replace(_named(given["name"]), **values)
    if found.channels not in ("RGB", "BGR"):
        raise UserError(f"system.preprocessing.channels={found.channels} is unknown: choose RGB or BGR")
    for name, number in (("divisor", found.divisor), ("deviation", min(found.deviation))):
        if not number > 0:
            raise UserError(f"system.preprocessing.{name}={given[name]} must be above 0: pixels are divided by it")
    return found


def _named(name: str) -> Preprocessing:
    if ":" not in name:
        return Preprocessing(name)
    return find(name, {}, "preprocessing", "system.preprocessing.name", lambda found: isinstance(found, Preprocessing))
