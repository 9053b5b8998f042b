"""Accuracy against latency: what it takes to answer every task of a table, and which choices nothing beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from agegender.metrics import Metric
from agegender.report.costs import Setting, median_of, pairs_of, settings_of
from agegender.report.table import Row, Table


@dataclass(frozen=True)
class Point:
    """What it takes to answer every task of the table, and how well one of them is answered.

    `value` is the mean over the folds and `sd` their deviation, fractions 0..1; `ms` the median of a call, of two
    single-task networks the sum. Where `best`, no other point of the panel is as good in both and better in one.
    """

    title: str
    ms: float
    value: float
    sd: float
    networks: int
    best: bool


def compared_metrics(table: Table) -> list[Metric]:
    """Return the headline metrics that a figure can be drawn of."""
    headlines = [metric for metric in table.metrics if metric.headline]
    return [metric for metric in headlines if any(points_of(table, metric, s) for s in panels_of(table))]


def panels_of(table: Table) -> list[Setting]:
    """Return the settings that have a panel: one face, one thread, float32; the accuracies are of float32."""
    return [setting for setting in settings_of(table.costs) if setting.is_published]


def points_of(table: Table, metric: Metric, setting: Setting) -> list[Point]:
    """Return the points of a panel: networks that answer every task, and pairs of single-task networks that do."""
    modes = dict.fromkeys(row.mode for row in table.rows)
    found = [
        replace(point, title=f"{point.title} ({mode})" if len(modes) > 1 else point.title)
        for mode in modes
        for point in _points_of_mode(table, metric, setting, mode)
    ]
    return [_marked(point, found, -1 if metric.less_is_better else 1) for point in found]


def _points_of_mode(table: Table, metric: Metric, setting: Setting, mode: str) -> list[Point]:
    """Complete rows only, whose accuracy is of the network that was timed."""
    tasks = {each.task for each in table.metrics}
    rows = {row.system: row for row in table.rows if not row.variant and row.mode == mode and _is_timed(table, row)}
    whole = [(row.title, [row.system], row) for row in rows.values() if set(row.tasks) == tasks]
    pairs = [pair for pair in pairs_of(table.costs) if set(pair) <= rows.keys()]
    whole += [
        (f"{rows[pair[0]].title} + gender only", list(pair), rows[pair[metric.task == "gender"]]) for pair in pairs
    ]
    found = []
    for title, systems, row in whole:
        ms = median_of([table.costs[system] for system in systems], setting)
        cell = row.cells.get(metric.name)
        if ms and cell and cell.complete:
            found.append(Point(title, ms, cell.mean, cell.sd, len(systems), False))
    return found


def _is_timed(table: Table, row: Row) -> bool:
    cost = table.costs.get(row.system)
    return cost is not None and (row.mode, row.variant) not in cost.other_function


def _marked(point: Point, points: Sequence[Point], sign: int) -> Point:
    """Say whether no other point is as good in both and better in one of them."""
    gains = [(point.ms - p.ms, sign * (p.value - point.value)) for p in points]
    return replace(point, best=not any(min(gain) >= 0 and max(gain) > 0 for gain in gains))
