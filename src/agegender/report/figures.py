"""Figures of a table: a confusion matrix per system and task, and the folds paired across the systems."""

from __future__ import annotations

from math import nan

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from agegender.report.cells import COLUMNS, HEADLINES, Column
from agegender.report.table import Row, Table
from agegender.tasks import TASKS

# Okabe and Ito's colour-blind safe colours without yellow, each with a sign and a line of its own for print in grey.
_FOLD_STYLES = (
    {"color": "#0072B2", "marker": "o", "linestyle": "-"},
    {"color": "#D55E00", "marker": "s", "linestyle": "--"},
    {"color": "#009E73", "marker": "^", "linestyle": "-."},
    {"color": "#CC79A7", "marker": "v", "linestyle": ":"},
    {"color": "#56B4E9", "marker": "X", "linestyle": (0, (5, 1, 1, 1, 1, 1))},
)
_TEXT = 11


def draw_figures(table: Table) -> dict[str, tuple[str, Figure]]:
    """Draw all figures: file name (`folds.png`, `confusion_<system>_<task>.png`) -> (title, figure)."""
    figures = {}
    columns = [column for column in table.columns if column.metric in HEADLINES and _predicting(table, column)]
    if columns:
        figures["folds.png"] = ("Every fold across the systems", _draw_folds(table, columns))
    for row in table.rows:
        for task, counts in row.confusion.items():
            if counts.sum():
                title = f"{row.title} ({row.mode}): {TASKS[task].title}"
                figures[f"confusion_{row.key}_{task}.png"] = (title, _draw_confusion(row, task))
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
    looks = f"{counts.sum():,} faces" if len(row.seeds) == 1 else f"{counts.sum():,} answers of {len(row.seeds)} seeds"
    axes.set_title(f"{row.title} ({row.mode})\n{TASKS[task].title}: {looks}\n{_folds_in(row, task)}", fontsize=_TEXT)
    return figure


def _folds_in(row: Row, task: str) -> str:
    cell = next(row.cells[column.metric] for column in COLUMNS if column.task == task)
    folds = f"fold{'s' if len(cell.folds) > 1 else ''} {', '.join(map(str, cell.folds))}"
    return folds if cell.complete else f"{folds} ({cell.done} of {cell.expected} runs)"


def _predicting(table: Table, column: Column) -> list[Row]:
    return [row for row in table.rows if column.metric in row.cells and row.cells[column.metric].folds]


def _draw_folds(table: Table, columns: list[Column]) -> Figure:
    """Draw a panel per column: systems from top to bottom, a line per fold, a diamond at the mean of the folds."""
    heights = [1.2 + 0.5 * len(_predicting(table, column)) for column in columns]
    figure = Figure(figsize=(7.5, sum(heights) + 0.8), layout="constrained")
    panels = figure.subplots(len(columns), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, column in zip(panels, columns, strict=True):
        _draw_panel(axes, table, column)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, fontsize=10, frameon=False)
    return figure


def _draw_panel(axes: Axes, table: Table, column: Column) -> None:
    rows = _predicting(table, column)
    cells = [row.cells[column.metric] for row in rows]
    places = range(len(rows))
    for index, fold in enumerate(table.folds):
        values = [100 * cell.folds.get(fold, nan) for cell in cells]
        style = _FOLD_STYLES[index % len(_FOLD_STYLES)]
        axes.plot(values, places, label=f"fold {fold}", markersize=7, linewidth=1.3, **style)
    means = [100 * cell.mean for cell in cells]
    axes.plot(means, places, "kD", markersize=12, markeredgewidth=2, markerfacecolor="none", label="mean of the folds")
    axes.set_yticks(places, [_place(table, row, column) for row in rows], fontsize=_TEXT)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="x", labelsize=_TEXT)
    axes.set_xlabel(f"{column.title}, % of the fold's test faces", fontsize=_TEXT)
    axes.grid(axis="x", color="0.85")
    axes.set_axisbelow(True)


def _place(table: Table, row: Row, column: Column) -> str:
    """Name a system; its mode where there are several, its runs where some are missing."""
    name = f"{row.title} ({row.mode})" if len({row.mode for row in table.rows}) > 1 else row.title
    cell = row.cells[column.metric]
    return name if cell.complete else f"{name}\n({cell.done} of {cell.expected} runs)"
