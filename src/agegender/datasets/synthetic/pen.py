"""The pen that draws shapes in head units as a photograph's pose shows them, and the curves it draws.

Points are rows (x, y) in head units: the origin is the middle of the head, the crown is at y = -1, the chin at y = +1.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from agegender.datasets.synthetic.traits import Colour, Nuisance, Traits

Points = NDArray[np.float64]

FAINT = 0.01  # opacity below which nothing is drawn


class Pen:
    """Draws shapes given in head units on a canvas, as the pose of the photograph shows them."""

    def __init__(self, canvas: Image.Image, traits: Traits, nuisance: Nuisance) -> None:
        """Draw on `canvas`, which is changed in place."""
        self.draw = ImageDraw.Draw(canvas, "RGBA")
        self.unit = nuisance.scale * canvas.width
        self.turn = (float(np.cos(nuisance.yaw)), float(np.sin(nuisance.yaw)))
        cos, sin = self.unit * np.cos(nuisance.tilt), self.unit * np.sin(nuisance.tilt)
        self.matrix = np.array(((cos, sin), (-sin, cos)))
        self.middle = (np.array(nuisance.shift) + 0.5) * canvas.width
        self.width = traits.width

    def place(self, points: Points, flat: bool) -> list[tuple[float, float]]:
        """Return pixel positions: points of the face lie on a rounded surface and move when the head turns."""
        if not flat:
            x, y = points[:, 0], points[:, 1]
            depth = np.sqrt(np.maximum(1 - (x / self.width) ** 2 - (y / 1.15) ** 2, 0))
            points = np.column_stack((x * self.turn[0] + 0.5 * depth * self.turn[1], y))
        return list(map(tuple, (points @ self.matrix + self.middle).tolist()))

    def shape(self, points: Points, colour: Colour, alpha: float = 1.0, flat: bool = False) -> None:
        """Fill a polygon."""
        if alpha > FAINT:
            self.draw.polygon(self.place(points, flat), fill=ink(colour, alpha))

    def line(self, points: Points, colour: Colour, width: float, alpha: float = 1.0, flat: bool = False) -> None:
        """Draw an open line, `width` in head units."""
        if alpha > FAINT:
            pixels = max(1, round(width * self.unit))
            joint = "curve" if alpha == 1 else None  # rounded joints cover the line twice: seen where it is transparent
            self.draw.line(self.place(points, flat), fill=ink(colour, alpha), width=pixels, joint=joint)


def ink(colour: Colour, alpha: float) -> tuple[int, int, int, int]:
    """Return what Pillow draws with: colour and opacity (0..1, clipped) as bytes."""
    red, green, blue = (min(max(int(value), 0), 255) for value in colour)
    return red, green, blue, int(255 * min(max(alpha, 0), 1))


def both(points: Points) -> tuple[Points, Points]:
    """Return the points of the right half of the image and their mirror image."""
    return points, points * (-1, 1)


def oval(x: float, y: float, rx: float, ry: float, start: float = 0.0, stop: float = 2 * np.pi, n: int = 24) -> Points:
    """Return points on an ellipse, or on the part of it between two angles (0 right, pi/2 down)."""
    return unit_arc(start, stop, n) * (rx, ry) + (x, y)


@cache
def unit_arc(start: float, stop: float, n: int) -> Points:
    """Return `n` points on the unit circle between two angles."""
    t = np.linspace(start, stop, n)
    return np.column_stack((np.cos(t), np.sin(t)))


def bend(*points: tuple[float, float], n: int = 12) -> Points:
    """Return points on the quadratic Bezier curve of three control points."""
    curve: Points = bernstein(n) @ np.array(points)
    return curve


@cache
def bernstein(n: int) -> Points:
    """Return the weights of three control points at `n` places of a quadratic Bezier curve, (n, 3)."""
    t = np.linspace(0, 1, n)
    return np.column_stack(((1 - t) ** 2, 2 * t * (1 - t), t**2))


def closed(half: Points) -> Points:
    """Return the closed outline whose right half is given from top to bottom."""
    return np.concatenate((half, half[::-1] * (-1, 1)))
