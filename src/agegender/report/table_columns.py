"""The columns of a report's tables: what stands at their head, and what they print for each row.

The columns of metrics follow from `agegender.metrics.catalogue`; to add another one, add it to `main_columns`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from math import isnan
from typing import TypeVar

from agegender.metrics import Metric
from agegender.report.cells import Cell, Difference
from agegender.report.costs import SystemCost, counted, fastest, is_measured, main_device
from agegender.report.markup import Markup
from agegender.report.table import Row, Table, best_rows

Found = TypeVar("Found", Cell, Difference)


@dataclass(frozen=True)
class Column:
    """The plain text at the head of a column, and what it prints for a row, in markup."""

    head: str
    text: Callable[[Row], str]


def main_columns(table: Table, markup: Markup) -> list[Column]:
    """The columns of the main table: the means of all metrics, the number of faces, sizes and speed."""

    def parameters(row: Row) -> str:
        return markup.dash if row.parameters is None else f"{row.parameters:,}"

    means = [_best_marked(table, metric, markup) for metric in table.metrics]
    return [*means, count_column(table), Column("parameters", parameters), *_cost_columns(table, markup)]


def _best_marked(table: Table, metric: Metric, markup: Markup) -> Column:
    plain, best = _of_cells(metric, lambda cell: _spread(cell, metric, markup), markup), best_rows(table, metric)
    return replace(plain, text=lambda row: markup.bold(plain.text(row)) if row in best else plain.text(row))


def _of_cells(metric: Metric, text: Callable[[Cell], str], markup: Markup) -> Column:
    return Column(metric.title, lambda row: _in_cell(row.cells.get(metric.name), row, markup, text))


def _spread(found: Cell | Difference, metric: Metric, markup: Markup, signed: bool = False) -> str:
    mean = markup.escape(metric.signed_text(found.mean)) if signed else metric.text(found.mean)
    return mean if isnan(found.sd) else f"{mean}{markup.plus_minus}{metric.text(found.sd)}"


def _in_cell(found: Found | None, row: Row, markup: Markup, text: Callable[[Found], str]) -> str:
    """Print with `text` what is there, and what it lacks: not predicted and missing are different things."""
    if found is None:
        return markup.dash
    progress = f"({found.done}/{found.expected} {'runs' if len(row.seeds) > 1 else 'folds'})"
    if not found.folds:
        return f"missing {progress}"
    return text(found) if found.complete else f"{text(found)} {progress}"


def count_column(table: Table) -> Column:
    """The number of labelled test faces, by task where tasks differ in it."""

    def text(row: Row) -> str:
        counts = {metric.task: row.cells[metric.name].n for metric in table.metrics if metric.name in row.cells}
        if len(set(counts.values())) == 1:
            return f"{next(iter(counts.values())):,}"
        return ", ".join(f"{task} {n:,}" for task, n in counts.items())

    return Column("n", text)


def _cost_columns(table: Table, markup: Markup) -> list[Column]:
    """MACs, MB and the fastest latency of a row's network, where the table has costs at all."""
    device = main_device(table.costs)

    def column(head: str, text: Callable[[SystemCost, Row], str]) -> Column:
        costs = table.costs
        return Column(head, lambda row: text(costs[row.system], row) if row.system in costs else markup.dash)

    def latency(cost: SystemCost, row: Row) -> str:
        if (row.mode, row.variant) in cost.other_function:
            return "another function"
        return markup.escape(fastest(cost, device)) or "missing"

    if not table.costs:
        return []
    macs = column("MACs, million", lambda cost, _: counted(cost.counts)[1])
    size = column("MB", lambda cost, _: counted(cost.counts)[2])
    return [macs, size, *([column("ms, fastest runtime", latency)] if is_measured(table.costs) else [])]


def mean_column(metric: Metric, markup: Markup) -> Column:
    """A metric's mean over the folds, without its spread."""
    return _of_cells(metric, lambda cell: metric.text(cell.mean), markup)


def pooled_column(metric: Metric, markup: Markup) -> Column:
    """A metric of all faces together, with its interval."""

    def text(cell: Cell) -> str:
        if isnan(cell.low):
            return metric.text(cell.pooled)
        return f"{metric.text(cell.pooled)} [{metric.text(cell.low)}{markup.to}{metric.text(cell.high)}]"

    return _of_cells(metric, text, markup)


def fold_column(metric: Metric, fold: int, markup: Markup) -> Column:
    """A metric in one fold, with the number of faces."""

    def text(row: Row) -> str:
        cell = row.cells.get(metric.name)
        if cell is None:
            return markup.dash
        return f"{metric.text(cell.folds[fold])} ({cell.counts[fold]})" if fold in cell.folds else "missing"

    return Column(f"fold {fold}", text)


def validation_columns(metric: Metric, markup: Markup) -> tuple[Column, Column]:
    """A headline metric on validation, and the same on test."""

    def validation(row: Row) -> str:
        return metric.text(row.validation[metric.task]) if metric.task in row.validation else markup.dash

    test = mean_column(metric, markup)
    return Column(f"{metric.title}, validation", validation), Column(f"{metric.title}, test", test.text)


def difference_columns(metric: Metric, markup: Markup) -> tuple[Column, Column]:
    """What differs from the row that a row is compared with: over the folds, and over all faces."""

    def of_faces(found: Difference) -> str:
        values = (found.pooled, found.low, found.high)
        pooled, low, high = (markup.escape(metric.signed_text(value)) for value in values)
        return f"{pooled} [{low} {markup.to} {high}]"

    def of_folds(found: Difference) -> str:
        return _spread(found, metric, markup, signed=True)

    def column(part: str, text: Callable[[Difference], str]) -> Column:
        head = f"{metric.title}, {part}"
        return Column(head, lambda row: _in_cell(row.differences.get(metric.name), row, markup, text))

    return column("folds", of_folds), column("all faces", of_faces)


def difference_count_column(metrics: Iterable[Metric]) -> Column:
    """The number of faces that differences are over, once where all metrics have the same."""

    def text(row: Row) -> str:
        found = [row.differences[metric.name] for metric in metrics if metric.name in row.differences]
        return " / ".join(dict.fromkeys(f"{each.n:,}" for each in found))

    return Column("n", text)


def decade_column(decade: int, markup: Markup) -> Column:
    """The mean absolute error in one decade of the annotated age, with the number of faces."""

    def text(row: Row) -> str:
        if decade not in row.decades:
            return markup.dash
        error, count = row.decades[decade]
        return f"{error:.2f} ({count:,})"

    return Column(f"{decade} to {decade + 9}", text)
