"""From records to a table: a plain object that the renderers print and the figures draw. Shares are fractions 0..1."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import nan

import numpy as np
from numpy.typing import NDArray

from agegender.errors import UserError
from agegender.metrics import METRICS, Metric
from agegender.report.baseline import constant_answers
from agegender.report.cells import Cell, Difference, build_cell, build_difference, count_confusion, errors_by_decade
from agegender.report.costs import SystemCost
from agegender.report.published import Published
from agegender.report.records import Record
from agegender.runs.job import OF_A_FOLD, REPEATS, TABLE, Job
from agegender.tasks import TASKS

_EQUAL = 1e-12  # how far means of the same answers may be apart


@dataclass(frozen=True, eq=False)
class Row:
    """One system in one mode, started and evaluated in one way, over its folds and seeds.

    Metrics of tasks that it does not predict have no cell. `variant` names an evaluation other than the mode's, another
    start than from scratch and a share of the training faces. Rows that differ in this `training_share` only have the
    same `curve`, a title; `training_faces` is the number of faces in each finished fold.
    `validation`: per task the headline metric on validation, mean over the finished runs that tell it.
    `differences`: of headline metrics to those of the reference, or else of the row whose evaluation is the mode's.

    `labels`: by task the names of its label values under the protocol.
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
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


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
    metrics: tuple[Metric, ...]
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
        """What the rows are called that others are compared with; "" without a `reference`."""
        rows = [row for row in self.rows if row.system == self.reference]
        if len({row.training_share for row in self.rows}) > 1:
            return f"{rows[0].curve}, on as many training faces" if rows else ""
        return rows[0].title if rows else ""

    @property
    def caption(self) -> dict[str, str]:
        """What was run, by what it is about."""
        modes = ", ".join(dict.fromkeys(row.mode for row in self.rows))
        folds = ", ".join(map(str, self.folds))
        known = {"data": self.dataset, "protocol": self.protocol, "mode": modes, "folds": folds}
        known |= {key: text for key, text in self.facts.items() if text and key != "experiment"}
        known |= {"commit": self.main_commit} if self.main_commit else {}
        return known | ({"made with": " / ".join(self.hardware)} if self.hardware else {})


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
    dataset = _only((record.job.dataset for record in records), "data sets")
    protocol = _only((record.job.run.protocol.name for record in records), "protocols")
    groups = _grouped(records)
    measured = {name for record in records for name in record.metrics}
    tasks = {task for record in records for task in record.job.run.tasks}
    metrics = tuple(m for m in METRICS.values() if m.task in tasks and (not m.needs_sd or m.name in measured))
    folds = tuple(sorted({record.job.run.fold for record in records}))
    done = [record for record in records if record.state == "done"]
    return Table(
        dataset=dataset,
        protocol=protocol,
        facts=facts,
        metrics=metrics,
        folds=folds,
        rows=tuple(_rows(groups, metrics, reference)),
        baseline=_baseline(records, metrics, folds),
        published=tuple(published),
        absent=tuple(record for record in records if record.state != "done"),
        main_commit=next((commit for commit, _ in Counter(record.commit for record in done).most_common(1)), ""),
        hardware=tuple(dict.fromkeys(record.hardware for record in records if record.environment)),
        costs=costs or {},
        reference=reference,
    )


def best_rows(table: Table, metric: Metric) -> list[Row]:
    """Return the rows with the best mean of a metric, where that is better than the constant answer's.

    None while a run of the metric is missing or nothing competes.
    """
    rows = [row for row in table.rows if metric.name in row.cells]
    cells = [row.cells[metric.name] for row in rows]
    if len(rows) < 2 or not all(cell.complete for cell in cells):
        return []
    best = (min if metric.less_is_better else max)(cell.mean for cell in cells)
    constant = table.baseline.cells[metric.name].mean if metric.name in table.baseline.cells else nan
    gain = constant - best if metric.less_is_better else best - constant
    if gain <= _EQUAL:  # of a constant answer there is no correlation, NaN
        return []
    return [row for row, cell in zip(rows, cells, strict=True) if np.isclose(cell.mean, best, rtol=0, atol=_EQUAL)]


