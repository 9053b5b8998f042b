"""Requests to an MLflow server. Only this file and `database.py` import mlflow, lazily; errors are MLflow's own."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any

from agegender.errors import UserError, disk_explained
from agegender.tracking import payload
from agegender.tracking.database import ensure_database
from agegender.tracking.target import (
    Target,
    end_of,
    key_of,
    mlflow_settings,
    one_at_a_time,
    reason,
    sqlite_file,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from agegender.runs.folder import RunFolder

NOISY = ("mlflow.store.db.utils", "mlflow.system_metrics", "alembic")  # their INFO lines mean nothing to our users
# MLflow's own patience with a dead server is minutes; before and during training that is time lost.
IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
# Without this tag the UI of MLflow 3 takes an experiment for one with language models.
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
PARENT, NOTE = "mlflow.parentRunId", "mlflow.note.content"
KEY = "folder"  # a tag: the name a folder drew for itself, by which its run is found
SENT = "sent"  # a tag: which end of the run is there whole
ARTIFACTS = (
    *("config.yaml", "environment.json", "identity.json", "predictions.csv", "train.log"),
    *("weights.safetensors", "weights.json", "transfer.json"),
)
SAMPLING_SECONDS = 5  # of system metrics; MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL wins


def check_server(target: Target) -> None:
    """Make sure before training that the server answers and has the experiment, creating it where it is missing.

    UserError, within seconds, where that fails or MLflow is not installed.
    """
    with explained(target):
        answers(target)


def answers(target: Target) -> None:
    """Fail within seconds where the server does not answer; what is sent afterwards may take its time."""
    with mlflow_settings(**IMPATIENT):
        experiment_id(connect(target.uri), target)


@contextmanager
def explained(target: Target) -> Iterator[None]:
    """Turn what goes wrong with a server before training into a UserError."""
    try:
        with disk_explained():
            yield
    except UserError:
        raise
    except Exception as error:
        dead = isinstance(error.__context__, OSError)  # as requests' errors are: no connection, or no answer in time
        problem = "does not answer: start it" if dead else f"cannot be used ({reason(error)}): choose another"
        otherwise = "or train with tracking=none and send the runs later with `agegender track`"
        raise UserError(f"the MLflow server at {target.label} {problem}, {otherwise}") from None


@cache
def connect(uri: str) -> MlflowClient:
    """Return the client of a tracking URI; UserError where MLflow is not installed."""
    try:
        from mlflow import MlflowClient
    except ModuleNotFoundError as error:
        if error.name != "mlflow":
            raise
        raise UserError("tracking needs MLflow: `pip install mlflow`, or train with tracking=none") from None
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    file = sqlite_file(uri)
    # MLflow makes the tables unguarded: two processes on a new file would both try, and one would die.
    with one_at_a_time(file) if file else nullcontext():
        if file:
            ensure_database(file)
        return MlflowClient(uri)


def experiment_id(client: MlflowClient, target: Target) -> str:
    """Return the id of the target's experiment, created where it is missing; UserError where it was deleted."""
    found = client.get_experiment_by_name(target.experiment)
    if found is None:
        try:
            return str(client.create_experiment(target.experiment, target.artifacts, EXPERIMENT_TAGS))
        except Exception:
            found = client.get_experiment_by_name(target.experiment)  # another process may have been faster
            if found is None:
                raise
    if found.lifecycle_stage != "active":
        remedy = "restore it, or choose another name with tracking.experiment=..."
        raise UserError(f"the experiment {target.experiment} was deleted on {target.label}: {remedy}")
    return str(found.experiment_id)


def find_run(client: MlflowClient, target: Target, folder: RunFolder) -> Run | None:
    """Return the run that a folder became in the target's experiment; None where there is none any more."""
    if not (key := key_of(folder, draw=False)):
        return None
    found = client.search_runs([experiment_id(client, target)], f"tags.{KEY} = '{key}'", max_results=1)
    if found and target.run_of(folder) != found[0].info.run_id:
        target.remember(folder, found[0].info.run_id)
    return found[0] if found else None


