"""Mirror run folders to an MLflow server, while they grow or later. The only module that imports mlflow, and lazily.

The run folder is the truth. `mirror` sends what the server does not have yet: `follow` calls it during training,
`track` afterwards. `mlflow.json` in the run folder remembers which run it became on which server, and how it ended.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from agegender.errors import UserError
from agegender.tracking import facts
from agegender.tracking.target import Target, end_of, mlflow_settings, one_at_a_time, reason, sqlite_file

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from agegender.runs import RunFolder

log = logging.getLogger(__name__)

NOISY = ("mlflow.store.db.utils", "mlflow.system_metrics", "alembic")  # their INFO lines mean nothing to our users
# MLflow's own patience with a dead server is minutes; before and during training that is time lost.
IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
# Without this tag the UI of MLflow 3 takes an experiment for one with language models.
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
PARENT, NOTE = "mlflow.parentRunId", "mlflow.note.content"
ARTIFACTS = ("config.yaml", "environment.json", "identity.json", "predictions.csv", "train.log", "weights.safetensors")
SAMPLING_SECONDS = 5  # of system metrics; MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL wins


class Tracked(NamedTuple):
    """What `track` did: how many run folders it sent, found there already, and left because they are not finished."""

    sent: int
    already: int
    unfinished: int


def check_server(target: Target) -> None:
    """Make sure before training that the server answers and has the experiment, creating it where it is missing.

    UserError, within seconds, where that fails or MLflow is not installed.
    """
    try:
        with mlflow_settings(**IMPATIENT):
            _experiment(_client(target.uri), target)
    except UserError:
        raise
    except Exception as error:
        dead = isinstance(error.__context__, OSError)  # as requests' errors are: no connection, or no answer in time
        problem = "does not answer: start it" if dead else f"cannot be used ({reason(error)}): choose another"
        otherwise = "or train with tracking=none and send the runs later with `agegender track`"
        raise UserError(f"the MLflow server at {target.label} {problem}, {otherwise}") from None


def open_parent(target: Target, sweep: str, title: str, tags: Mapping[str, str], description: str) -> str:
    """Return the run id of a sweep's parent run, found by its tag `sweep` or else created; it is shown as running."""
    client = _client(target.uri)
    experiment = _experiment(client, target)
    found = client.search_runs([experiment], f"tags.sweep = '{sweep}'", max_results=1)
    if found:
        client.update_run(found[0].info.run_id, status="RUNNING")
        return str(found[0].info.run_id)
    run = client.create_run(experiment, run_name=title, tags={**tags, "sweep": sweep, NOTE: description})
    return str(run.info.run_id)


def close_parent(target: Target, parent: str, table: str, metrics: Mapping[str, float], *, failed: bool) -> None:
    """End a sweep's parent run: its results as description, a Markdown table, and as metrics."""
    client = _client(target.uri)
    client.set_tag(parent, NOTE, table)
    now = int(time.time() * 1000)
    _log(client, parent, [facts.Point(name, value, now, step=0) for name, value in metrics.items()])
    _terminate(client, parent, "FAILED" if failed else "FINISHED")


def mirror(target: Target, folder: RunFolder, *, parent: str | None = None, after: int = 0) -> int:
    """Send what the server does not have yet of a run folder; return how many lines of its history are there now.

    `after`: leave out that many lines, sent before; a line sent twice counts once. A run whose end is there is left
    alone, but given a `parent` (run id) if it has none. A failed run that was started anew is opened again. The folder
    must hold identity.json, environment.json and config.yaml; errors are MLflow's own.
    """
    client = _client(target.uri)
    run = _known_run(client, target, folder) or _create(client, target, folder)
    if parent and PARENT not in run.data.tags:
        client.set_tag(run.info.run_id, PARENT, parent)
    if target.has_end(folder):
        return after
    if run.info.status != "RUNNING":
        _reopen(client, run)
    points, lines = facts.curve(folder, after)
    _log(client, run.info.run_id, points)
    if end_of(folder):
        _close(client, target, folder, run.info.run_id)
    return lines


def announce(target: Target, folder: RunFolder, *, parent: str) -> None:
    """Make sure that a run of a sweep is on the server; one that has not ended is shown as waiting for its turn."""
    mirror(target, folder, parent=parent)
    if not end_of(folder):
        _client(target.uri).update_run(target.remembered(folder)["run_id"], status="SCHEDULED")


@contextmanager
def follow(
    target: Target, folder: RunFolder, *, parent: str | None = None, system_metrics: bool = True
) -> Iterator[Callable[[], None]]:
    """Mirror a run while it trains: yields a function that sends what is new; leaving the block sends the rest.

    Set the done mark or write failed.json inside the block: a run left with neither is shown as KILLED until resumed.
    Whatever the server does, the run goes on: the first error is logged, and only the end is tried again.
    """
    lines, trouble = 0, False

    def attempt(action: Callable[[], Any]) -> Any:
        nonlocal trouble
        try:
            return action()
        except Exception as error:
            if not trouble:
                later = "the run goes on, send it later with `agegender track`"
                log.warning("MLflow at %s failed (%s): %s", target.label, reason(error), later)
            trouble = True

    def send() -> None:
        nonlocal lines
        if not trouble:
            lines = attempt(lambda: mirror(target, folder, parent=parent, after=lines)) or lines

    try:
        with mlflow_settings(**IMPATIENT), ExitStack() as stack:
            # What this sends of the history does not count: a resumed run may drop lines before it goes on.
            attempt(lambda: mirror(target, folder, parent=parent))
            if system_metrics and not trouble:
                attempt(lambda: stack.enter_context(_system_metrics(target, folder)))
            yield send
    finally:
        attempt(lambda: _leave(target, folder, parent, lines))


