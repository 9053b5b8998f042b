"""The CSV files of a report: all numbers of its table, all measured costs, the points of accuracy against latency."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from math import isnan
from typing import Any

from agegender.report.cells import Cell
from agegender.report.costs import SystemCost
from agegender.report.table import Table
from agegender.report.tradeoff import compared_metrics, panels_of, points_of
from agegender.spreadsheets import guard

TABLE_HEAD = ("system", "mode", "evaluation", "fold", "metric", "value", "sd", "low", "high", "n", "runs")
COSTS_HEAD = (
    *("system", "device", "runtime", "precision", "threads", "batch_size", "parameters", "macs", "activations"),
    *("float32_bytes", "file_bytes", "peak_bytes", "median_ms", "p90_ms", "p99_ms", "iqr_ms", "minimum_ms", "n"),
    *("drift", "commit", "date", "versions"),
)
POINTS_HEAD = ("metric", "device", "runtime", "system", "networks", "median_ms", "mean", "sd", "best")


def table_csv(table: Table) -> str:
    """Print every number in long form: one line per system, metric and fold, then "mean" and "pooled".

    A row that is compared with another (the mode's own evaluation, or the reference) has "mean difference" and "pooled
    difference" too. Shares are fractions 0..1, errors are in groups or in their unit. `value` is empty where the runs
    are missing; what a system does not predict has no line. `runs` are the identities of the runs behind the number.
    """
    return _csv(TABLE_HEAD, _table_lines(table))


def _table_lines(table: Table) -> Iterator[Sequence[Any]]:
    for row in [*table.rows, table.baseline]:
        name = [row.system, row.mode, row.variant]
        for metric in table.metrics:
            if metric.name in row.cells:
                yield from ([*name, *line] for line in _cell_lines(table, metric.name, row.cells[metric.name]))
        for metric_name, found in row.differences.items():
            end = [str(found.n), " ".join(found.runs)]
            mean, sd, pooled, low, high = map(_exactly, (found.mean, found.sd, found.pooled, found.low, found.high))
            yield [*name, "mean difference", metric_name, mean, sd, "", "", *end]
            yield [*name, "pooled difference", metric_name, pooled, "", low, high, *end]


def _cell_lines(table: Table, metric: str, cell: Cell) -> Iterator[list[str]]:
    runs = " ".join(run for runs in cell.runs.values() for run in runs)
    for fold in table.folds:
        if fold in cell.folds:
            value, count = _exactly(cell.folds[fold]), str(cell.counts[fold])
            yield [str(fold), metric, value, "", "", "", count, " ".join(cell.runs[fold])]
        else:
            yield [str(fold), metric, "", "", "", "", "0", ""]
    yield ["mean", metric, _exactly(cell.mean), _exactly(cell.sd), "", "", str(cell.n), runs]
    yield ["pooled", metric, _exactly(cell.pooled), "", _exactly(cell.low), _exactly(cell.high), str(cell.n), runs]


def _exactly(value: float) -> str:
    return "" if isnan(value) else f"{value:.6f}"


def costs_csv(costs: Mapping[str, SystemCost]) -> str:
    """Print every measurement, a line each; bytes, milliseconds, and values of one face."""
    return _csv(COSTS_HEAD, _cost_lines(costs))


def _cost_lines(costs: Mapping[str, SystemCost]) -> Iterator[Sequence[Any]]:
    for system, cost in costs.items():
        counts = list(asdict(cost.counts).values())
        for setting, each in cost.measured.items():
            latency = each.results["latency_ms"]
            sizes = [each.results.get("file_bytes"), each.results.get("peak_bytes")]
            times = [f"{latency[name]:.6f}" for name in ("median", "p90", "p99", "iqr", "minimum")]
            made = each.results["environment"]
            versions = " ".join(f"{name} {each.results['versions'][name]}" for name in each.results["versions"])
            origin = [f"{each.results['turns']['drift']:.4f}", made["commit"], made["started"], versions]
            yield [system, *vars(setting).values(), *counts, *sizes, *times, latency["n"], *origin]


def points_csv(table: Table) -> str:
    """Print the points of all figures of accuracy against latency, a line each."""
    return _csv(POINTS_HEAD, _point_lines(table))


def _point_lines(table: Table) -> Iterator[Sequence[Any]]:
    for metric in compared_metrics(table):
        for setting in panels_of(table):
            for p in points_of(table, metric, setting):
                numbers = [p.networks, f"{p.ms:.6f}", f"{p.value:.6f}", f"{p.sd:.6f}", int(p.best)]
                yield [metric.name, setting.device, setting.runtime, guard(p.title), *numbers]


def _csv(head: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *lines])
    return text.getvalue()
