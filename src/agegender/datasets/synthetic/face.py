"""The drawing of one face, feature by feature, in head units (see `pen`)."""

import numpy as np
from PIL import Image

from agegender.datasets.synthetic.camera import draw_background, photograph, shade
from agegender.datasets.synthetic.pen import Pen, Points, bend, bernstein, both, closed, oval
from agegender.datasets.synthetic.traits import GREY, Colour, Nuisance, Traits, mix

BLACK: Colour = (12, 10, 10)
WHITE: Colour = (242, 238, 233)


def draw_face(traits: Traits, nuisance: Nuisance, size: int) -> Image.Image:
    """Return the face as an RGB image of `size` x `size` pixels; the same arguments give the same pixels.

    Shapes are drawn at twice the size and averaged, since Pillow's polygons have hard edges.
    """
    canvas = draw_background(nuisance, 2 * size)
    pen = Pen(canvas, traits, nuisance)
    draw_body(pen, traits)
    draw_head(pen, traits)
    draw_wrinkles(pen, traits)
    draw_eyes(pen, traits, nuisance)
    draw_brows(pen, traits)
    draw_nose(pen, traits)
    draw_beard(pen, traits)
    draw_mouth(pen, traits, nuisance)
    draw_hair(pen, traits)
    if traits.glasses:
        draw_glasses(pen, traits)
    return photograph(canvas.reduce(2), shade(traits, nuisance), nuisance)


def outline(traits: Traits) -> Points:
    """Return the right half of the head's outline from the crown to the chin."""
    angle = np.linspace(0, np.pi, 30)
    y = -np.cos(angle)
    low = np.clip(y, 0, 1)
    rounded = np.sin(angle) ** (0.92 - 0.36 * traits.jaw * low)
    taper = 1 - (0.26 - 0.1 * traits.jaw) * low**2
    cheeks = (0.1 * traits.childhood + 0.05 * traits.ageing(4.5)) * np.exp(-(((y - 0.5) / 0.28) ** 2))
    return np.column_stack((traits.width * rounded * (taper + cheeks), y))


def hair_height(traits: Traits) -> float:
    """Return how far the hair stands off the head."""
    return 0.03 + 0.15 * traits.hair_volume * (1 - 0.8 * traits.recession)


def hair_ends(traits: Traits) -> float:
    """Return the height down to which the hair falls at the sides."""
    return -0.5 + 2.1 * traits.hair_length if traits.hair_length > 0.35 else 0.05


def draw_body(pen: Pen, traits: Traits) -> None:
    """Draw the hair behind the head, then clothes and neck."""
    ends = hair_ends(traits)
    if ends > 0.05:
        side = traits.width + hair_height(traits)
        crown = oval(0, -0.25, side, 0.75 + hair_height(traits), -np.pi / 2, 0)
        tips = bend((side, -0.25), (1.15 * side, ends), (0.3, ends + 0.08))
        pen.shape(closed(np.concatenate((crown, tips))), mix(traits.hair, BLACK, 0.15), flat=True)
    shoulder = 1.7 - 0.55 * traits.childhood + 0.2 * traits.jaw
    neck = traits.width * (0.62 + 0.2 * traits.jaw * (1 - traits.childhood))
    clothes = np.array(((neck, 1.2), (0.75 * shoulder, 1.42), (shoulder, 1.75), (shoulder, 3.2)))
    pen.shape(closed(clothes), traits.clothes, flat=True)
    throat = np.array(((neck, 0.4), (neck, 1.1), (0.8 * neck, 1.34), (0.2, 1.5)))
    pen.shape(closed(throat), mix(traits.skin, (90, 40, 30), 0.18), flat=True)


def draw_head(pen: Pen, traits: Traits) -> None:
    """Draw ears and the face without features."""
    for ear in both(oval(traits.width * 0.97, traits.eyes + 0.14, 0.1, 0.2)):
        pen.shape(ear, mix(traits.skin, (150, 60, 50), 0.15), flat=True)
    pen.shape(closed(outline(traits)), traits.skin, flat=True)