def create_run(
    client: MlflowClient,
    target: Target,
    folder: RunFolder,
    tags: Mapping[str, str],
    name: str,
    start: int | None = None,
) -> Run:
    """Create the run of a folder, begun at `start` (ms since 1970) or now, so that `find_run` finds it from then on."""
    mine = {**tags, KEY: key_of(folder, draw=True)}
    run = client.create_run(experiment_id(client, target), start, mine, name)
    target.remember(folder, run.info.run_id)
    return run


def has_end(run: Run, folder: RunFolder) -> bool:
    """Tell whether the end of the run, as the folder has it now, is there whole."""
    return end_of(folder) != "" and run.data.tags.get(SENT) == end_of(folder)


def join(client: MlflowClient, run: Run, parent: str) -> None:
    """Make a run a child of a sweep's, unless it is one of another that is still there."""
    before = run.data.tags.get(PARENT)
    if before != parent and not (before and _is_there(client, before)):
        client.set_tag(run.info.run_id, PARENT, parent)


def _is_there(client: MlflowClient, run_id: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        return bool(client.get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False


def last_steps(client: MlflowClient, run: Run, names: Iterable[str]) -> dict[str, int]:
    """Return the last step of each of these curves that is on the server."""
    there = {name: client.get_metric_history(run.info.run_id, name) for name in names if name in run.data.metrics}
    return {name: max(point.step for point in points) for name, points in there.items()}


def describe(client: MlflowClient, folder: RunFolder, run_id: str) -> None:
    """Send what is known from the start; a second time changes nothing."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Param, RunTag

    # MLflow takes 6000 characters of a parameter and 36 of a digest.
    params = [Param(key, value[:6000]) for key, value in payload.parameters(folder).items()]
    client.log_batch(run_id, params=params, tags=[RunTag(*tag) for tag in payload.tags(folder).items()])
    inputs = []
    for data in payload.fold_data(folder):
        dataset = Dataset(data.name, data.digest[:36], "local", json.dumps({"uri": data.source}))
        inputs.append(DatasetInput(dataset, [InputTag("mlflow.data.context", data.context)]))
    client.log_inputs(run_id, inputs)


def reopen(client: MlflowClient, run: Run) -> None:
    """Show an ended run as running, without the end it had."""
    client.update_run(run.info.run_id, status="RUNNING")
    for tag in {SENT, "error", NOTE} & run.data.tags.keys():
        client.delete_tag(run.info.run_id, tag)


def close_run(client: MlflowClient, folder: RunFolder, run_id: str) -> None:
    """Send what a run has at its end, once, and end it at the time of its mark."""
    describe(client, folder, run_id)  # again: the first time may have been cut short
    log_points(client, run_id, payload.results(folder))
    for name in ARTIFACTS:
        if (folder.path / name).exists():
            client.log_artifact(run_id, str(folder.path / name))
    failed = folder.state == "failed"
    if failed:
        failure = folder.read("failed")
        client.set_tag(run_id, "error", failure["error"])
        client.set_tag(run_id, NOTE, f"{failure['error']}\n\n```\n{failure.get('traceback', '')}\n```")
    status, mark = ("FAILED", "failed.json") if failed else ("FINISHED", "done")
    terminate(client, run_id, status, payload.written(folder, mark))
    client.set_tag(run_id, SENT, end_of(folder))


def log_points(client: MlflowClient, run_id: str, points: Iterable[payload.Point]) -> None:
    """Send points of curves, any number of them."""
    from mlflow.entities import Metric

    client.log_batch(run_id, metrics=[Metric(*point) for point in points])  # which cuts batches of 1000 itself


def terminate(client: MlflowClient, run_id: str, status: str, end_time: int | None = None) -> None:
    """End a run, now or at `end_time` (ms since 1970)."""
    with mlflow_settings(MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT="true"):
        client.set_terminated(run_id, status, end_time)


@contextmanager
def system_metrics_of(target: Target, folder: RunFolder) -> Iterator[None]:
    """Log the machine's load on the run of a folder inside the block."""
    # What mlflow.start_run(log_system_metrics=True) starts, without its active run, global URI and final status.
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor: Any = SystemMetricsMonitor(  # type: ignore[no-untyped-call]
        target.run_of(folder), SAMPLING_SECONDS, resume_logging=True, tracking_uri=target.uri
    )
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()
