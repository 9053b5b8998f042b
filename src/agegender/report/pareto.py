"""Accuracy against latency: a panel per runtime, and the points as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from agegender.report.cells import HEADLINES, Column
from agegender.report.costs import Setting, median_of, pairs_of, settings_of
from agegender.report.table import Row, Table
from agegender.runtimes import title_of
from agegender.spreadsheets import guard
from agegender.tasks import TASKS

_TEXT = 11


@dataclass(frozen=True)
class Point:
    """What it takes to answer every task of the table, and how well one of them is answered.

    `accuracy` is the mean over the folds and `sd` their deviation, fractions 0..1; `ms` the median of a call, of two
    single-task networks the sum. No other point of the panel is both faster and better where `best`.
    """

    title: str
    ms: float
    accuracy: float
    sd: float
    networks: int
    best: bool


def pareto_columns(table: Table) -> list[Column]:
    """Return the headline columns that a figure can be drawn of."""
    columns = [column for column in table.columns if column.metric in HEADLINES]
    return [column for column in columns if any(points_of(table, column, s) for s in panels_of(table))]


def panels_of(table: Table) -> list[Setting]:
    """Return the settings that have a panel: one face, one thread, float32; the accuracies are of float32."""
    return [setting for setting in settings_of(table.costs) if setting.is_published]


def points_of(table: Table, column: Column, setting: Setting) -> list[Point]:
    """Return the points of a panel: networks that answer every task, and pairs of single-task networks that do."""
    modes = dict.fromkeys(row.mode for row in table.rows)
    found = [
        replace(point, title=f"{point.title} ({mode})" if len(modes) > 1 else point.title)
        for mode in modes
        for point in _points_of_mode(table, column, setting, mode)
    ]
    return [_marked(point, found, -1 if column.less_is_better else 1) for point in found]


def _points_of_mode(table: Table, column: Column, setting: Setting, mode: str) -> list[Point]:
    """Complete rows only, whose accuracy is of the network that was timed."""
    tasks = {each.task for each in table.columns}
    rows = {row.system: row for row in table.rows if not row.variant and row.mode == mode and _is_timed(table, row)}
    whole = [(row.title, [row.system], row) for row in rows.values() if set(row.tasks) == tasks]
    pairs = [pair for pair in pairs_of(table.costs) if set(pair) <= rows.keys()]
    whole += [
        (f"{rows[pair[0]].title} + gender only", list(pair), rows[pair[column.task == "gender"]]) for pair in pairs
    ]
    found = []
    for title, systems, row in whole:
        ms = median_of([table.costs[system] for system in systems], setting)
        cell = row.cells.get(column.metric)
        if ms and cell and cell.complete:
            found.append(Point(title, ms, cell.mean, cell.sd, len(systems), False))
    return found


def _is_timed(table: Table, row: Row) -> bool:
    cost = table.costs.get(row.system)
    return cost is not None and (row.mode, row.variant) not in cost.other_function


def _marked(point: Point, points: Sequence[Point], sign: int) -> Point:
    beaten = any(p.ms < point.ms and sign * (p.accuracy - point.accuracy) > 0 for p in points)
    return Point(point.title, point.ms, point.accuracy, point.sd, point.networks, not beaten)


def draw_pareto(table: Table, column: Column) -> Figure:
    """Draw a panel per runtime, one below the other: towards the upper left is better."""
    panels = [(setting, points) for setting in panels_of(table) if (points := points_of(table, column, setting))]
    figure = Figure(figsize=(7.5, 1.2 + 2.4 * len(panels) + 0.2 * 8), layout="constrained")
    axes: Sequence[Axes] = list(figure.subplots(len(panels), 1, sharex=True, sharey=True, squeeze=False)[:, 0])
    widest = 1.1 * max(point.ms for _, points in panels for point in points)
    titles = list(dict.fromkeys(point.title for _, points in panels for point in points))
    several = len({setting.device for setting, _ in panels}) > 1
    for each, (setting, points) in zip(axes, panels, strict=True):
        for point in points:
            place = (point.ms, column.scale * point.accuracy)
            style = {"marker": "o" if point.networks == 1 else "s", "markersize": 8, "color": "black"}
            face = "black" if point.best else "white"
            each.errorbar(*place, column.scale * point.sd, ecolor="0.6", markerfacecolor=face, **style)  # type: ignore[arg-type]
            number = str(1 + titles.index(point.title))
            each.annotate(number, place, (6, 5), textcoords="offset points", fontsize=_TEXT + 1)
        front = sorted((point.ms, column.scale * point.accuracy) for point in points if point.best)
        each.plot(*zip(*front, strict=True), color="0.4", linewidth=1, zorder=0)
        each.set_title(title_of(setting.runtime) + (f" on {setting.device}" if several else ""), fontsize=_TEXT)
        each.set_ylabel(f"{column.title}, {column.unit}", fontsize=_TEXT)
        each.tick_params(labelsize=_TEXT, labelbottom=True)
        each.grid(color="0.9")
        each.margins(x=0.02, y=0.25)
    axes[0].set_xlim(0, widest)  # shared
    axes[-1].set_xlabel("ms to answer all tasks of one face (median), one thread, float32", fontsize=_TEXT)
    # Names beside the points would cover each other: the networks of a family take about the same time.
    names = [f"{number}  {title}" for number, title in enumerate(titles, start=1)]
    figure.legend(
        [Line2D([], [], linestyle="none")] * len(names),
        names,
        loc="outside lower left",
        handlelength=0,
        fontsize=_TEXT,
        frameon=False,
    )
    figure.suptitle(
        f"{TASKS[column.task].title}: mean and deviation of the folds against latency\n"
        "square: two single-task networks; filled: none is both faster and better",
        fontsize=_TEXT,
    )
    return figure


def to_csv(table: Table) -> str:
    """Print the points of all figures, a line each."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["metric", "device", "runtime", "system", "networks", "median_ms", "mean", "sd", "best"])
    for column in pareto_columns(table):
        for setting in panels_of(table):
            for p in points_of(table, column, setting):
                numbers = [p.networks, f"{p.ms:.6f}", f"{p.accuracy:.6f}", f"{p.sd:.6f}", int(p.best)]
                writer.writerow([column.metric, setting.device, setting.runtime, guard(p.title), *numbers])
    return text.getvalue()
