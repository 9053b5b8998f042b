"""The table as grids of words: what each cell says, in the markup of Markdown or LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import isnan

from agegender.report.cells import COLUMNS, HEADLINES, Cell, Column
from agegender.report.cost_grids import cost_grids, counted, fastest
from agegender.report.costs import is_measured, main_device
from agegender.report.differences import Difference
from agegender.report.grid import Grid
from agegender.report.markup import Markup
from agegender.report.published_grid import published_grid
from agegender.report.table import Row, Table, best_rows
from agegender.report.words import change, mean, number, say_cell, told

_MEANS_NOTES = (
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


def build_grids(table: Table, markup: Markup) -> list[Grid]:
    """Lay the table out as grids: means over folds, pooled, fold by fold, validation, and the published numbers."""
    headlines = [column for column in table.columns if column.metric in HEADLINES]
    folds = [_folds_grid(table, column, markup) for column in headlines]
    # Where a system has rows of several evaluations, the one without a name of its own names it.
    titles = {row.system: row.title for row in sorted(table.rows, key=lambda row: not row.variant)}
    costs = cost_grids(table.costs, titles, markup) if table.costs else []
    validation = [_validation_grid(table, headlines, markup)] if any(row.validation for row in table.rows) else []
    differences = [_differences_grid(table, headlines, markup)] if any(r.differences for r in table.rows) else []
    published = [published_grid(table, markup)] if table.published else []
    return [
        _means_grid(table, markup),
        *costs,
        *differences,
        _pooled_grid(table, markup),
        *folds,
        *([_decades_grid(table, markup)] if any(row.decades for row in table.rows) else []),
        *validation,
        *published,
    ]


def _means_grid(table: Table, markup: Markup) -> Grid:
    best = {column.metric: best_rows(table, column) for column in table.columns}

    def words(row: Row, column: Column) -> str:
        def say(cell: Cell) -> str:
            mean = number(cell.mean, column)
            return mean if isnan(cell.sd) else f"{mean}{markup.plus_minus}{number(cell.sd, column)}"

        text = say_cell(row, column, say, markup)
        return markup.bold(text) if row in best[column.metric] else text

    def line(row: Row) -> list[str]:
        parameters = markup.dash if row.parameters is None else f"{row.parameters:,}"
        return [*(words(row, column) for column in table.columns), _count(row), parameters, *_cost(row, table, markup)]

    head = [*(column.title for column in table.columns), "n", "parameters"]
    head += ["MACs, million", "MB"] if table.costs else []
    head += ["ms, fastest runtime"] if is_measured(table.costs) else []
    notes = [*_MEANS_NOTES, *_remarks(table)]
    return _systems_grid("means", "Mean over the folds", head, line, notes, table, markup)


def _cost(row: Row, table: Table, markup: Markup) -> list[str]:
    """MACs, MB and the fastest latency of a row's network, where the table has costs at all."""
    if not table.costs:
        return []
    measured = is_measured(table.costs)
    if row.system not in table.costs:
        return [markup.dash] * (3 if measured else 2)
    cost = table.costs[row.system]
    if not measured:
        return counted(cost.counts)[1:]
    if (row.mode, row.variant) in cost.other_function:
        return [*counted(cost.counts)[1:], "another function"]
    return [*counted(cost.counts)[1:], markup.escape(fastest(cost, main_device(table.costs))) or "missing"]


def _pooled_grid(table: Table, markup: Markup) -> Grid:
    def words(row: Row, column: Column) -> str:
        def say(cell: Cell) -> str:
            if isnan(cell.low):
                return number(cell.pooled, column)
            return f"{number(cell.pooled, column)} [{number(cell.low, column)}{markup.to}{number(cell.high, column)}]"

        return say_cell(row, column, say, markup)

    def line(row: Row) -> list[str]:
        return [*(words(row, column) for column in table.columns), _count(row)]

    head = [*(column.title for column in table.columns), "n"]
    return _systems_grid("pooled", "Pooled over all test faces", head, line, _POOLED_NOTES, table, markup)


