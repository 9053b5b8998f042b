"""Figures of a table: the folds of every system, confusion matrices, and what other evaluations change."""

from __future__ import annotations

from collections.abc import Mapping
from math import nan
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from agegender.report.answers import draw_answers, folds_in
from agegender.report.cells import HEADLINES, Column
from agegender.report.curve import draw_curves, has_curves
from agegender.report.pareto import draw_pareto, pareto_columns
from agegender.report.table import Row, Table
from agegender.tasks import TASKS

# Okabe and Ito's colour-blind safe colours without yellow, each with a sign of its own for print in grey.
_FOLD_STYLES: tuple[dict[str, Any], ...] = tuple(
    {"color": color, "marker": marker, "linestyle": "none", "markersize": 7}
    for color, marker in zip(["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9"], "os^vX", strict=True)
)
_MEAN_STYLE: dict[str, Any] = {
    "color": "black",
    "marker": "D",
    "markersize": 11,
    "markeredgewidth": 2,
    "markerfacecolor": "none",
}
_TEXT = 11


def draw_figures(table: Table) -> dict[str, tuple[str, Figure]]:
    """Draw all figures: file name (`folds.png`, `confusion_<system>_<task>.png`) -> (title, figure).

    A `$` in their words is a dollar and begins no formula.
    """
    figures = {}
    columns = [column for column in table.columns if column.metric in HEADLINES and _predicting(table, column)]
    if columns:
        figures["folds.png"] = ("Every fold across the systems", _draw_folds(table, columns))
    if columns and has_curves(table):
        figures["training_faces.png"] = ("What the number of training faces changes", draw_curves(table, columns))
    for column in pareto_columns(table):
        title = f"{column.title} against latency"
        figures[f"pareto_{column.metric}.png"] = (title, draw_pareto(table, column))
    if any(each.folds for row in table.rows for each in row.differences.values()):
        figures["differences.png"] = (_what_differs(table), _draw_differences(table))
    for row in table.rows:
        for task, counts in row.confusion.items():
            # One system's matrix is enough; what evaluations and fewer faces change is in figures of their own.
            if counts.sum() and row.training_share == 1 and not (row.variant and row.differences):
                title = f"{row.title} ({row.mode}): {TASKS[task].title}"
                draw = draw_answers if TASKS[task].measured else _draw_confusion
                figures[f"confusion_{row.key}_{task}.png"] = (title, draw(row, task))
    for _, figure in figures.values():
        for text in figure.findobj(Text):
            if "$" in text.get_text() and not text.get_text().startswith(r"$\mathdefault"):  # matplotlib's own numbers
                text.set_parse_math(False)
    return figures


def _draw_confusion(row: Row, task: str) -> Figure:
    """Draw the pooled counts; the shade and the upper number are the share of the true label's faces."""
    counts, labels = row.confusion[task], TASKS[task].labels
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    side = 1.9 + 0.72 * max(len(labels), 4)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Greys", vmin=0, vmax=1)
    for true, predicted in np.ndindex(counts.shape):
        words = f"{100 * shares[true, predicted]:.0f}%\n{counts[true, predicted]}" if totals[true] else "–"
        shade = "white" if shares[true, predicted] > 0.65 else "black"
        axes.text(predicted, true, words, ha="center", va="center", fontsize=10, color=shade, in_layout=False)
    axes.set_xticks(range(len(labels)), labels, fontsize=_TEXT)
    axes.set_yticks(range(len(labels)), labels, fontsize=_TEXT)
    axes.set_xlabel("predicted", fontsize=_TEXT)
    axes.set_ylabel("annotated (100% in each row)", fontsize=_TEXT)
    counted = (
        f"{counts.sum():,} faces" if len(row.seeds) == 1 else f"{counts.sum():,} answers of {len(row.seeds)} seeds"
    )
    axes.set_title(f"{row.title} ({row.mode})\n{TASKS[task].title}: {counted}\n{folds_in(row, task)}", fontsize=_TEXT)
    return figure


def _predicting(table: Table, column: Column) -> list[Row]:
    return [row for row in table.rows if column.metric in row.cells and row.cells[column.metric].folds]


