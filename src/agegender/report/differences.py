"""A row against another one, paired fold by fold and face by face. Shares are fractions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan

import numpy as np

from agegender import metrics
from agegender.metrics import bootstrap
from agegender.report.cells import Column, Scored, clusters_of, labelled
from agegender.tasks import TASKS


@dataclass(frozen=True)
class Difference:
    """A metric of one row minus the same metric of another (the mode's own evaluation, or the reference's).

    Only runs count that both have.

    `folds` has each fold's difference (mean over seeds), `runs` the `n` faces' runs of which `expected` were to be.
    `mean` and `sd` (ddof 1) run over `folds`; `pooled` is the difference over all faces together and `low` to `high`
    its 95 % interval (subjects resampled, both evaluations of a subject together).
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
        """The number of runs that both evaluations have."""
        return len(self.runs)

    @property
    def complete(self) -> bool:
        """Whether no run is missing."""
        return self.done == self.expected


def build_difference(column: Column, ours: Sequence[Scored], theirs: Sequence[Scored], expected: int) -> Difference:
    """Compare two evaluations of a system, run by run, in a column whose metric is a mean over faces.

    Only runs count whose fold and seed both have; without any the numbers are NaN. `expected`: how many were to be.
    """
    base = {(run.fold, run.seed): run for run in theirs if column.metric in run.metrics}
    shared = [run for run in ours if column.metric in run.metrics and (run.fold, run.seed) in base]
    if not shared:
        return Difference({}, nan, nan, nan, nan, nan, 0, (), expected)
    gaps: dict[int, list[float]] = {}
    for run in shared:
        gap = run.metrics[column.metric] - base[run.fold, run.seed].metrics[column.metric]
        gaps.setdefault(run.fold, []).append(gap)
    folds = {fold: float(np.mean(values)) for fold, values in gaps.items()}
    mean, sd = bootstrap.fold_summary(list(folds.values()))
    task = TASKS[column.task]
    sides = [labelled(task.name, runs) for runs in (shared, [base[run.fold, run.seed] for run in shared])]
    values = [metrics.face_values(faces, task, column.kind) for faces in sides]
    low, high = bootstrap.paired_bootstrap(values[0], clusters_of(sides[0]), values[1], clusters_of(sides[1]))
    pooled = float(values[0].mean() - values[1].mean())
    runs = tuple(run.run for run in shared)
    return Difference(folds, mean, sd, pooled, low, high, len(values[0]), runs, expected)