def draw_wrinkles(pen: Pen, traits: Traits) -> None:
    """Draw the lines of age, which begin one after the other and deepen, and the spots of youth and old age."""
    crease = mix(traits.skin, (70, 30, 20), 0.55)
    eyes, mouth, corner = traits.eyes, traits.mouth, traits.apart + 0.17
    for row, start in enumerate((4.3, 4.9, 3.9, 5.5)):
        y = eyes - 0.34 - 0.085 * row
        pen.line(bend((-0.36, y + 0.02), (0, y - 0.04), (0.36, y + 0.02)), crease, 0.018, 0.75 * traits.ageing(start))
    bag = bend((traits.apart - 0.12, eyes + 0.1), (traits.apart, eyes + 0.2), (traits.apart + 0.12, eyes + 0.1))
    fold = bend((0.15, eyes + 0.4), (0.31, mouth - 0.14), (0.29, mouth + 0.06))
    droop = bend((0.24, mouth + 0.08), (0.29, mouth + 0.16), (0.27, mouth + 0.27))
    feet = [bend((corner, eyes + 0.02 * k), (corner + 0.05, eyes + 0.04 * k), (corner + 0.11, eyes + 0.085 * k), n=5)
            for k in (-1, 0, 1)]  # fmt: skip
    for curve, start in ((fold, 3.3), (bag, 3.7), (droop, 5.1), *((foot, 4.5) for foot in feet)):
        for side in both(curve):
            pen.line(side, crease, 0.02, 0.8 * traits.ageing(start))
    rng = np.random.default_rng(traits.seed)
    pimples, stains = int(7 * max(0, 1 - abs(traits.age - 3) / 1.1)), int(9 * traits.ageing(5.6))
    for count, colour, middle in ((pimples, (190, 70, 60), 0.3), (stains, (110, 70, 50), -0.3)):
        for x, y in rng.uniform((-0.5, middle - 0.3), (0.5, middle + 0.3), (count, 2)):
            pen.shape(oval(x, y, 0.022, 0.02, n=8), colour, 0.4)


def draw_eyes(pen: Pen, traits: Traits, nuisance: Nuisance) -> None:
    """Draw eyes with lids and lashes."""
    y, wide = traits.eyes, 0.135 + 0.03 * traits.childhood
    high = (0.068 + 0.035 * traits.childhood - 0.02 * traits.ageing(4)) * (1 - 0.12 * nuisance.smile)
    lashes = 0.018 + 0.03 * traits.lashes * (1 - 0.4 * traits.childhood)
    dark = mix(traits.skin, (40, 22, 18), 0.75)
    for x in (-traits.apart, traits.apart):
        pupil = x + 0.1 * nuisance.gaze
        pen.shape(oval(x, y, wide, high), WHITE)
        pen.shape(oval(pupil, y, high, high), traits.iris)
        pen.shape(oval(pupil, y, 0.5 * high, 0.5 * high), BLACK)
        pen.shape(oval(pupil + 0.02, y - 0.025, 0.014, 0.014, n=8), WHITE)
        lid = oval(x, y, wide * 1.04, high * 1.05, np.pi, 2 * np.pi, 12)
        pen.line(lid, dark, lashes)
        pen.line(lid - (0, 0.045), dark, 0.012, 0.35)
        pen.line(oval(x, y, wide, high, 0, np.pi, 10), dark, 0.01, 0.5)


def draw_brows(pen: Pen, traits: Traits) -> None:
    """Draw the brows, faint and thin in childhood."""
    x, wide = traits.apart, 0.14
    y = traits.eyes - 0.19 - 0.02 * traits.lashes + 0.03 * traits.brow
    colour = mix(mix(traits.hair, BLACK, 0.25), traits.skin, 0.15 + 0.35 * traits.childhood)
    thick = 0.028 + 0.07 * traits.brow * (1 - 0.6 * traits.childhood)
    for brow in both(bend((x - wide, y + 0.03), (x + 0.02, y - 0.06), (x + 1.35 * wide, y + 0.05))):
        pen.line(brow, colour, thick)


def draw_nose(pen: Pen, traits: Traits) -> None:
    """Draw one side of the nose, its tip and the nostrils."""
    top, tip = traits.eyes + 0.02, traits.eyes + 0.42 - 0.14 * traits.childhood
    wide = 0.11 + 0.02 * traits.jaw + 0.015 * traits.ageing(4)
    shadow = mix(traits.skin, (70, 30, 20), 0.4)
    bridge = bend((0.07, top), (0.05, top + 0.18), (wide, tip - 0.02))
    pen.line(bridge, shadow, 0.02, 0.45 * (1 - 0.6 * traits.childhood))
    pen.line(bend((-wide, tip), (0, tip + 0.09), (wide, tip)), shadow, 0.022, 0.8)
    for nostril in both(oval(wide * 0.5, tip + 0.025, 0.03, 0.017, n=10)):
        pen.shape(nostril, mix(shadow, BLACK, 0.4), 0.85)


