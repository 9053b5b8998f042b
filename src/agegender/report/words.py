"""What a cell of a table says in words, in the markup of Markdown or LaTeX."""

from __future__ import annotations

from collections.abc import Callable
from math import isnan
from typing import TypeVar

from agegender.report.cells import Cell, Column
from agegender.report.differences import Difference
from agegender.report.markup import Markup
from agegender.report.table import Row

Told = TypeVar("Told", Cell, Difference)


def number(value: float, column: Column) -> str:
    """Print a share in percent with one decimal, a number in another unit with two, a bare one with three."""
    if isnan(value):
        return "undefined"  # a correlation with a constant
    return f"{column.scale * value:.{_decimals(column)}f}"


def change(value: float, column: Column) -> str:
    """Print a difference with its sign: of shares in points of percent, of others in their unit."""
    return f"{column.scale * value:+.{_decimals(column)}f}".replace("-", "−")


def _decimals(column: Column) -> int:
    return {"%": 1, "": 3}.get(column.unit, 2)


def mean(cell: Cell, column: Column) -> str:
    """Print the mean over the folds."""
    return number(cell.mean, column)


def say_cell(row: Row, column: Column, say: Callable[[Cell], str], markup: Markup) -> str:
    """Say with `say` what a row has in a column, or that it is missing or not predicted."""
    return told(row.cells.get(column.metric), say, row, markup)


def told(found: Told | None, say: Callable[[Told], str], row: Row, markup: Markup) -> str:
    """Say what is there and what it lacks: not predicted and missing are different things."""
    if found is None:
        return markup.dash
    progress = f"({found.done}/{found.expected} {'runs' if len(row.seeds) > 1 else 'folds'})"
    if not found.folds:
        return f"missing {progress}"
    return say(found) if found.complete else f"{say(found)} {progress}"
