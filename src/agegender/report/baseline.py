"""What the finished runs of a table predicted, and what a constant answer would have been worth on the same faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from agegender import metrics
from agegender.report.cells import Cell, Column, Scored, build_cell
from agegender.report.records import Record
from agegender.tasks import TASKS


def scored_of(records: Sequence[Record]) -> list[Scored]:
    """Return the finished runs among the records with their predictions."""
    done = [record for record in records if record.state == "done"]
    return [Scored(r.job.fold, r.job.seed, r.job.identity, r.metrics or {}, _predictions(r)) for r in done]


def _predictions(record: Record) -> pd.DataFrame:
    if record.predictions is None:
        raise ValueError(f"the record of {record.job.identity} is done but holds no predictions")
    return record.predictions


def constant_answers(
    records: Sequence[Record], columns: Sequence[Column], folds: Sequence[int]
) -> tuple[str, Mapping[str, Cell]]:
    """Answer every face of a fold with the fold's own most frequent label, ranking the others by frequency.

    A measured task is answered with the fold's median, which no other constant's mean absolute error is below.

    The training faces, whose majority a real predictor would know, are not in the predictions files. Each fold's truths
    come from the first finished run of the fold that has them. Returned are what the answer is called and its cells.
    """
    tasks = tuple(dict.fromkeys(task for record in records for task in record.job.tasks if task in TASKS))
    cells: dict[str, Cell] = {}
    for task in tasks:
        first: dict[int, Scored] = {}
        for record in records:
            if record.metrics and record.metrics.get(f"{task}_n") and record.job.fold not in first:
                first[record.job.fold] = _constant(task, record)
        scored = list(first.values())
        cells |= {column.metric: build_cell(column, scored, len(folds)) for column in columns if column.task == task}
    answers = dict.fromkeys("median" if TASKS[task].measured else "majority label" for task in tasks)
    title = f"{' or '.join(answers)} of the test fold"
    return title, cells


def _constant(task: str, record: Record) -> Scored:
    faces = _predictions(record)
    if TASKS[task].measured:
        constant = faces.assign(**{f"{task}_pred": faces[f"{task}_true"].median()})
    else:
        truth = faces[f"{task}_true"].dropna().astype(int)
        frequency = np.bincount(truth, minlength=len(TASKS[task].labels)) / len(truth)
        answer = {f"{task}_p{label}": share for label, share in enumerate(frequency)}
        constant = faces.assign(**answer, **{f"{task}_pred": int(frequency.argmax())})
    return Scored(record.job.fold, record.job.seed, record.job.identity, metrics.evaluate(constant, [task]), constant)
