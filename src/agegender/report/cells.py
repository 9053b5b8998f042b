"""The cells of a table: a metric of one row, over folds and over all faces, and its difference to another row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import nan

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agegender import metrics
from agegender.metrics import Metric, bootstrap
from agegender.report.records import Record
from agegender.tasks import TASKS


@dataclass(frozen=True)
class Cell:
    """One metric of one row; shares are fractions. Without any finished fold `folds` is empty and the numbers are NaN.

    `folds` and `counts` are the value (mean over seeds) and the number of labelled faces of each finished fold; `mean`
    and `sd` (ddof 1) run over `folds`; `pooled` is the metric of all faces together and `low` to `high` its 95 %
    interval (subjects resampled). `runs` are the identities of each fold's runs, of which `expected` were to be in all.
    """

    folds: Mapping[int, float]
    counts: Mapping[int, int]
    mean: float
    sd: float
    pooled: float
    low: float
    high: float
    expected: int
    runs: Mapping[int, tuple[str, ...]]

    @property
    def n(self) -> int:
        """The number of labelled test faces of the finished folds."""
        return sum(self.counts.values())

    @property
    def done(self) -> int:
        """The number of runs in the cell."""
        return sum(map(len, self.runs.values()))

    @property
    def complete(self) -> bool:
        """Whether every run that belongs to the cell is in it."""
        return self.done == self.expected


@dataclass(frozen=True)
class Difference:
    """A headline metric of one row minus that of another, over the runs whose fold and seed both have.

    `folds` has each fold's difference (mean over seeds), `runs` the `n` faces' runs of which `expected` were to be.
    `mean` and `sd` (ddof 1) run over `folds`; `pooled` is the difference over all faces together and `low` to `high`
    its 95 % interval (subjects resampled, both answers to the faces of a subject together).
    """

    folds: Mapping[int, float]
    mean: float
    sd: float
    pooled: float
    low: float
    high: float
    n: int
    runs: tuple[str, ...]
    expected: int

    @property
    def done(self) -> int:
        """The number of runs that both rows have."""
        return len(self.runs)

    @property
    def complete(self) -> bool:
        """Whether no run is missing."""
        return self.done == self.expected


def build_cell(metric: Metric, records: Sequence[Record], expected: int) -> Cell:
    """Build a metric's cell from finished runs, of which `expected` were to be.

    Of runs without any labelled face nothing is counted as done.
    """
    done = sorted(
        (record for record in records if metric.name in record.metrics), key=lambda record: record.job.run.fold
    )
    if not done:
        return Cell({}, {}, nan, nan, nan, nan, nan, expected, {})
    of_fold = {fold: list(runs) for fold, runs in groupby(done, key=lambda record: record.job.run.fold)}
    folds = {fold: float(np.mean([run.metrics[metric.name] for run in runs])) for fold, runs in of_fold.items()}
    mean, sd = bootstrap.fold_summary(list(folds.values()))
    faces = _labelled(metric.task, done)
    low, high = metric.interval(faces)
    return Cell(
        folds=folds,
        counts={record.job.run.fold: int(record.metrics[f"{metric.task}_n"]) for record in done},
        mean=mean,
        sd=sd,
        pooled=metrics.evaluate(faces, [metric.task])[metric.name],
        low=low,
        high=high,
        expected=expected,
        runs={fold: tuple(run.job.identity for run in runs) for fold, runs in of_fold.items()},
    )


def build_difference(metric: Metric, ours: Sequence[Record], theirs: Sequence[Record], expected: int) -> Difference:
    """Compare two rows run by run in a headline metric; without a run that both have, the numbers are NaN.

    `expected`: how many runs were to be.
    """
    base = {(run.job.run.fold, run.job.run.seed): run for run in theirs if metric.name in run.metrics}
    shared = [run for run in ours if metric.name in run.metrics and (run.job.run.fold, run.job.run.seed) in base]
    if not shared:
        return Difference({}, nan, nan, nan, nan, nan, 0, (), expected)
    others = [base[run.job.run.fold, run.job.run.seed] for run in shared]
    gaps: dict[int, list[float]] = {}
    for run, other in zip(shared, others, strict=True):
        gaps.setdefault(run.job.run.fold, []).append(run.metrics[metric.name] - other.metrics[metric.name])
    folds = {fold: float(np.mean(values)) for fold, values in gaps.items()}
    mean, sd = bootstrap.fold_summary(list(folds.values()))
    sides = [_labelled(metric.task, runs) for runs in (shared, others)]
    values = [metrics.face_values(faces, TASKS[metric.task], metric.kind) for faces in sides]
    clusters = [bootstrap.clusters_of(faces) for faces in sides]
    low, high = bootstrap.paired_bootstrap(values[0], clusters[0], values[1], clusters[1])
    pooled = float(values[0].mean() - values[1].mean())
    runs = tuple(run.job.identity for run in shared)
    return Difference(folds, mean, sd, pooled, low, high, len(values[0]), runs, expected)


def count_confusion(task: str, done: Sequence[Record]) -> NDArray[np.int64]:
    """Count true labels (rows) against predicted ones, the nearest of each, over all runs, shape (labels, labels)."""
    size, first, step = len(TASKS[task].labels), TASKS[task].first, TASKS[task].step
    counts = np.zeros((size, size), dtype=np.int64)
    if done:
        faces = _labelled(task, done)
        true, answer = (
            ((faces[f"{task}_{what}"].astype(float) - first) / step).round().astype(int) for what in ("true", "pred")
        )
        np.add.at(counts, (true, answer), 1)
    return counts


def errors_by_decade(task: str, done: Sequence[Record]) -> Mapping[int, tuple[float, int]]:
    """Mean absolute error and number of faces by decade of the true age, all runs together."""
    if not done:
        return {}
    faces = _labelled(task, done)
    return metrics.mae_by_decade(faces[f"{task}_true"].astype(float), faces[f"{task}_pred"].astype(float))


def _labelled(task: str, done: Sequence[Record]) -> pd.DataFrame:
    """All faces of the runs that have the task's label; with several seeds a face is there once for each."""
    values = ["true", "sd", "pred", *(f"p{label}" for label in range(len(TASKS[task].labels)))]
    names = ["image", "subject", *(f"{task}_{value}" for value in values)]
    return pd.concat([run.predictions[run.predictions[f"{task}_true"].notna()].filter(names) for run in done])
