"""The cells of a table: one metric of one system, over folds and over all faces. Shares are fractions 0..1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import nan
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agegender import metrics, statistics
from agegender.tasks import TASKS, Task


@dataclass(frozen=True)
class Column:
    """A metric of the table: a fraction, of which more is better, or an error in `unit`, of which less is better."""

    task: str
    kind: str
    title: str
    unit: str = ""

    @property
    def metric(self) -> str:
        """The metric's name in `metrics.evaluate`."""
        return f"{self.task}_{self.kind}"


def _columns(task: Task) -> list[Column]:
    """The metrics of a task that `metrics.evaluate` gives, in the order of the table."""
    if not task.ordinal:
        return [Column(task.name, "accuracy", f"{task.title} accuracy")]
    name = task.name.replace("_", " ")
    return [
        Column(task.name, "exact", f"{name} exact"),
        Column(task.name, "one_off", f"{name} 1-off"),
        Column(task.name, "top2", f"{name} top-2"),
        Column(task.name, "balanced_exact", f"{name} balanced exact"),
        Column(task.name, "mae", f"{name} MAE (groups)", "groups"),
    ]


COLUMNS = tuple(column for task in TASKS.values() for column in _columns(task))

# What is shown fold by fold, beside the folds' mean.
HEADLINES = tuple(column.metric for column in COLUMNS if column.kind in ("exact", "accuracy"))


@dataclass(frozen=True)
class Cell:
    """One metric of one system. Without any finished fold `folds` is empty and the numbers are NaN.

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


class Scored(NamedTuple):
    """The predictions of one finished run, and their metrics."""

    fold: int
    seed: int
    run: str
    metrics: Mapping[str, float]
    predictions: pd.DataFrame


def labelled(task: str, scored: Sequence[Scored]) -> pd.DataFrame:
    """Return all faces of the runs that have the task's label; with several seeds a face is there once for each."""
    values = ["true", "pred", *(f"p{label}" for label in range(len(TASKS[task].labels)))]
    names = ["image", "subject", *(f"{task}_{value}" for value in values)]
    return pd.concat([run.predictions.loc[run.predictions[f"{task}_true"].notna(), names] for run in scored])


def clusters_of(faces: pd.DataFrame) -> pd.Series[str]:
    """Return what is drawn as a whole: the subject, or else the image: a face under another seed is the same face."""
    return faces["subject"].fillna(faces["image"])


def build_cell(column: Column, scored: Sequence[Scored], expected: int) -> Cell:
    """Build a column's cell from finished runs, of which `expected` were to be.

    The interval draws subjects with their faces; of runs without any labelled face nothing is counted as done.
    """
    scored = sorted((run for run in scored if column.metric in run.metrics), key=lambda run: run.fold)
    if not scored:
        return Cell({}, {}, nan, nan, nan, nan, nan, expected, {})
    of_fold = {fold: list(runs) for fold, runs in groupby(scored, key=lambda run: run.fold)}
    folds = {fold: float(np.mean([run.metrics[column.metric] for run in runs])) for fold, runs in of_fold.items()}
    mean, sd = statistics.fold_summary(list(folds.values()))
    faces = labelled(column.task, scored)
    low, high = statistics.cluster_bootstrap(
        metrics.face_values(faces, TASKS[column.task], column.kind),
        clusters=clusters_of(faces),
        classes=faces[f"{column.task}_true"].astype(int) if column.kind == "balanced_exact" else None,
    )
    return Cell(
        folds=folds,
        counts={run.fold: int(run.metrics[f"{column.task}_n"]) for run in scored},
        mean=mean,
        sd=sd,
        pooled=metrics.evaluate(faces, [column.task])[column.metric],
        low=low,
        high=high,
        expected=expected,
        runs={fold: tuple(run.run for run in runs) for fold, runs in of_fold.items()},
    )


def count_confusion(task: str, scored: Sequence[Scored]) -> NDArray[np.int64]:
    """Count true labels (rows) against predicted ones over all runs, shape (labels, labels)."""
    size = len(TASKS[task].labels)
    counts = np.zeros((size, size), dtype=np.int64)
    if scored:
        faces = labelled(task, scored)
        np.add.at(counts, (faces[f"{task}_true"].astype(int), faces[f"{task}_pred"].astype(int)), 1)
    return counts
