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

from agegender import metrics
from agegender.metrics import bootstrap
from agegender.tasks import TASKS, Task


@dataclass(frozen=True)
class Column:
    """A metric of the table: a fraction, printed in percent, or a number in another `unit`, "" for a bare one."""

    task: str
    kind: str
    title: str
    unit: str = "%"
    less_is_better: bool = False

    @property
    def metric(self) -> str:
        """The metric's name in `metrics.evaluate`."""
        return f"{self.task}_{self.kind}"

    @property
    def scale(self) -> int:
        """What its values are multiplied by where people read them."""
        return 100 if self.unit == "%" else 1


def _columns(task: Task) -> list[Column]:
    """The metrics of a task that `metrics.evaluate` gives, in the order of the table."""
    if not task.ordinal:
        return [Column(task.name, "accuracy", f"{task.title} accuracy")]
    name = task.name.replace("_", " ")
    if task.measured:
        return [
            Column(task.name, "mae", f"{name} MAE", task.unit, less_is_better=True),
            Column(task.name, "rmse", f"{name} RMSE", task.unit, less_is_better=True),
            *(Column(task.name, kind, f"{name} CS@{k:g}") for kind, k in metrics.TOLERANCES.get(task.name, {}).items()),
            Column(task.name, "pearson", f"{name} Pearson", ""),
            Column(task.name, "epsilon", f"{name} epsilon-error", "", less_is_better=True),
        ]
    return [
        Column(task.name, "exact", f"{name} exact"),
        Column(task.name, "one_off", f"{name} 1-off"),
        Column(task.name, "top2", f"{name} top-2"),
        Column(task.name, "balanced_exact", f"{name} balanced exact"),
        Column(task.name, "mae", f"{name} MAE (groups)", "groups", less_is_better=True),
    ]


COLUMNS = tuple(column for task in TASKS.values() for column in _columns(task))

# What is shown fold by fold, beside the folds' mean.
HEADLINES = tuple(
    column.metric
    for column in COLUMNS
    if column.kind in ("exact", "accuracy") or (column.kind == "mae" and TASKS[column.task].measured)
)


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
    values = ["true", "sd", "pred", *(f"p{label}" for label in range(len(TASKS[task].labels)))]
    names = ["image", "subject", *(f"{task}_{value}" for value in values)]
    return pd.concat([run.predictions[run.predictions[f"{task}_true"].notna()].filter(names) for run in scored])


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
    mean, sd = bootstrap.fold_summary(list(folds.values()))
    faces = labelled(column.task, scored)
    low, high = _interval(column, faces)
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


def _interval(column: Column, faces: pd.DataFrame) -> tuple[float, float]:
    """The 95 % interval of a metric: of a root mean square the roots of the mean's; NaN for a correlation."""
    if column.kind == "pearson":
        return nan, nan
    root = column.kind == "rmse"
    values = metrics.face_values(faces, TASKS[column.task], "mae" if root else column.kind)
    low, high = bootstrap.cluster_bootstrap(
        values**2 if root else values,
        clusters=clusters_of(faces),
        classes=faces[f"{column.task}_true"].astype(int) if column.kind == "balanced_exact" else None,
    )
    return (low**0.5, high**0.5) if root else (low, high)


def count_confusion(task: str, scored: Sequence[Scored]) -> NDArray[np.int64]:
    """Count true labels (rows) against predicted ones, the nearest of each, over all runs, shape (labels, labels)."""
    size = len(TASKS[task].labels)
    counts = np.zeros((size, size), dtype=np.int64)
    if scored:
        faces, first, step = labelled(task, scored), TASKS[task].first, TASKS[task].step
        true, answer = (
            ((faces[f"{task}_{what}"].astype(float) - first) / step).round().astype(int) for what in ("true", "pred")
        )
        np.add.at(counts, (true, answer), 1)
    return counts


def errors_by_decade(task: str, scored: Sequence[Scored]) -> Mapping[int, tuple[float, int]]:
    """Mean absolute error and number of faces by decade of the true age, all runs together."""
    if not scored:
        return {}
    faces = labelled(task, scored)
    return metrics.mae_by_decade(faces[f"{task}_true"].astype(float), faces[f"{task}_pred"].astype(float))
