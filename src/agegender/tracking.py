"""Mirror run folders to an MLflow server, while they grow or later. The only module that imports mlflow, and lazily.

The run folder is the truth. `mirror` sends what the server does not have yet: `follow` calls it during training, `track`
afterwards. `mlflow.json` in the run folder remembers, per server, which run the folder became and how that run ended.
"""

from __future__ import annotations

import fcntl
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from agegender import run_facts
from agegender.errors import UserError
from agegender.tracking_target import Target, end_of, environment, find_target, reason, sqlite_file

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from agegender.runs import RunFolder

__all__ = [
    "Target",
    "Tracked",
    "check_server",
    "close_parent",
    "find_target",
    "follow",
    "mirror",
    "open_parent",
    "track",
]

log = logging.getLogger(__name__)

NOISY = ("mlflow.store.db.utils", "mlflow.system_metrics", "alembic")  # their INFO lines mean nothing to our users
# MLflow's own patience with a dead server is minutes; before and during training that is time lost.
IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
# Without this tag the UI of MLflow 3 takes an experiment for one with language models.
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
PARENT, NOTE = "mlflow.parentRunId", "mlflow.note.content"
ARTIFACTS = ("config.yaml", "environment.json", "identity.json", "predictions.csv", "train.log", "weights.safetensors")
SAMPLING_SECONDS = 5  # of system metrics; MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL wins


@dataclass(frozen=True)
class Tracked:
    """What `track` did: how many run folders it sent, found there already, and left because they are not finished."""

    sent: int
    already: int
    unfinished: int


def check_server(target: Target) -> None:
    """Make sure before training that the server answers and has the experiment, creating it where it is missing.

    UserError, within seconds, where that fails or MLflow is not installed.
    """
    otherwise = "or train with tracking=none and send the runs later with `agegender track`"
    try:
        with environment(IMPATIENT):
            _experiment(_client(target.uri), target)
    except UserError:
        raise
    except Exception as error:
        if isinstance(error.__context__, OSError):  # as requests' errors are: no connection, or no answer in time
            raise UserError(f"the MLflow server at {target.label} does not answer: start it, {otherwise}") from None
        problem = f"the MLflow server at {target.label} cannot be used ({reason(error)})"
        raise UserError(f"{problem}: choose another tracking.uri, {otherwise}") from None


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
    """End a sweep's parent run: its results as a Markdown table for description, and as metrics to compare sweeps by."""
    client = _client(target.uri)
    client.set_tag(parent, NOTE, table)
    for name, value in metrics.items():
        client.log_metric(parent, name, value)
    _terminate(client, parent, "FAILED" if failed else "FINISHED")


def mirror(target: Target, folder: RunFolder, *, parent: str | None = None, after: int = 0) -> int:
    """Send what the server does not have yet of a run folder; return how many lines of its history are there now.

    `after`: leave out that many lines, sent before; a line sent twice counts once. A run whose end is there is left alone,
    except that it is given a `parent` (run id) if it has none. A failed run that was started anew is opened again.
    """
    client = _client(target.uri)
    run = _known_run(client, target, folder) or _create(client, target, folder)
    if parent and PARENT not in run.data.tags:
        client.set_tag(run.info.run_id, PARENT, parent)
    if _is_ended(target, folder):
        return after
    if run.info.status != "RUNNING":
        _reopen(client, run)
    points, lines = run_facts.curve(folder, after)
    _log(client, run.info.run_id, points)
    if end_of(folder):
        _close(client, target, folder, run.info.run_id)
    return lines