def _differences_grid(table: Table, columns: Sequence[Column], markup: Markup) -> Grid:
    def folds(found: Difference, column: Column) -> str:
        mean = markup.escape(change(found.mean, column))
        return mean if isnan(found.sd) else f"{mean}{markup.plus_minus}{number(found.sd, column)}"

    def faces(found: Difference, column: Column) -> str:
        values = (found.pooled, found.low, found.high)
        pooled, low, high = (markup.escape(change(value, column)) for value in values)
        return f"{pooled} [{low} {markup.to} {high}]"

    body = []
    for row in (row for row in table.rows if row.differences):
        found = {column: row.differences.get(column.metric) for column in columns}
        words = [
            told(each, partial(say, column=column), row, markup)
            for column, each in found.items()
            for say in (folds, faces)
        ]
        counts = dict.fromkeys(f"{each.n:,}" for each in found.values() if each)
        body.append([_name(row, table, markup), markup.escape(row.mode), *words, " / ".join(counts)])
    head = [*(f"{column.title}, {part}" for column in columns for part in ("folds", "all faces")), "n"]
    names = [markup.escape(word) for word in ["system", "mode", *head]]
    reference = table.reference_title
    title = f"Against {reference}" if reference else "What the evaluation changes"
    first = (
        f"Each row against {reference}" if reference else "Each row against the same system evaluated as its mode says"
    )
    notes = [f"{first}, {_DIFFERENCES_NOTE}"]
    return Grid("differences", title, names, body, notes, "ll" + "r" * len(head))


def _decades_grid(table: Table, markup: Markup) -> Grid:
    decades = sorted({decade for row in table.rows for decade in row.decades})

    def say(row: Row, decade: int) -> str:
        if decade not in row.decades:
            return markup.dash
        error, count = row.decades[decade]
        return f"{error:.2f} ({count:,})"

    body = [
        [_name(row, table, markup), markup.escape(row.mode), *(say(row, decade) for decade in decades)]
        for row in table.rows
        if row.decades
    ]
    head = [markup.escape(word) for word in ["system", "mode", *(f"{d} to {d + 9}" for d in decades)]]
    return Grid("decades", "MAE by decade of the annotated age", head, body, _DECADES_NOTES, "ll" + "r" * len(decades))


def _folds_grid(table: Table, column: Column, markup: Markup) -> Grid:
    def words(row: Row, fold: int) -> str:
        cell = row.cells.get(column.metric)
        if cell is None:
            return markup.dash
        return f"{number(cell.folds[fold], column)} ({cell.counts[fold]})" if fold in cell.folds else "missing"

    def line(row: Row) -> list[str]:
        return [words(row, fold) for fold in table.folds]

    head = [f"fold {fold}" for fold in table.folds]
    return _systems_grid(column.metric, f"Fold by fold: {column.title}", head, line, _FOLDS_NOTES, table, markup)


def _validation_grid(table: Table, columns: Sequence[Column], markup: Markup) -> Grid:
    def line(row: Row) -> list[str]:
        words = []
        for column in columns:
            value = row.validation.get(column.task)
            words.append(markup.dash if value is None else number(value, column))
            words.append(say_cell(row, column, partial(mean, column=column), markup))
        return words

    head = [f"{column.title}, {part}" for column in columns for part in ("validation", "test")]
    return _systems_grid("validation", "Validation against test", head, line, _VALIDATION_NOTES, table, markup)


def _systems_grid(
    name: str,
    title: str,
    head: Sequence[str],
    line: Callable[[Row], list[str]],
    notes: Sequence[str],
    table: Table,
    markup: Markup,
) -> Grid:
    """Lay out a line per system and one for the majority baseline, their numbers said by `line`."""
    body = []
    for row in [*table.rows, table.baseline]:
        body.append([_name(row, table, markup), markup.escape(row.mode) or markup.dash, *line(row)])
    words = [markup.escape(word) for word in ["system", "mode", *head]]
    return Grid(name, title, words, body, notes, "ll" + "r" * len(head))


def _name(row: Row, table: Table, markup: Markup) -> str:
    return markup.escape(row.title) + (markup.dagger if _is_of_other_commit(row, table) else "")


def _count(row: Row) -> str:
    counts = {column.task: row.cells[column.metric].n for column in COLUMNS if column.metric in row.cells}
    if len(set(counts.values())) == 1:
        return f"{next(iter(counts.values())):,}"
    return ", ".join(f"{task} {n:,}" for task, n in counts.items())


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
