"""Published numbers as a grid of words, ours beside them where they compare."""

from __future__ import annotations

from functools import partial

from agegender.report.cells import COLUMNS, Column
from agegender.report.grid import Grid
from agegender.report.markup import Markup
from agegender.report.published import COST_METRICS, Published, why_not_comparable
from agegender.report.table import Table
from agegender.report.words import mean, say_cell

_PUBLISHED_NOTES = (
    "Numbers as their sources print them. Ours stand beside them only where data, test faces and metric are "
    "the same; the authors' own lists test the faces of the rule they are lists of.",
)


def published_grid(table: Table, markup: Markup) -> Grid:
    """Lay out the published numbers, a line each, with their sources."""
    titles = {row.system: row.title for row in table.rows}
    columns = {column.metric: column for column in COLUMNS}
    names = {metric: column.title for metric, column in columns.items()} | COST_METRICS

    def line(entry: Published) -> list[str]:
        value = "not found" if entry.value is None else f"{entry.value:g}"
        spread = "" if entry.sd is None else f"{markup.plus_minus}{entry.sd:g}"
        cost = entry.metric in COST_METRICS
        ours = _our_cost(table, entry) if cost else _ours(table, entry, columns[entry.metric], markup)
        what = [titles.get(entry.system, entry.system), names[entry.metric], entry.dataset, entry.protocol]
        source = ". ".join(filter(None, [entry.note, entry.source]))
        return [*map(markup.escape, what), value + spread, ours, markup.escape(source)]

    head = ["system", "metric", "data", "protocol", "published", "ours", "source"]
    body = [line(entry) for entry in table.published]
    return Grid("published", "Published numbers", head, body, _PUBLISHED_NOTES, "llllrrp")


def _ours(table: Table, entry: Published, column: Column, markup: Markup) -> str:
    reason = why_not_comparable(entry, table.dataset, table.protocol, table.facts.get("partial", ""))
    if reason:
        return markup.escape(f"not comparable: {reason}")
    every = [row for row in table.rows if row.system == entry.system]
    rows = [row for row in every if not row.variant] or every  # an experiment may have an evaluation of its own
    means = [f"{row.mode} {say_cell(row, column, partial(mean, column=column), markup)}" for row in rows]
    return "; ".join(means) or markup.dash


def _our_cost(table: Table, entry: Published) -> str:
    """A size compares with our float32 parameters and statistics; a latency on another device with nothing."""
    if entry.metric == "latency_ms":
        return "not comparable: other device"
    if entry.system not in table.costs:
        return "not comparable: not counted"
    return f"{table.costs[entry.system].counts.bytes / 1e6:.2f}"
