"""Run folders as training leaves them, with answers that are known, and the table of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from agegender.metrics import evaluate
from agegender.report.published import read_published
from agegender.report.records import load_records
from agegender.report.table import Table, build_table
from agegender.runs.folder import RunFolder
from agegender.runs.job import Job
from agegender.runs.predictions import predictions_table, predictions_text
from made_runs import made_run

FACTS = {"experiment": "two networks", "digest": "0123abcd", "selection": "last step", "date": "2026-11-22"}
PUBLISHED = [
    {"system": "lmtcnn", "metric": "age_exact", "value": 44.83, "sd": 4.77, "dataset": "drawn", "protocol": "joint",
     "note": "single view", "source": "the authors' logs"},
    {"system": "lmtcnn", "metric": "gender_accuracy", "value": 85.46, "sd": None, "dataset": "adience",
     "protocol": "joint", "source": "the authors' logs"},
    {"system": "plain_age", "metric": "age_top2", "value": None, "dataset": "drawn", "protocol": "other",
     "source": "the paper"},
]  # fmt: skip


def job(
    root: Path,
    system: str,
    tasks: Sequence[str],
    fold: int,
    seed: int = 0,
    mode: str = "sound",
    variant: str = "",
    title: str | None = None,
) -> Job:
    title = title or system.replace("_age", ", age only").upper()
    run = made_run(system, tasks, title=title, fold=fold, seed=seed, mode=mode)
    if variant:
        run = run.model_copy(update={"evaluation": run.evaluation.model_copy(update={"views": variant})})
    return Job(run, {}, RunFolder(root / f"{system}-f{fold}-s{seed}-{mode}{variant}"))


def finish(job: Job, wrong: Sequence[int] = (), faces: int = 16, commit: str = "a1b2c3d4e5f6") -> Job:
    """Write the run folder of a finished job: truths in a fixed pattern, the faces numbered `wrong` answered wrongly.

    Wrong ages are one to three groups off; second place has the label two below, which is the truth when two off.
    """
    number = np.arange(faces)
    age, gender = (number + job.run.fold) % 8, (number // 3) % 2
    answer = {
        "age": np.where(np.isin(number, wrong), (age + 1 + number % 3) % 8, age),
        "gender": gender ^ np.isin(number, wrong),
    }
    rows = pd.DataFrame(
        {
            "image": [f"{job.run.fold}/{n:02}.jpg" for n in number],
            "subject": pd.array([f"user{job.run.fold}{n // 4}" for n in number], dtype="string"),
            "fold": job.run.fold,
            "age_group": pd.array(age, dtype="Int64"),
            "gender": pd.array(gender, dtype="Int64"),
        }
    )
    rows.loc[faces - 1, "gender"] = pd.NA
    size = {"age": 8, "gender": 2}
    posteriors = {
        task: (0.6 * np.eye(k) + 0.3 * np.roll(np.eye(k), -2, axis=1) + 0.1 / k)[answer[task]].astype(np.float32)
        for task, k in size.items()
        if task in job.run.tasks
    }
    run = job.folder
    table = predictions_table(rows, posteriors, answer)
    run.write_text("predictions.csv", predictions_text(table))
    run.write(
        "environment", {"commit": commit, "dirty": False, "hardware": {"cores": 2}, "versions": {"torch": "2.14.1"}}
    )
    scores = {f"test/{name}": value for name, value in evaluate(table, job.run.tasks).items()}
    run.write("metrics", scores | {"parameters": 7614634})
    run.finish()
    return job


def fail(job: Job, error: str = "the loss became NaN | at step 7") -> Job:
    job.folder.write("failed", {"error": error, "traceback": "..."})
    return job


def three_systems(root: Path) -> list[Job]:
    """Return three systems on three folds: one complete, one with a failed fold and another commit, one never run."""
    return [
        finish(job(root, "lmtcnn", ("age", "gender"), 0), wrong=[1, 5, 9]),
        finish(job(root, "lmtcnn", ("age", "gender"), 1), wrong=[2]),
        finish(job(root, "lmtcnn", ("age", "gender"), 2), wrong=[0, 1, 2, 3, 4], faces=12),
        finish(job(root, "plain_age", ("age",), 0), wrong=[3], commit="fffeee000111"),
        fail(job(root, "plain_age", ("age",), 1)),
        finish(job(root, "plain_age", ("age",), 2), wrong=range(6), faces=12),
        *(job(root, "plain_gender", ("gender",), fold) for fold in range(3)),
    ]


def table_of(jobs: Sequence[Job], **facts: str) -> Table:
    return build_table(load_records(jobs), read_published(PUBLISHED), FACTS | facts)
