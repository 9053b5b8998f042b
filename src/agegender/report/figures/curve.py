"""Figure of the learning curves: each headline metric against the number of training faces, a line per start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from agegender.metrics import Metric
from agegender.report.figures.style import REFERENCE, SERIES, add_legend, new_figure, style_axes
from agegender.report.table import Row, Table


def curves(table: Table) -> dict[str, list[Row]]:
    """Return the rows of each curve by its title, from few training faces to many: those with a finished run."""
    found: dict[str, list[Row]] = {}
    several = len({row.mode for row in table.rows}) > 1
    for row in sorted(table.rows, key=lambda row: row.training_share):
        if row.training_faces:
            found.setdefault(f"{row.curve} ({row.mode})" if several else row.curve, []).append(row)
    return found


def has_curves(table: Table) -> bool:
    """Whether there is anything to draw: a system with several numbers of training faces."""
    return any(len(rows) > 1 for rows in curves(table).values())


def draw_curves(table: Table, metrics: Sequence[Metric]) -> Figure:
    """Draw a panel per metric: small signs are folds, a line joins their means, broken lines are the majority label.

    Shares are in percent, errors in their unit; the number of training faces is on a logarithmic scale.
    """
    figure = new_figure(7.5, 1.2 + 3.6 * len(metrics))
    panels: list[Axes] = list(figure.subplots(len(metrics), 1, squeeze=False)[:, 0])
    for axes, metric in zip(panels, metrics, strict=True):
        for number, (title, rows) in enumerate(curves(table).items()):
            _draw_line(axes, metric, title, rows, SERIES[number % len(SERIES)])
        majority = table.baseline.cells.get(metric.name)
        if majority and majority.folds:
            axes.axhline(metric.scale * majority.mean, color=REFERENCE, linestyle="--", label=table.baseline.title)
        axes.set_xscale("log")
        axes.set_xticks(sorted({_mean_faces(row) for rows in curves(table).values() for row in rows}))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
        title = f"{metric.label} of the fold's test faces"
        style_axes(axes, title=title, x="training faces of a fold", aligned="right", grid="both")
    add_legend(figure, *panels[0].get_legend_handles_labels(), ncols=2)
    return figure


def _draw_line(axes: Axes, metric: Metric, title: str, rows: Sequence[Row], style: dict[str, Any]) -> None:
    rows = [row for row in rows if metric.name in row.cells and row.cells[metric.name].folds]
    cells = [row.cells[metric.name] for row in rows]
    missing = sum(cell.expected - cell.done for cell in cells)
    label = f"{title}, {missing} runs missing" if missing else title
    means = [metric.scale * cell.mean for cell in cells]
    axes.plot([_mean_faces(row) for row in rows], means, label=label, markersize=8, markerfacecolor="none", **style)
    for row, cell in zip(rows, cells, strict=True):
        folds = [fold for fold in cell.folds if fold in row.training_faces]
        values = [metric.scale * cell.folds[fold] for fold in folds]
        faces = [row.training_faces[fold] for fold in folds]
        axes.plot(faces, values, linestyle="none", markersize=4, alpha=0.5, **style)


def _mean_faces(row: Row) -> float:
    return sum(row.training_faces.values()) / len(row.training_faces)
