"""Whom a drawn face shows (traits) and how it was photographed (nuisance).

The cues are invented so that networks find something to learn; they are tendencies, overlap between neighbouring age
groups and between the annotated genders, and say nothing about people.

Lengths are in head units: the middle of the head is the origin, the crown is at y = -1 and the chin at y = +1.
"""

from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]

SKIN: tuple[Colour, ...] = ((250, 220, 196), (238, 192, 156), (208, 154, 114), (158, 106, 74), (108, 72, 54))
HAIR: tuple[Colour, ...] = ((34, 28, 26), (66, 46, 34), (104, 72, 46), (150, 78, 42), (198, 160, 100))
IRIS: tuple[Colour, ...] = ((62, 42, 28), (92, 66, 36), (78, 110, 76), (74, 112, 150))
GREY: Colour = (208, 206, 202)
# The years at which a face shows one of Adience's eight groups most clearly: the middle of each group's range.
GROUP_YEARS = (1.0, 5.0, 10.0, 17.5, 28.5, 40.5, 50.5, 72.0)


def clip(value: float, low: float = 0.0, high: float = 1.0) -> float:
    """Return the nearest value in `low` .. `high`."""
    return float(min(max(value, low), high))


@dataclass(frozen=True)
class Traits:
    """What a subject keeps from one photograph to the next."""

    age: float  # apparent age on the scale of the groups: 0 is the middle of 0-2, 7 the middle of 60+
    skin: Colour
    hair: Colour
    iris: Colour
    clothes: Colour
    width: float  # half the head's width, head units
    jaw: float  # 0 pointed .. 1 square
    hair_length: float  # 0 cropped .. 1 over the shoulders
    hair_volume: float
    fringe: float
    recession: float  # 0 full hair .. 1 bald crown
    brow: float
    lips: float
    lashes: float
    beard: float
    wrinkles: float
    glasses: bool
    seed: int

    @property
    def childhood(self) -> float:
        """From 1 in the first year to 0 for the grown-up."""
        return clip(1 - (self.age + 0.3) / 3.6)

    @property
    def apart(self) -> float:
        """How far each eye's middle is from the middle of the face."""
        return 0.46 * self.width

    @property
    def eyes(self) -> float:
        """The height of the eyes: low in a child's face."""
        return -0.04 + 0.2 * self.childhood

    @property
    def mouth(self) -> float:
        """The height at which the lips meet."""
        return self.eyes + 0.66 - 0.15 * self.childhood

    def ageing(self, start: float) -> float:
        """From 0 at the age `start` (scale of the groups) to about 1 in the last group, by the subject's wrinkles."""
        return clip((self.age - start) / (7 - start), 0, 1.2) * self.wrinkles