def _only(values: Iterable[str], what: str) -> str:
    first, *others = dict.fromkeys(values)
    if others:
        raise UserError(f"the runs span several {what} ({', '.join([first, *others])}): report each of them by itself")
    return first


def _grouped(records: Sequence[Record]) -> dict[tuple[str, str, str], list[Record]]:
    """Sort records into rows, by system, mode and variant; UserError where a table or a row mixes what must be alike.

    Two recipes, say, or two subsets of the data.
    """
    _refuse(_differing([record.job for record in records]).intersection(TABLE), "a table")
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.job.run.system.name, record.job.run.mode, record.job.variant), []).append(record)
    for (system, _, _), group in groups.items():
        _refuse(_differing([r.job for r in group]).difference(REPEATS, OF_A_FOLD), f"the row of {system}")
    return groups


def _differing(jobs: Sequence[Job]) -> set[str]:
    """The keys of their identities in which jobs differ."""
    names = {name for job in jobs for name in job.keys}
    return {name for name in names if len({json.dumps(job.keys.get(name), sort_keys=True) for job in jobs}) > 1}


def _refuse(names: Collection[str], place: str) -> None:
    for name in sorted(names):
        raise UserError(f"runs with different {name} must not share {place}: narrow the experiment to one, {name}=...")


def _rows(
    groups: Mapping[tuple[str, str, str], Sequence[Record]], metrics: Sequence[Metric], reference: str
) -> Iterator[Row]:
    """Build the rows, each compared with the reference's, or else with its own system evaluated as the mode says."""
    modes = Counter(system for system, _ in {(system, mode) for system, mode, _ in groups})
    for key, group in groups.items():
        system, mode, _ = key
        row = _row(group, metrics, one_mode=modes[system] == 1)
        share = f"{row.training_share:g}" if reference and row.training_share < 1 else ""
        base = (reference or system, mode, share)
        if key == base or base not in groups:
            yield row
        elif reference or not _differing([group[0].job, groups[base][0].job]).difference(REPEATS, ["evaluation"]):
            headlines = [metric for metric in metrics if metric.headline and metric.name in row.cells]
            found = {m.name: build_difference(m, group, groups[base], len(group)) for m in headlines}
            yield replace(row, differences=found)
        else:  # they were trained otherwise too
            yield row


def _row(records: Sequence[Record], metrics: Sequence[Metric], one_mode: bool) -> Row:
    """Build the row of records that differ in fold and seed; `one_mode` when the system has no row in another."""
    job = records[0].job
    done = [record for record in records if record.state == "done"]
    validation = {task: [r.validation[task] for r in done if task in r.validation] for task in job.run.tasks}
    of_fold = {
        fold: [r.training_faces for r in done if r.job.run.fold == fold] for fold in (r.job.run.fold for r in done)
    }
    return Row(
        system=job.run.system.name,
        key="_".join(filter(None, (job.run.system.name, "" if one_mode else job.run.mode, job.variant))),
        title=job.title,
        mode=job.run.mode,
        variant=job.variant,
        tasks=job.run.tasks,
        seeds=tuple(sorted({record.job.run.seed for record in records})),
        parameters=next((record.parameters for record in done if record.parameters is not None), None),
        commits=tuple(dict.fromkeys(record.commit for record in done)),
        cells={
            metric.name: build_cell(metric, done, len(records)) for metric in metrics if metric.task in job.run.tasks
        },
        confusion={task: count_confusion(task, done) for task in TASKS if task in job.run.tasks},
        validation={task: float(np.mean(values)) for task, values in validation.items() if values},
        decades=errors_by_decade("age_years", done) if "age_years" in job.run.tasks else {},
        curve=job.curve,
        training_share=job.run.training_share,
        training_faces={
            fold: float(np.mean(known))
            for fold, counts in of_fold.items()
            if len(known := [count for count in counts if count is not None]) == len(counts)
        },
        labels={task: job.run.labels_of(task) for task in job.run.tasks},
    )


def _baseline(records: Sequence[Record], metrics: Sequence[Metric], folds: Sequence[int]) -> Row:
    title, cells = constant_answers(records, metrics, folds)
    tasks = tuple(dict.fromkeys(metric.task for metric in metrics))
    return Row("majority", "majority", title, "", "", tasks, (), None, (), cells, {}, {})