@contextmanager
def follow(
    target: Target, folder: RunFolder, *, parent: str | None = None, system_metrics: bool = True
) -> Iterator[Callable[[], None]]:
    """Mirror a run while it trains: yields a function that sends what is new; leaving the block sends the rest.

    Set the done mark or write failed.json inside the block: a run left with neither is shown as KILLED until it is resumed.
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
        with environment(IMPATIENT), ExitStack() as stack:
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
            already += _is_ended(target, folder) and _known_run(_client(target.uri), target, folder) is not None
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
    if file is None:
        return MlflowClient(uri)
    file.parent.mkdir(parents=True, exist_ok=True)
    # MLflow makes the tables unguarded: two processes on a new file would both try, and one would die.
    with file.with_name(f"{file.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
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
    """The run this folder became on the server; None where there is none any more."""
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


def _is_ended(target: Target, folder: RunFolder) -> bool:
    """Whether the end of the run, as the folder has it now, was sent."""
    return end_of(folder) != "" and target.remembered(folder)["end"] == end_of(folder)


def _create(client: MlflowClient, target: Target, folder: RunFolder) -> Run:
    tags = run_facts.tags(folder)
    run = client.create_run(
        _experiment(client, target),
        start_time=run_facts.started(folder),
        tags=tags,
        run_name=f"{tags['system']} fold {tags['fold']} seed {tags['seed']}",
    )
    _remember(target, folder, run.info.run_id, end="")
    _describe(client, folder, run.info.run_id)
    return run


def _describe(client: MlflowClient, folder: RunFolder, run_id: str) -> None:
    """Send what is known from the start; a second time changes nothing."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Param, RunTag

    # MLflow takes 6000 characters of a parameter and 36 of a digest.
    params = [Param(key, value[:6000]) for key, value in run_facts.parameters(folder).items()]
    client.log_batch(run_id, params=params, tags=[RunTag(*tag) for tag in run_facts.tags(folder).items()])
    inputs = []
    for data in run_facts.fold_data(folder):
        source, profile = json.dumps({"uri": data.source}), json.dumps({"num_rows": data.faces}) if data.faces else None
        dataset = Dataset(data.name, data.digest[:36], "local", source, profile=profile)
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
    _log(client, run_id, run_facts.results(folder))
    for name in ARTIFACTS:
        if (folder.path / name).exists():
            client.log_artifact(run_id, str(folder.path / name))
    if folder.state == "failed":
        failure = folder.read("failed")
        client.set_tag(run_id, "error", failure["error"])
        client.set_tag(run_id, NOTE, f"{failure['error']}\n\n```\n{failure.get('traceback', '')}\n```")
        _terminate(client, run_id, "FAILED", run_facts.written(folder, "failed.json"))
    else:
        _terminate(client, run_id, "FINISHED", run_facts.written(folder, "done"))
    _remember(target, folder, run_id, end=_end(folder))


def _log(client: MlflowClient, run_id: str, points: Iterable[run_facts.Point]) -> None:
    from mlflow.entities import Metric

    client.log_batch(run_id, metrics=[Metric(*point) for point in points])  # which cuts batches of 1000 itself


def _terminate(client: MlflowClient, run_id: str, status: str, end_time: int | None = None) -> None:
    with _environment({"MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}):
        client.set_terminated(run_id, status, end_time)


@contextmanager
def _system_metrics(target: Target, run_id: str) -> Iterator[None]:
    # What mlflow.start_run(log_system_metrics=True) starts, without its active run, global URI and final status.
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(run_id, SAMPLING_SECONDS, resume_logging=True, tracking_uri=target.uri)
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()


def _remembered(target: Target, folder: RunFolder) -> dict[str, str]:
    """What mlflow.json says of this server: `run_id`, and `end`, empty until the end of the run was sent."""
    entry: dict[str, str] = folder.read("mlflow").get(target.label, {"run_id": "", "end": ""})
    return entry


def _remember(target: Target, folder: RunFolder, run_id: str, end: str) -> None:
    folder.write("mlflow", {**folder.read("mlflow"), target.label: {"run_id": run_id, "end": end}})


def _end(folder: RunFolder) -> str:
    """How a run ended: "done" or its error, so that failing otherwise the next time is news; empty while it goes on."""
    return str(folder.read("failed")["error"]) if folder.state == "failed" else folder.state.replace("started", "")


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a while: the only way to tell MLflow's client these things."""
    before = {name: os.environ[name] for name in values if name in os.environ}
    os.environ.update(values)
    try:
        yield
    finally:
        for name in values:
            del os.environ[name]
        os.environ.update(before)


def _sqlite_file(uri: str) -> Path | None:
    return Path(uri.removeprefix("sqlite:///")).resolve() if uri.startswith("sqlite:///") else None


def _without_password(text: str) -> str:
    return re.sub(r"://[^/\s]*@", "://", text)


def _reason(error: Exception) -> str:
    return _without_password((str(error).strip() or type(error).__name__).splitlines()[0][:300])
