"""How every figure of a report looks: colours, signs, sizes of text, grids and legends."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any, Literal

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

Side = Literal["left", "center", "right"]
Grid = Literal["x", "y", "both"]

TEXT = 11  # points: titles, axes and ticks
SMALL = 10  # legends and the numbers inside a matrix
DPI = 150

# Okabe and Ito's colour-blind safe colours without yellow, each with a sign of its own for print in grey. Folds, of
# which there are five, do without black, which is their mean's.
BLUE, VERMILION = "#0072B2", "#D55E00"
SERIES: tuple[dict[str, Any], ...] = tuple(
    {"color": color, "marker": marker}
    for color, marker in zip([BLUE, VERMILION, "#009E73", "#CC79A7", "#56B4E9", "#000000"], "os^vXD", strict=True)
)
MEAN: dict[str, Any] = {
    "color": "black",
    "marker": "D",
    "markersize": 11,
    "markeredgewidth": 2,
    "markerfacecolor": "none",
}
SHADES = "Greys"  # of counts
ABOVE = "outside upper center"  # the place of a legend
REFERENCE = "0.5"  # lines that values are held against


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches, which is laid out when it is drawn."""
    return Figure(figsize=(width, height), layout="constrained")


def style_axes(
    axes: Axes, *, title: str = "", x: str = "", y: str = "", aligned: Side = "center", grid: Grid | None = None
) -> None:
    """Label a panel, set the size of its text, and draw a grid behind it across the axes named."""
    axes.set_title(title, fontsize=TEXT, loc=aligned)
    axes.set_xlabel(x, fontsize=TEXT)
    axes.set_ylabel(y, fontsize=TEXT)
    axes.tick_params(labelsize=TEXT)
    if grid:
        axes.grid(axis=grid, color="0.85")
        axes.set_axisbelow(True)


def add_legend(figure: Figure, signs: Iterable[Artist], labels: Iterable[str], loc: Any = ABOVE, **style: Any) -> None:
    """Put a legend outside the panels, above them where no other place is given."""
    figure.legend(list(signs), list(labels), loc=loc, **{"fontsize": SMALL, "frameon": False, **style})


def take_dollars_for_text(figure: Figure) -> None:
    """Make a `$` in any text of a figure a dollar, which begins no formula."""
    for text in figure.findobj(Text):
        if "$" in text.get_text() and not text.get_text().startswith(r"$\mathdefault"):  # matplotlib's own numbers
            text.set_parse_math(False)


def to_png(figure: Figure) -> bytes:
    """Draw a figure as a PNG image."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DPI)
    return content.getvalue()
