"""What a constant answer would have been worth on the faces of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from agegender.metrics import Metric, evaluate
from agegender.report.cells import Cell, build_cell
from agegender.report.records import Record
from agegender.tasks import TASKS


def constant_answers(
    records: Sequence[Record], columns: Sequence[Metric], folds: Sequence[int]
) -> tuple[str, Mapping[str, Cell]]:
    """Answer every face of a fold with the fold's own most frequent label, ranking the others by frequency.

    A measured task is answered with the fold's median, which no other constant's mean absolute error is below.

    The training faces, whose majority a real predictor would know, are not in the predictions files. Each fold's truths
    come from the first finished run of the fold that has them. Returned are what the answer is called and its cells.
    """
    tasks = tuple(dict.fromkeys(task for record in records for task in record.job.run.tasks))
    cells: dict[str, Cell] = {}
    for task in tasks:
        first: dict[int, Record] = {}
        for record in records:
            if record.metrics.get(f"{task}_n") and record.job.run.fold not in first:
                first[record.job.run.fold] = _constant(task, record)
        answered = list(first.values())
        cells |= {metric.name: build_cell(metric, answered, len(folds)) for metric in columns if metric.task == task}
    answers = dict.fromkeys("median" if TASKS[task].measured else "majority label" for task in tasks)
    return f"{' or '.join(answers)} of the test fold", cells


def _constant(task: str, record: Record) -> Record:
    faces = record.predictions
    if TASKS[task].measured:
        constant = faces.assign(**{f"{task}_pred": faces[f"{task}_true"].median()})
    else:
        truth = faces[f"{task}_true"].dropna().astype(int)
        frequency = np.bincount(truth, minlength=len(TASKS[task].labels)) / len(truth)
        answer = {f"{task}_p{label}": share for label, share in enumerate(frequency)}
        constant = faces.assign(**answer, **{f"{task}_pred": int(frequency.argmax())})
    return replace(record, metrics=evaluate(constant, [task]), predictions=constant)