def draw_mouth(pen: Pen, traits: Traits, nuisance: Nuisance) -> None:
    """Draw lips, and teeth where the mouth is open."""
    y = traits.mouth
    half = (0.2 + 0.035 * nuisance.smile) * (1 - 0.15 * traits.childhood)
    left, right = (-half, y - 0.05 * nuisance.smile), (half, y - 0.05 * nuisance.smile)
    full = (0.05 + 0.035 * traits.lips) * (1 - 0.3 * traits.ageing(4.5))
    opened = 0.12 * nuisance.mouth_open + 0.06 * nuisance.smile
    natural = mix(traits.skin, (160, 60, 60), 0.45)
    colour = mix(natural, (200, 30, 60), 0.75 * traits.lips * (1 - traits.childhood))
    upper, lower = bend(left, (0, y - 2.4 * full), right), bend(right, (0, y + 2.6 * full + opened), left)
    pen.shape(np.concatenate((upper, lower)), colour)
    teeth = nuisance.mouth_open > 0.33 and traits.age > 0.3
    gap = np.concatenate((bend(left, (0, y - 0.03), right), bend(right, (0, y + 0.02 + opened), left)))
    pen.shape(gap * (0.9, 1), WHITE if teeth else mix(colour, (60, 15, 20), 0.7))


def draw_beard(pen: Pen, traits: Traits) -> None:
    """Draw a beard along the jaw and a moustache, from a shadow to full growth."""
    if not traits.beard:
        return
    colour, alpha = mix(traits.hair, traits.skin, 0.15), 0.12 + 0.75 * traits.beard**2
    mouth, half = traits.mouth, outline(traits)
    jaw = half[half[:, 1] > 0.2] * (0.985, 1)
    inner = bend((0, mouth + 0.13), (traits.width * 0.62, mouth + 0.05), (traits.width * 0.84, 0.2))
    pen.shape(closed(np.concatenate((inner, jaw))), colour, alpha, flat=True)
    moustache = (bend((-0.27, mouth + 0.08), (0, mouth - 0.32), (0.27, mouth + 0.08)),
                 bend((0.21, mouth + 0.08), (0, mouth - 0.2), (-0.21, mouth + 0.08)))  # fmt: skip
    pen.shape(np.concatenate(moustache), colour, alpha)


def draw_hair(pen: Pen, traits: Traits) -> None:
    """Draw the hair on top and at the temples as a band between the hairline and the outer contour, with strands."""
    u = np.linspace(-1, 1, 31)
    temple = min(0.35, hair_ends(traits))
    front = -0.6 - 0.42 * traits.recession + 0.28 * max(traits.fringe - 0.5, 0) - 0.1 * traits.childhood
    hairline = front + (temple - front) * np.abs(u) ** (4 - 1.5 * traits.recession)
    inner = np.column_stack((0.95 * traits.width * u, hairline))
    angle, height = u * (np.pi / 2 + 0.12), hair_height(traits)
    outer = np.column_stack(((traits.width + 0.6 * height) * np.sin(angle), -(1 + height) * np.cos(angle)))
    outer[[0, -1], 1] = temple
    density = min(1.0, 0.45 + 0.9 * traits.hair_volume + max(traits.age - 1, 0))  # down in the first year
    pen.shape(np.concatenate((outer, inner[::-1])), traits.hair, density, flat=True)
    rng = np.random.default_rng(traits.seed)
    places = rng.integers(0, len(u), 30)
    above = (places + 2 * rng.integers(10, 20)) // 3  # nearer to the parting, which is somewhere on top
    control = np.stack((0.97 * outer[above], 0.98 * outer[places], inner[places]), axis=1)
    for strand, tone in zip(bernstein(5) @ control, rng.normal(0, 0.18, len(places)), strict=True):
        pen.line(strand, mix(traits.hair, GREY if tone > 0 else BLACK, abs(tone)), 0.02, 0.5, flat=True)


def draw_glasses(pen: Pen, traits: Traits) -> None:
    """Draw frames around the eyes."""
    frame: Colour = (40, 36, 40)
    x, y = traits.apart, traits.eyes
    for lens in both(oval(x, y + 0.02, 0.23, 0.17)):
        pen.shape(lens, WHITE, 0.12)
        pen.line(lens, frame, 0.03)
    pen.line(bend((0.23 - x, y), (0, y - 0.05), (x - 0.23, y)), frame, 0.03)
