"""What surrounds a drawn face: the background, light and soft shadows, and what a camera adds."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from agegender.datasets.synthetic.traits import Nuisance, Traits

Floats = NDArray[np.floating[Any]]

BACKGROUND_CELLS = 12
SHADE_CELLS = 64  # light and soft shadows vary slowly: computed on this grid and enlarged
SHADE_UNIT = 150  # the byte that stands for factor 1 in the enlarged layer


def draw_background(nuisance: Nuisance, side: int) -> Image.Image:
    """Return a canvas with a gradient, soft patches or stripes."""
    rng = np.random.default_rng(nuisance.seed)
    line = np.linspace(0, 1, BACKGROUND_CELLS)
    across, down = np.meshgrid(line, line)
    angle = nuisance.light[0]
    mixture = 0.5 + 0.5 * (math.cos(angle) * (across - 0.5) + math.sin(angle) * (down - 0.5))
    if nuisance.pattern == 1:
        mixture = mixture + rng.normal(0, 0.35, mixture.shape)
    elif nuisance.pattern == 2:
        mixture = np.where(rng.random(BACKGROUND_CELLS) < 0.5, mixture, 1 - mixture)
    first, second = np.array(nuisance.background)
    colours = first + np.clip(mixture, 0, 1)[..., None] * (second - first)
    method = Image.Resampling.NEAREST if nuisance.pattern == 2 else Image.Resampling.BILINEAR
    return Image.fromarray(colours.astype(np.uint8)).resize((side, side), method)


def shade(traits: Traits, nuisance: Nuisance) -> Floats:
    """Return the light on each pixel of a small grid, (SHADE_CELLS, SHADE_CELLS, 3) factors around 1."""
    grid = (np.arange(SHADE_CELLS, dtype=np.float32) + 0.5) / SHADE_CELLS - 0.5
    across, down = np.meshgrid(grid - nuisance.shift[0], grid - nuisance.shift[1])
    cos, sin = math.cos(nuisance.tilt) / nuisance.scale, math.sin(nuisance.tilt) / nuisance.scale
    x, y = across * cos - down * sin, across * sin + down * cos
    angle, strength = nuisance.light
    light = 1 + strength * np.clip(x * math.cos(angle) + y * math.sin(angle), -1.5, 1.5)
    light -= 0.16 * np.clip((x / traits.width) ** 2 + (y / 1.1) ** 2, 0, 1) ** 2  # the face turns away at its edge
    x = x - 0.45 * math.sin(nuisance.yaw)

    def spot(cx: float, cy: float, rx: float, ry: float) -> Floats:
        distance: Floats = ((np.abs(x) - cx) / rx) ** 2 + ((y - cy) / ry) ** 2  # the same on both sides
        return np.exp(-distance)

    eyes, mouth, apart = traits.eyes, traits.mouth, traits.apart
    light += 0.07 * spot(0, eyes + 0.1, 0.05, 0.25) + 0.05 * spot(0, -0.5, 0.35, 0.25)
    light -= (0.14 - 0.08 * traits.childhood) * spot(apart - 0.04, eyes - 0.08, 0.2, 0.12)
    light -= 0.12 * traits.ageing(3.4) * spot(apart, eyes + 0.17, 0.16, 0.07)
    light -= 0.16 * traits.ageing(4.6) * spot(traits.width * 0.62, mouth - 0.1, 0.13, 0.25)
    light -= 0.1 * spot(0, mouth + 0.15, 0.16, 0.05) + 0.3 * spot(0, 1.13, 0.5, 0.13)
    light += 0.1 * traits.childhood * spot(traits.width * 0.55, eyes + 0.32, 0.18, 0.16)
    blush = (0.05 + 0.1 * traits.childhood + 0.05 * traits.lips) * spot(traits.width * 0.58, eyes + 0.34, 0.2, 0.15)
    return np.stack((light, light - blush, light - 0.8 * blush), axis=2)


def photograph(image: Image.Image, light: Floats, nuisance: Nuisance) -> Image.Image:
    """Return the image under this light as a camera records it: exposure, colour cast, blur and grain."""
    factors = light * np.float32(nuisance.brightness) * np.array(nuisance.cast, np.float32)
    small = Image.fromarray(np.clip(factors * SHADE_UNIT, 0, 255).astype(np.uint8))
    enlarged = np.asarray(small.resize(image.size, Image.Resampling.BILINEAR), np.float32)
    radius = nuisance.blur * image.width
    blurred = image.filter(ImageFilter.GaussianBlur(radius)) if radius > 0.3 else image
    pixels = np.asarray(blurred, np.float32) * enlarged
    pixels *= nuisance.contrast / SHADE_UNIT
    grain = np.random.default_rng(nuisance.seed).standard_normal((*pixels.shape[:2], 1), np.float32)
    pixels += grain * np.float32(nuisance.grain) + np.float32(118 * (1 - nuisance.contrast))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
