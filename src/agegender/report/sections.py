"""The sections of a report, in their order: which rows and columns each shows, and its notes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import chain

from agegender.metrics import METRICS
from agegender.report.costs import cost_sections, is_measured, main_device
from agegender.report.markup import Markup, Section
from agegender.report.published import COST_METRICS, Published, why_not_comparable
from agegender.report.table import Row, Table
from agegender.report.table_columns import (
    Column,
    count_column,
    decade_column,
    difference_columns,
    difference_count_column,
    fold_column,
    main_columns,
    mean_column,
    pooled_column,
    validation_columns,
)

_MAIN_NOTES = (
    "Shares in percent, errors in the unit named: mean over the folds and, after ±, the sample standard deviation over "
    "the folds (ddof 1). Bold: best mean of a complete column, where it is better than the constant answer's, the last "
    "row; this is not a significance claim.",
    "—: the system does not predict this. n: labelled test faces. 1-off: at most one group away; top-2: among the two "
    "most probable groups; balanced exact: mean recall of the groups. Age group and gender are as annotated.",
    "The majority row answers every face of a fold with the label most frequent among the fold's own test faces.",
)
_POOLED_NOTES = (
    "All test faces together; in brackets the 95 % percentile interval of a bootstrap that draws whole subjects (or "
    "single faces where subjects are unknown). It covers the choice of the test faces, not of training faces and "
    "seed. A correlation has none.",
)
_DIFFERENCES_NOTE = (
    "in points of percent or in the error's unit: mean and sample standard deviation of the folds' differences, and "
    "the difference over all faces with the 95 % interval of a bootstrap that draws whole subjects (or single faces "
    "where subjects are unknown), each with the answers of both. It covers the choice of the test faces, not of "
    "training faces and seed, of which the folds' spread shows a part."
)
_DECADES_NOTES = ("Mean absolute error in years over all test faces of the decade; in parentheses their number.",)
_FOLDS_NOTES = (
    "Shares in percent; in parentheses the number of labelled test faces. Other metrics by fold: table.csv.",
)
_VALIDATION_NOTES = (
    "Share of right answers in percent, or mean absolute error; mean over the folds. The weights were selected on "
    "these validation faces (mode sound), and under a rule named leaky persons of the training faces are among them: "
    "the left number of a pair is no estimate of the right one, and never the one to quote.",
)
_PUBLISHED_NOTES = (
    "Numbers as their sources print them. Ours stand beside them only where data, test faces and metric are "
    "the same; the authors' own lists test the faces of the rule they are lists of.",
)


def build_sections(table: Table, markup: Markup) -> list[Section]:
    """Lay the table out: the main table, costs, differences, pooled, fold by fold, validation, published numbers."""
    headlines = [metric for metric in table.metrics if metric.headline]
    systems = [*table.rows, table.baseline]

    section = partial(_section, table, markup)
    sections = [main_section(table, markup)]
    if table.costs:
        # Where a system has rows of several evaluations, the one without a name of its own names it.
        titles = {row.system: row.title for row in sorted(table.rows, key=lambda row: not row.variant)}
        sections += cost_sections(table.costs, titles, markup)
    if differing := [row for row in table.rows if row.differences]:
        columns = [*chain(*(difference_columns(m, markup) for m in headlines)), difference_count_column(headlines)]
        title, note = _what_differs(table)
        sections.append(section("differences", title, columns, [note], differing))
    pooled = [*(pooled_column(metric, markup) for metric in table.metrics), count_column(table)]
    sections.append(section("pooled", "Pooled over all test faces", pooled, _POOLED_NOTES, systems))
    for metric in headlines:
        columns = [fold_column(metric, fold, markup) for fold in table.folds]
        sections.append(section(metric.name, f"Fold by fold: {metric.title}", columns, _FOLDS_NOTES, systems))
    if aged := [row for row in table.rows if row.decades]:
        columns = [decade_column(decade, markup) for decade in sorted({d for row in aged for d in row.decades})]
        sections.append(section("decades", "MAE by decade of the annotated age", columns, _DECADES_NOTES, aged))
    if any(row.validation for row in table.rows):
        columns = [*chain(*(validation_columns(metric, markup) for metric in headlines))]
        sections.append(section("validation", "Validation against test", columns, _VALIDATION_NOTES, systems))
    if table.published:
        sections.append(_published_section(table, markup))
    return sections


def main_section(table: Table, markup: Markup) -> Section:
    """Lay out the first table: every metric's mean over the folds, and what else is known of a system."""
    notes, rows = [*_MAIN_NOTES, *_remarks(table)], [*table.rows, table.baseline]
    return _section(table, markup, "means", "Mean over the folds", main_columns(table, markup), notes, rows)


