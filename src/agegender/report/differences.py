"""What another evaluation of the same weights changes, paired fold by fold and face by face. Shares are fractions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agegender import metrics, statistics
from agegender.report.cells import Cell, Column, Scored, clusters_of, labelled
from agegender.tasks import TASKS


@dataclass(frozen=True)
class Difference:
    """A metric under one evaluation minus the same metric under the mode's own, over the folds that both have.

    `mean` and `sd` (ddof 1) run over `folds`; `pooled` is the difference over all faces together and `low` to `high`
    its 95 % interval (subjects resampled, both evaluations of a subject together).
    """

    folds: Mapping[int, float]
    mean: float
    sd: float
    pooled: float
    low: float
    high: float


def build_difference(
    column: Column, ours: Cell, theirs: Cell, our_runs: Sequence[Scored], their_runs: Sequence[Scored]
) -> Difference | None:
    """Compare two evaluations of a system in a column whose metric is a mean over faces; None without a common fold."""
    folds = {fold: ours.folds[fold] - theirs.folds[fold] for fold in ours.folds if fold in theirs.folds}
    if not folds:
        return None
    mean, sd = statistics.fold_summary(list(folds.values()))
    task = TASKS[column.task]
    sides = [labelled(task.name, [run for run in runs if run.fold in folds]) for runs in (our_runs, their_runs)]
    values = [metrics.face_values(faces, task, column.kind) for faces in sides]
    low, high = statistics.paired_bootstrap(values[0], clusters_of(sides[0]), values[1], clusters_of(sides[1]))
    return Difference(folds, mean, sd, float(values[0].mean() - values[1].mean()), low, high)