def _draw_folds(table: Table, columns: list[Column]) -> Figure:
    """Draw a panel per column: systems from top to bottom, a sign per fold, a diamond at the mean of the folds."""
    rows = {column: _predicting(table, column) for column in columns}
    figure, panels = _panels([[_place(table, row, column) for row in rows[column]] for column in columns])
    for axes, column in zip(panels, columns, strict=True):
        cells = [row.cells[column.metric] for row in rows[column]]
        _draw_signs(axes, table, column, [cell.folds for cell in cells], [cell.mean for cell in cells])
        title = (
            f"{column.title}, % of the fold's test faces" if column.unit == "%" else f"{column.title}, {column.unit}"
        )
        axes.set_title(title, fontsize=_TEXT, loc="right")
    _add_legend(figure, panels[0])
    return figure


def _draw_differences(table: Table) -> Figure:
    """Draw a panel per headline: variants from top to bottom, the folds' differences, the interval of all faces."""
    rows = {column: [row for row in table.rows if column.metric in row.differences] for column in table.columns}
    columns = [column for column in table.columns if rows[column]]
    figure, panels = _panels([[_place(table, row, column) for row in rows[column]] for column in columns])
    for axes, column in zip(panels, columns, strict=True):
        found = [row.differences[column.metric] for row in rows[column]]
        axes.axvline(0, color="0.5", linewidth=1)
        _draw_signs(axes, table, column, [each.folds for each in found], [each.mean for each in found])
        for place, each in enumerate(found):
            axes.hlines(place, column.scale * each.low, column.scale * each.high, color="black", linewidth=2)
        unit = "points of %" if column.unit == "%" else column.unit
        against = _what_differs(table).replace("Against", "against", 1)
        title = f"{column.title}: {unit}, {against}\nbar: 95 % interval over all faces"
        axes.set_title(title, fontsize=_TEXT, loc="right")
    _add_legend(figure, panels[0])
    return figure


def _panels(lines: list[list[str]]) -> tuple[Figure, list[Axes]]:
    """Make a figure with panels one below the other, each with a place for every line's name."""
    heights = [1.2 + 0.5 * len(names) for names in lines]
    longest = max(len(part) for names in lines for name in names for part in name.splitlines())
    figure = Figure(figsize=(5.5 + 0.08 * longest, sum(heights) + 0.8), layout="constrained")
    panels: list[Axes] = list(figure.subplots(len(lines), 1, squeeze=False, height_ratios=heights)[:, 0])
    for axes, names in zip(panels, lines, strict=True):
        axes.set_yticks(range(len(names)), names, fontsize=_TEXT)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.tick_params(axis="x", labelsize=_TEXT)
        axes.grid(axis="x", color="0.85")
        axes.set_axisbelow(True)
    return figure, panels


def _what_differs(table: Table) -> str:
    return f"Against {table.reference_title}" if table.reference_title else "Against the mode's own evaluation"


def _draw_signs(axes: Axes, table: Table, column: Column, folds: list[Mapping[int, float]], means: list[float]) -> None:
    """Draw each line's folds, one below the other so that none hides another, and their mean; fractions in percent."""
    places = np.arange(len(folds))
    for index, fold in enumerate(table.folds):
        values = [column.scale * of_fold.get(fold, nan) for of_fold in folds]
        below = 0.12 * (index - (len(table.folds) - 1) / 2)
        axes.plot(values, places + below, label=f"fold {fold}", **_FOLD_STYLES[index % len(_FOLD_STYLES)])
    axes.plot(
        [column.scale * mean for mean in means], places, linestyle="none", label="mean of the folds", **_MEAN_STYLE
    )


def _add_legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, fontsize=10, frameon=False)


def _place(table: Table, row: Row, column: Column) -> str:
    """Name a system; its mode where there are several, its runs where some are missing."""
    name = f"{row.title} ({row.mode})" if len({row.mode for row in table.rows}) > 1 else row.title
    cell = row.cells[column.metric]
    return name if cell.complete else f"{name}\n({cell.done} of {cell.expected} runs)"