def _section(
    table: Table,
    markup: Markup,
    name: str,
    title: str,
    columns: Sequence[Column],
    notes: Sequence[str],
    rows: Sequence[Row],
) -> Section:
    """Lay out a line per row: the system, its mode, and what each column says of it."""
    body = []
    for row in rows:
        system = markup.escape(row.title) + (markup.dagger if _is_of_other_commit(row, table) else "")
        mode = markup.escape(row.mode) or markup.dash
        body.append([system, mode, *(column.text(row) for column in columns)])
    head = [markup.escape(text) for text in ["system", "mode", *(column.head for column in columns)]]
    return Section(name, title, head, body, notes, "ll" + "r" * len(columns))


def _what_differs(table: Table) -> tuple[str, str]:
    """The title and the note of the differences."""
    if reference := table.reference_title:
        return f"Against {reference}", f"Each row against {reference}, {_DIFFERENCES_NOTE}"
    first = "Each row against the same system evaluated as its mode says"
    return "What the evaluation changes", f"{first}, {_DIFFERENCES_NOTE}"


def _published_section(table: Table, markup: Markup) -> Section:
    """Lay out the published numbers, a line each, ours beside them where they compare, with their sources."""
    titles = {row.system: row.title for row in table.rows}
    names = {name: metric.title for name, metric in METRICS.items()} | COST_METRICS
    body = []
    for entry in table.published:
        value = "not found" if entry.value is None else f"{entry.value:g}"
        spread = "" if entry.sd is None else f"{markup.plus_minus}{entry.sd:g}"
        ours = _our_cost(table, entry) if entry.metric in COST_METRICS else _ours(table, entry, markup)
        what = [titles.get(entry.system, entry.system), names[entry.metric], entry.dataset, entry.protocol]
        source = ". ".join(filter(None, [entry.note, entry.source]))
        body.append([*map(markup.escape, what), value + spread, ours, markup.escape(source)])
    head = ["system", "metric", "data", "protocol", "published", "ours", "source"]
    return Section("published", "Published numbers", head, body, _PUBLISHED_NOTES, "llllrrp")


def _ours(table: Table, entry: Published, markup: Markup) -> str:
    reason = why_not_comparable(entry, table.dataset, table.protocol, table.facts.get("partial", ""))
    if reason:
        return markup.escape(f"not comparable: {reason}")
    every = [row for row in table.rows if row.system == entry.system]
    rows = [row for row in every if not row.variant] or every  # an experiment may have an evaluation of its own
    column = mean_column(METRICS[entry.metric], markup)
    return "; ".join(f"{row.mode} {column.text(row)}" for row in rows) or markup.dash


def _our_cost(table: Table, entry: Published) -> str:
    """A size compares with our float32 parameters and statistics; a latency on another device with nothing."""
    if entry.metric == "latency_ms":
        return "not comparable: other device"
    if entry.system not in table.costs:
        return "not comparable: not counted"
    return f"{table.costs[entry.system].counts.bytes / 1e6:.2f}"


def _remarks(table: Table) -> list[str]:
    """Say what holds for some tables only: several seeds, several commits."""
    seeds = sorted({seed for row in table.rows for seed in row.seeds})
    remarks = [_latency_remark(table)] if is_measured(table.costs) else []
    remarks += [f"A fold's value is the mean over the seeds {', '.join(map(str, seeds))}."] if len(seeds) > 1 else []
    if table.reference and table.reference not in {row.system for row in table.rows}:
        remarks.append(f"The reference {table.reference} is not among these rows, so none is compared with it.")
    other = [row for row in table.rows if _is_of_other_commit(row, table)]
    if other:
        names = "; ".join(f"{row.title} ({row.mode}): {', '.join(row.commits)}" for row in other)
        remarks.append(f"†: not, or not only, made by commit {table.main_commit} as most runs are. {names}.")
    return remarks


def _latency_remark(table: Table) -> str:
    return (
        f"Latency: one face on one thread in float32 on {main_device(table.costs)}, median of single calls, batch norm "
        "on running statistics; 'another function': the accuracy is of batch statistics or of several views of a face."
    )


def _is_of_other_commit(row: Row, table: Table) -> bool:
    return bool(set(row.commits) - {table.main_commit})