def track(target: Target, folders: Iterable[RunFolder], *, parent: str | None = None) -> Tracked:
    """Send finished run folders, done or failed, that are not on the server yet.

    UserError where the server fails; what was sent until then is kept, and the same call goes on from there.
    """
    folders = list(folders)
    finished = [folder for folder in folders if end_of(folder)]
    already = 0
    for folder in finished:
        try:
            already += target.has_end(folder) and _known_run(_client(target.uri), target, folder) is not None
            mirror(target, folder, parent=parent)
        except UserError:
            raise
        except Exception as error:
            problem = f"{folder.path} could not be sent to {target.label} ({reason(error)})"
            raise UserError(
                f"{problem}: mend that and run `agegender track` again, it sends what is missing"
            ) from error
    return Tracked(len(finished) - already, already, len(folders) - len(finished))


@cache
def _client(uri: str) -> MlflowClient:
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
        return MlflowClient(uri)


def _experiment(client: MlflowClient, target: Target) -> str:
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


def _known_run(client: MlflowClient, target: Target, folder: RunFolder) -> Run | None:
    """Return the run this folder became on the server; None where there is none any more."""
    from mlflow.exceptions import MlflowException

    if not (run_id := target.remembered(folder)["run_id"]):
        return None
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    return run if run.info.lifecycle_stage == "active" else None


def _create(client: MlflowClient, target: Target, folder: RunFolder) -> Run:
    known = (facts.started(folder), facts.tags(folder), facts.title(folder))
    run = client.create_run(_experiment(client, target), *known)
    target.remember(folder, run.info.run_id, end="")
    _describe(client, folder, run.info.run_id)
    return run


def _describe(client: MlflowClient, folder: RunFolder, run_id: str) -> None:
    """Send what is known from the start; a second time changes nothing."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Param, RunTag

    # MLflow takes 6000 characters of a parameter and 36 of a digest.
    params = [Param(key, value[:6000]) for key, value in facts.parameters(folder).items()]
    client.log_batch(run_id, params=params, tags=[RunTag(*tag) for tag in facts.tags(folder).items()])
    inputs = []
    for data in facts.fold_data(folder):
        dataset = Dataset(data.name, data.digest[:36], "local", json.dumps({"uri": data.source}))
        inputs.append(DatasetInput(dataset, [InputTag("mlflow.data.context", data.context)]))
    client.log_inputs(run_id, inputs)


def _reopen(client: MlflowClient, run: Run) -> None:
    client.update_run(run.info.run_id, status="RUNNING")
    if "error" in run.data.tags:
        client.delete_tag(run.info.run_id, "error")
        client.delete_tag(run.info.run_id, NOTE)


def _close(client: MlflowClient, target: Target, folder: RunFolder, run_id: str) -> None:
    """Send what a run has at its end, once, and end it at the time of its mark."""
    _describe(client, folder, run_id)  # again: the first time may have been cut short
    _log(client, run_id, facts.results(folder))
    for name in ARTIFACTS:
        if (folder.path / name).exists():
            client.log_artifact(run_id, str(folder.path / name))
    failure = folder.read("failed") if folder.state == "failed" else {}
    if failure:
        client.set_tag(run_id, "error", failure["error"])
        client.set_tag(run_id, NOTE, f"{failure['error']}\n\n```\n{failure.get('traceback', '')}\n```")
    status, mark = ("FAILED", "failed.json") if failure else ("FINISHED", "done")
    _terminate(client, run_id, status, facts.written(folder, mark))
    target.remember(folder, run_id, end=end_of(folder))


def _leave(target: Target, folder: RunFolder, parent: str | None, after: int) -> None:
    with mlflow_settings(**IMPATIENT):
        _experiment(_client(target.uri), target)  # fails at once where the server is gone; sending may take its time
    mirror(target, folder, parent=parent, after=after)
    if not end_of(folder):
        _terminate(_client(target.uri), target.remembered(folder)["run_id"], "KILLED")


def _log(client: MlflowClient, run_id: str, points: Iterable[facts.Point]) -> None:
    from mlflow.entities import Metric

    client.log_batch(run_id, metrics=[Metric(*point) for point in points])  # which cuts batches of 1000 itself


def _terminate(client: MlflowClient, run_id: str, status: str, end_time: int | None = None) -> None:
    with mlflow_settings(MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT="true"):
        client.set_terminated(run_id, status, end_time)


@contextmanager
def _system_metrics(target: Target, folder: RunFolder) -> Iterator[None]:
    # What mlflow.start_run(log_system_metrics=True) starts, without its active run, global URI and final status.
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor: Any = SystemMetricsMonitor(  # type: ignore[no-untyped-call]
        target.remembered(folder)["run_id"], SAMPLING_SECONDS, resume_logging=True, tracking_uri=target.uri
    )
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()
