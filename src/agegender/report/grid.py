"""What renderers print: a rectangle of words."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Grid:
    """A rectangle of words ready to print; `align` has a letter per column: l(eft), r(ight), p(aragraph).

    `title` and `notes` are plain text.
    """

    name: str
    title: str
    head: Sequence[str]
    body: Sequence[Sequence[str]]
    notes: Sequence[str]
    align: str
