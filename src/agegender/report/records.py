"""From the jobs of an experiment to records: what each job's run folder holds, read once and checked."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from agegender import metrics
from agegender.errors import Damaged
from agegender.runs.folder import RunFolder
from agegender.runs.job import Job
from agegender.runs.predictions import read_predictions

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Record:
    """A job and what came of it.

    `metrics` and `predictions` are there when the state is "done", `error` (one sentence) when it is not. `metrics` are
    computed from the predictions file, fractions 0..1 by the names of `metrics.evaluate`. `validation` is what the
    evaluated weights had on validation per task, in the task's headline metric, `parameters` the network's number of
    parameters, `training_faces` the number of faces it was trained on, all where the run folder tells it. `environment`
    is the run's environment.json.
    """

    job: Job
    state: Literal["done", "failed", "missing"]
    error: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    predictions: pd.DataFrame = field(default_factory=pd.DataFrame)
    environment: Mapping[str, Any] = field(default_factory=dict)
    parameters: int | None = None
    validation: Mapping[str, float] = field(default_factory=dict)
    training_faces: int | None = None

    @property
    def commit(self) -> str:
        """The commit that made the run, shortened; marked where the files had uncommitted changes."""
        commit = str(self.environment.get("commit") or "unknown")[:9]
        return f"{commit} with uncommitted changes" if self.environment.get("dirty") else commit

    @property
    def hardware(self) -> str:
        """The machine and the versions that decide numerical results, in one line."""
        hardware, versions = self.environment.get("hardware", {}), self.environment.get("versions", {})
        packages = {name: versions.get(name) for name in ("torch", "torchvision")}
        return ", ".join(f"{name} {value}" for name, value in {**hardware, **packages}.items() if value is not None)

    @property
    def name(self) -> str:
        """The run as a reader knows it."""
        return f"{self.job.title} ({self.job.run.mode}), fold {self.job.run.fold}, seed {self.job.run.seed}"

    @property
    def absence(self) -> str:
        """Which run is not done, and why."""
        return f"{self.name}: {self.state}: {self.error} ({self.job.identity})"


def load_records(jobs: Iterable[Job]) -> list[Record]:
    """Read the run folder of every job, in the jobs' order.

    A folder that is missing or broken gives a record that says so: one bad run does not hide the others.
    """
    return [_load(job) for job in jobs]


def progress(records: Sequence[Record]) -> str:
    """Say in a sentence how many of the runs are done, and name up to three that are not."""
    absent = [f"{record.name} ({record.state})" for record in records if record.state != "done"]
    count = f"{len(records) - len(absent)} of {len(records)} runs are done"
    if not absent:
        return count
    more = f" and {len(absent) - 3} more" if len(absent) > 3 else ""
    return f"{count}; not done: {'; '.join(absent[:3])}{more}"


def _load(job: Job) -> Record:
    run = job.folder
    try:
        if run.state == "done":
            return _load_done(job, run)
        if run.state == "failed":
            error = run.failure or "failed.json names no error"
            return Record(job, "failed", error, environment=run.read("environment"))
    except Damaged as error:
        log.warning("left out: %s", error)
        return Record(job, "failed", str(error))
    return Record(job, "missing", "not finished" if run.state == "started" else "not run yet")


def _load_done(job: Job, run: RunFolder) -> Record:
    environment, logged = run.read("environment"), run.read("metrics")
    predictions = read_predictions(run.predictions)
    if (folds := sorted(map(int, predictions["fold"].unique()))) != [job.run.fold]:
        raise run.damaged("predictions.csv", f"holds faces of the folds {folds}, not of {job.run.fold}")
    try:
        values = metrics.evaluate(predictions, job.run.tasks)
    except KeyError as error:
        raise run.damaged("predictions.csv", f"has no column {error}") from None
    _check_agree(run, values, logged)
    validation = {
        name.split("/")[1]: float(value)
        for name, value in logged.items()
        if name.startswith("validation/") and isinstance(value, int | float)
    }
    return Record(
        job,
        "done",
        metrics=values,
        predictions=predictions,
        environment=environment,
        parameters=logged.get("parameters"),
        validation=validation,
        training_faces=logged.get("faces/train"),
    )


def _check_agree(run: RunFolder, values: Mapping[str, float], logged: Mapping[str, Any]) -> None:
    """Refuse predictions that give other numbers than the run had when it ended: one of its two files was changed."""
    for name, value in values.items():
        had = logged.get(f"test/{name}", None if name.endswith("_n") else value)
        if not isinstance(had, int | float) or not np.isclose(had, value, rtol=1e-6, atol=1e-9, equal_nan=True):
            raise run.damaged(
                "metrics.json", f"says {name} is {had}, where the run's predictions.csv gives {value:.6g}"
            )
