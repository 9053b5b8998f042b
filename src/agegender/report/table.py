"""From records to a table: a plain object that the renderers print and the figures draw. Shares are fractions 0..1."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import nan

import numpy as np
from numpy.typing import NDArray

from agegender.errors import UserError
from agegender.report.baseline import constant_answers, scored_of
from agegender.report.cells import (
    COLUMNS,
    HEADLINES,
    Cell,
    Column,
    build_cell,
    count_confusion,
    errors_by_decade,
)
from agegender.report.costs import SystemCost
from agegender.report.differences import Difference, build_difference
from agegender.report.published import Published
from agegender.report.records import Record

_EQUAL = 1e-12  # how far means of the same answers may be apart


@dataclass(frozen=True, eq=False)
class Row:
    """One system in one mode, started and evaluated in one way, over its folds and seeds.

    Metrics of tasks that it does not predict have no cell. `variant` names an evaluation other than the mode's, another
    start than from scratch and a share of the training faces. Rows that differ in this `training_share` only have the
    same `curve`, a title; `training_faces` is the number of faces in each finished fold.
    `validation`: per task the share of right answers on validation, mean over the finished runs that tell it.
    `differences`: of a variant's headline metrics to those of the row whose evaluation is the mode's.

    `key` is unique in the table and fit for file names. `confusion` counts true labels (rows) against predicted ones.
    `decades` has of ages in years the mean absolute error and the number of faces by decade, all runs together.
    """

    system: str
    key: str
    title: str
    mode: str
    variant: str
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    parameters: int | None
    commits: tuple[str, ...]
    cells: Mapping[str, Cell]
    confusion: Mapping[str, NDArray[np.int64]]
    validation: Mapping[str, float]
    differences: Mapping[str, Difference] = field(default_factory=dict)
    decades: Mapping[int, tuple[float, int]] = field(default_factory=dict)
    curve: str = ""
    training_share: float = 1.0
    training_faces: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Table:
    """Rows in the order of the jobs, the majority-class baseline, the published numbers, and what a reader must know.

    `facts` go into the caption as they are. `absent` are the records of runs that are not done, `main_commit` is the
    commit of most runs, `hardware` the machines they ran on, `costs` what each system costs. With a `reference`, a
    system's name, the `differences` of every other row are to its row.
    """

    dataset: str
    protocol: str
    facts: Mapping[str, str]
    columns: tuple[Column, ...]
    folds: tuple[int, ...]
    rows: tuple[Row, ...]
    baseline: Row
    published: tuple[Published, ...]
    absent: tuple[Record, ...]
    main_commit: str
    hardware: tuple[str, ...]
    costs: Mapping[str, SystemCost] = field(default_factory=dict)
    reference: str = ""

    @property
    def reference_title(self) -> str:
        """What words call the rows that others are compared with; "" without a `reference`."""
        rows = [row for row in self.rows if row.system == self.reference]
        if len({row.training_share for row in self.rows}) > 1:
            return f"{rows[0].curve}, on as many training faces" if rows else ""
        return rows[0].title if rows else ""


def build_table(
    records: Sequence[Record],
    published: Sequence[Published],
    facts: Mapping[str, str],
    costs: Mapping[str, SystemCost] | None = None,
    reference: str = "",
) -> Table:
    """Put the records of an experiment into one table.

    A row is a system in a mode, an evaluation, a start and a share of the training faces; its seeds are averaged within
    each fold. Published numbers are set beside ours only where data set, test faces and metric match and the data are
    whole (no fact "partial"). Every row is compared, on the same test faces, with that of the system `reference` in its
    mode, from scratch on the same share of the training faces, where one is named. UserError without records, or when
    they span several data sets or protocols, whose numbers must not share a table.
    """
    if not records:
        raise UserError(
            "there is no run to report: the experiment lists no jobs, so check the overrides that narrow it"
        )
    dataset, protocol = (
        _only((r.job.dataset for r in records), "data sets"),
        _only((r.job.protocol for r in records), "protocols"),
    )
    _check_alike(records, ("data", "protocol", "half"), "a table")
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.job.system, record.job.mode, record.job.variant), []).append(record)
    for group in groups.values():
        # Of each fold are the weights it starts from, too.
        _check_alike(group, set(group[0].job.keys) - {"fold", "seed", "weights"}, f"the row of {group[0].job.system}")
    modes = {system: {mode for other, mode, _ in groups if other == system} for system, _, _ in groups}
    measured = {name for record in records for name in record.metrics or {}}
    tasks = {task for record in records for task in record.job.tasks}
    columns = tuple(
        column
        for column in COLUMNS
        # Only some data have what this metric needs.
        if column.task in tasks and (column.kind != "epsilon" or column.metric in measured)
    )
    rows = {key: _row(group, columns, one_mode=len(modes[key[0]]) == 1) for key, group in groups.items()}
    for (system, mode, variant), row in rows.items():
        share = row.training_share
        key, base = (
            (system, mode, variant),
            (reference or system, mode, f"{share:g}" if reference and share < 1 else ""),
        )
        if key == base or base not in rows:
            continue
        if reference or _same_training(groups[key][0], groups[base][0]):
            rows[key] = _compared(row, groups[key], groups[base])
    folds = tuple(sorted({record.job.fold for record in records}))
    return Table(
        dataset=dataset,
        protocol=protocol,
        facts=facts,
        columns=columns,
        folds=folds,
        rows=tuple(rows.values()),
        baseline=_baseline(records, columns, folds),
        published=tuple(published),
        absent=tuple(record for record in records if record.state != "done"),
        main_commit=_most_frequent(record.commit for record in records if record.state == "done"),
        hardware=tuple(dict.fromkeys(_hardware(record) for record in records if record.environment)),
        costs=costs or {},
        reference=reference,
    )


def best_rows(table: Table, column: Column) -> list[Row]:
    """Return the rows with the best mean of a column, where that is better than the constant answer's.

    None while a run of the column is missing or nothing competes.
    """
    rows = [row for row in table.rows if column.metric in row.cells]
    cells = [row.cells[column.metric] for row in rows]
    if len(rows) < 2 or not all(cell.complete for cell in cells):
        return []
    best = (min if column.less_is_better else max)(cell.mean for cell in cells)
    constant = table.baseline.cells[column.metric].mean if column.metric in table.baseline.cells else nan
    gain = constant - best if column.less_is_better else best - constant
    if gain <= _EQUAL:  # of a constant answer there is no correlation, NaN
        return []
    return [row for row, cell in zip(rows, cells, strict=True) if np.isclose(cell.mean, best, rtol=0, atol=_EQUAL)]


def _check_alike(records: Sequence[Record], names: Iterable[str], place: str) -> None:
    """Refuse to average or compare what differs in more than fold and seed (two recipes, two subsets of the data)."""
    for name in names:
        values = {json.dumps(record.job.keys.get(name), sort_keys=True) for record in records}
        if len(values) > 1:
            raise UserError(
                f"runs with different {name} must not share {place}: narrow the experiment to one, {name}=..."
            )


def _most_frequent(values: Iterable[str]) -> str:
    return next((value for value, _ in Counter(values).most_common(1)), "")


def _only(values: Iterable[str], what: str) -> str:
    first, *others = dict.fromkeys(values)
    if others:
        raise UserError(f"the runs span several {what} ({', '.join([first, *others])}): report each of them by itself")
    return first


def _row(records: Sequence[Record], columns: Sequence[Column], one_mode: bool) -> Row:
    """Build the row of records that differ in fold and seed; `one_mode` when the system has no row in another."""
    job = records[0].job
    done = [record for record in records if record.state == "done"]
    scored = scored_of(records)
    return Row(
        system=job.system,
        key="_".join(filter(None, (job.system, "" if one_mode else job.mode, job.variant))),
        title=job.title,
        mode=job.mode,
        variant=job.variant,
        tasks=job.tasks,
        seeds=tuple(sorted({record.job.seed for record in records})),
        parameters=next((record.parameters for record in done if record.parameters is not None), None),
        commits=tuple(dict.fromkeys(record.commit for record in done)),
        cells={
            column.metric: build_cell(column, scored, len(records)) for column in columns if column.task in job.tasks
        },
        confusion={
            task: count_confusion(task, scored)
            for task in dict.fromkeys(column.task for column in COLUMNS)
            if task in job.tasks
        },
        validation={
            task: float(np.mean([r.validation[task] for r in done if task in r.validation]))
            for task in job.tasks
            if any(task in r.validation for r in done)
        },
        decades=errors_by_decade("age_years", scored) if "age_years" in job.tasks else {},
        curve=job.curve,
        training_share=job.training_share,
        training_faces={
            fold: float(np.mean([r.training_faces for r in done if r.job.fold == fold]))
            for fold in dict.fromkeys(r.job.fold for r in done)
            if all(r.training_faces is not None for r in done if r.job.fold == fold)
        },
    )


def _same_training(record: Record, other: Record) -> bool:
    """Whether two rows differ in their test-time settings only."""
    apart = {"evaluation", "fold", "seed"}
    ours, theirs = ({k: v for k, v in r.job.keys.items() if k not in apart} for r in (record, other))
    return ours == theirs


def _compared(row: Row, records: Sequence[Record], base_records: Sequence[Record]) -> Row:
    ours, theirs = scored_of(records), scored_of(base_records)
    found = {
        column.metric: build_difference(column, ours, theirs, len(records))
        for column in COLUMNS
        if column.metric in HEADLINES and column.metric in row.cells
    }
    return replace(row, differences=found)


def _baseline(records: Sequence[Record], columns: Sequence[Column], folds: Sequence[int]) -> Row:
    title, cells = constant_answers(records, columns, folds)
    tasks = tuple(dict.fromkeys(column.task for column in columns))
    return Row("majority", "majority", title, "", "", tasks, (), None, (), cells, {}, {})


def _hardware(record: Record) -> str:
    """Name in one line the machine and the versions that decide numerical results."""
    hardware, versions = record.environment.get("hardware", {}), record.environment.get("versions", {})
    packages = {name: versions.get(name) for name in ("torch", "torchvision")}
    return ", ".join(f"{name} {value}" for name, value in {**hardware, **packages}.items() if value is not None)