@dataclass(frozen=True)
class Nuisance:
    """What differs between photographs of one subject."""

    shift: tuple[float, float]  # fractions of the image
    scale: float  # half the head's height, fraction of the image
    tilt: float  # radians
    yaw: float  # radians
    light: tuple[float, float]  # the side the light comes from, strength of the gradient
    brightness: float
    contrast: float
    cast: Colour  # factor on each channel
    background: tuple[Colour, Colour]
    pattern: int  # 0 gradient, 1 patches, 2 stripes
    smile: float
    mouth_open: float
    gaze: float
    blur: float  # Gaussian radius, fraction of the image
    grain: float  # standard deviation, grey levels
    quality: int  # of the JPEG
    seed: int


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Return the colour that lies `share` (0..1) of the way from `first` to `second`."""
    t = clip(share)
    red, green, blue = (a + (b - a) * t for a, b in zip(first, second, strict=True))
    return red, green, blue


def any_colour(rng: np.random.Generator, low: float, high: float) -> Colour:
    """Return a colour with each channel between `low` and `high`."""
    red, green, blue = rng.uniform(low, high, 3).tolist()
    return red, green, blue


def draw_traits(rng: np.random.Generator, years: float, gender: int) -> Traits:
    """Return a subject of this age in years and annotated gender (0 m, 1 f): everything else comes from `rng`."""
    # Nobody looks exactly their age: the error is a third of a group, so that neighbouring groups overlap.
    age = float(np.interp(years, GROUP_YEARS, range(8)) + rng.normal(0, 0.3))
    grown = clip((age + 0.2) / 3.4, 0.08, 1)
    # How strongly the tendencies of the annotated gender show: weak in babies, and some subjects show the other's.
    lean = float((2 * gender - 1) * rng.normal(1, 0.55)) * grown
    tone = rng.beta(1.1, 1.7)
    skin = mix(SKIN[int(tone * 4)], SKIN[int(tone * 4) + 1], tone * 4 % 1)
    hair = HAIR[int(rng.choice(5, p=(0.75, 0.25, 0, 0, 0) if tone > 0.55 else (0.2, 0.27, 0.25, 0.06, 0.22)))]
    hair = mix(
        mix(hair, (226, 190, 132), 0.35 * (1 - grown) * (tone < 0.55)), GREY, (age - 4.6 + rng.normal(0, 0.5)) / 2.4
    )
    bearded = lean < 0 and age > 2.8 and rng.random() < 0.6
    return Traits(
        age=age,
        skin=mix(skin, any_colour(rng, 90, 230), 0.05),
        hair=hair,
        iris=IRIS[int(rng.integers(0, 2 if tone > 0.5 else 4))],
        clothes=any_colour(rng, 25, 230),
        width=0.72 + 0.19 * clip(1 - age / 3.5) - 0.012 * lean + rng.normal(0, 0.022),
        jaw=clip(0.45 - 0.16 * lean + rng.normal(0, 0.14)),
        hair_length=clip(0.36 * grown + 0.3 * lean - 0.02 * max(age - 4, 0) + rng.normal(0, 0.2)),
        hair_volume=clip(rng.normal(0.2 + 0.5 * grown, 0.22), 0.05, 1),
        fringe=clip(rng.normal(0.3 + 0.1 * lean, 0.35)),
        recession=clip((age - 3.4) / 3.6) * clip(rng.normal(0.35 - 0.35 * lean, 0.25)),
        brow=clip(0.5 - 0.17 * lean + rng.normal(0, 0.15), 0.1, 1),
        lips=clip(0.3 + 0.2 * lean + rng.normal(0, 0.17)),
        lashes=clip(0.35 + 0.25 * lean + rng.normal(0, 0.2)),
        beard=float(rng.uniform(0.2, 1)) if bearded else 0.0,
        wrinkles=clip(rng.normal(1, 0.2), 0.4, 1.5),
        glasses=bool(rng.random() < 0.05 + 0.04 * max(age - 1, 0)),
        seed=int(rng.integers(2**32)),
    )  # fmt: skip


def draw_nuisance(rng: np.random.Generator) -> Nuisance:
    """Return the circumstances of one photograph."""
    return Nuisance(
        shift=(float(rng.normal(0, 0.018)), float(rng.normal(0.02, 0.018))),
        scale=float(rng.normal(0.335, 0.016)),
        tilt=float(rng.normal(0, 0.07)),
        yaw=clip(rng.normal(0, 0.22), -0.6, 0.6),
        light=(float(rng.uniform(-np.pi, np.pi)), float(rng.uniform(0, 0.32))),
        brightness=float(rng.normal(1, 0.1)),
        contrast=float(rng.uniform(0.75, 1.15)),
        cast=(float(rng.normal(1, 0.045)), 1.0, float(rng.normal(1, 0.045))),
        background=(
            mix(any_colour(rng, 20, 240), GREY, rng.random()),
            mix(any_colour(rng, 20, 240), GREY, rng.random()),
        ),
        pattern=int(rng.integers(3)),
        smile=float(rng.normal(0.45, 0.4)),
        mouth_open=float(max(rng.normal(0, 0.5), 0)),
        gaze=float(rng.normal(0, 0.25)),
        blur=float(max(rng.normal(0.001, 0.003), 0)),
        grain=float(rng.gamma(2, 1.3)),
        quality=int(rng.integers(72, 96)),
        seed=int(rng.integers(2**32)),
    )
