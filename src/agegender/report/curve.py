"""Figure of the learning curves: each headline metric against the number of training faces, a line per start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from agegender.report.cells import Column
from agegender.report.table import Row, Table

# Okabe and Ito's colour-blind safe colours, each with a sign of its own for print in grey.
_STYLES: tuple[dict[str, Any], ...] = tuple(
    {"color": color, "marker": marker}
    for color, marker in zip(["#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9"], "Dos^vX", strict=True)
)
_TEXT = 11


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


def draw_curves(table: Table, columns: Sequence[Column]) -> Figure:
    """Draw a panel per column: small signs are folds, a line joins their means, broken lines are the majority label.

    Shares are in percent, errors in their unit; the number of training faces is on a logarithmic scale.
    """
    figure = Figure(figsize=(7.5, 1.2 + 3.6 * len(columns)), layout="constrained")
    panels: list[Axes] = list(figure.subplots(len(columns), 1, squeeze=False)[:, 0])
    for axes, column in zip(panels, columns, strict=True):
        for number, (title, rows) in enumerate(curves(table).items()):
            _draw_line(axes, column, title, rows, _STYLES[number % len(_STYLES)])
        majority = table.baseline.cells.get(column.metric)
        if majority and majority.folds:
            axes.axhline(column.scale * majority.mean, color="0.5", linestyle="--", label=table.baseline.title)
        axes.set_xscale("log")
        counts = sorted({_mean_faces(row) for rows in curves(table).values() for row in rows})
        axes.set_xticks(counts)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
        axes.set_xlabel("training faces of a fold", fontsize=_TEXT)
        title = f"{column.title}, {column.unit}" if column.unit else column.title
        axes.set_title(f"{title} of the fold's test faces", fontsize=_TEXT, loc="right")
        axes.grid(color="0.85")
        axes.set_axisbelow(True)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, fontsize=10, frameon=False)
    return figure


def _draw_line(axes: Axes, column: Column, title: str, rows: Sequence[Row], style: dict[str, Any]) -> None:
    rows = [row for row in rows if column.metric in row.cells and row.cells[column.metric].folds]
    cells = [row.cells[column.metric] for row in rows]
    missing = sum(cell.expected - cell.done for cell in cells)
    label = f"{title}, {missing} runs missing" if missing else title
    means = [column.scale * cell.mean for cell in cells]
    axes.plot([_mean_faces(row) for row in rows], means, label=label, markersize=8, markerfacecolor="none", **style)
    for row, cell in zip(rows, cells, strict=True):
        folds = [fold for fold in cell.folds if fold in row.training_faces]
        values = [column.scale * cell.folds[fold] for fold in folds]
        faces = [row.training_faces[fold] for fold in folds]
        axes.plot(faces, values, linestyle="none", markersize=4, alpha=0.5, **style)


def _mean_faces(row: Row) -> float:
    return sum(row.training_faces.values()) / len(row.training_faces)
