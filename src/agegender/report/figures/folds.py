"""A figure of every fold of every system; its panels, a line per row, are those of the differences too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from agegender.metrics import Metric
from agegender.report.figures.style import MEAN, SERIES, add_legend, new_figure, style_axes
from agegender.report.table import Row, Table


def draw_folds(table: Table, metrics: Sequence[Metric]) -> Figure:
    """Draw a panel per metric: systems from top to bottom, a sign per fold, a diamond at the mean of the folds."""
    rows = [
        [row for row in table.rows if metric.name in row.cells and row.cells[metric.name].folds] for metric in metrics
    ]
    figure, panels = make_panels(table, metrics, rows)
    for axes, metric, shown in zip(panels, metrics, rows, strict=True):
        cells = [row.cells[metric.name] for row in shown]
        draw_signs(axes, table, metric, [cell.folds for cell in cells], [cell.mean for cell in cells])
        test_faces = " of the fold's test faces" if metric.unit == "%" else ""
        style_axes(axes, title=f"{metric.label}{test_faces}", aligned="right", grid="x")
    add_legend(figure, *panels[0].get_legend_handles_labels(), ncols=3)
    return figure


def make_panels(table: Table, metrics: Sequence[Metric], rows: Sequence[Sequence[Row]]) -> tuple[Figure, list[Axes]]:
    """Make a figure with a panel per metric, one below the other, each with a place for every of its rows."""
    lines = [[_name(table, row, metric) for row in shown] for metric, shown in zip(metrics, rows, strict=True)]
    heights = [1.2 + 0.5 * len(names) for names in lines]
    longest = max(len(part) for names in lines for name in names for part in name.splitlines())
    figure = new_figure(5.5 + 0.08 * longest, sum(heights) + 0.8)
    panels: list[Axes] = list(figure.subplots(len(lines), 1, squeeze=False, height_ratios=heights)[:, 0])
    for axes, names in zip(panels, lines, strict=True):
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
    return figure, panels


def draw_signs(
    axes: Axes, table: Table, metric: Metric, folds: Sequence[Mapping[int, float]], means: Sequence[float]
) -> None:
    """Draw each row's folds, one below the other so that none hides another, and their mean; fractions in percent."""
    places = np.arange(len(folds))
    for index, fold in enumerate(table.folds):
        values = [metric.scale * of_fold.get(fold, nan) for of_fold in folds]
        below = 0.12 * (index - (len(table.folds) - 1) / 2)
        style = SERIES[index % len(SERIES)]
        axes.plot(values, places + below, linestyle="none", markersize=7, label=f"fold {fold}", **style)
    axes.plot([metric.scale * mean for mean in means], places, linestyle="none", label="mean of the folds", **MEAN)


def _name(table: Table, row: Row, metric: Metric) -> str:
    """Name a system; its mode where there are several, its runs where some are missing."""
    name = f"{row.title} ({row.mode})" if len({row.mode for row in table.rows}) > 1 else row.title
    cell = row.cells[metric.name]
    return name if cell.complete else f"{name}\n({cell.done} of {cell.expected} runs)"
