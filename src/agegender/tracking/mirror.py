"""Mirror run folders to an MLflow server, while they grow or later.

The run folder is the truth. `mirror` sends what the server does not have yet: `follow` calls it during training,
`track` afterwards. `mlflow.json` in the run folder remembers which run it became on which server, and how it ended.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from agegender.errors import UserError
from agegender.tracking import facts
from agegender.tracking.server import (
    IMPATIENT,
    PARENT,
    close_run,
    connect,
    create_run,
    experiment_id,
    known_run,
    log_points,
    reopen,
    system_metrics_of,
    terminate,
)
from agegender.tracking.target import Target, end_of, mlflow_settings, reason

if TYPE_CHECKING:
    from agegender.runs import RunFolder

log = logging.getLogger(__name__)


class Tracked(NamedTuple):
    """What `track` did: how many run folders it sent, found there already, and left because they are not finished."""

    sent: int
    already: int
    unfinished: int


def mirror(target: Target, folder: RunFolder, *, parent: str | None = None, after: int = 0) -> int:
    """Send what the server does not have yet of a run folder; return how many lines of its history are there now.

    `after`: leave out that many lines, sent before; a line sent twice counts once. A run whose end is there is left
    alone, but given a `parent` (run id) if it has none. A failed run that was started anew is opened again. The folder
    must hold identity.json, environment.json and config.yaml; errors are MLflow's own.
    """
    client = connect(target.uri)
    run = known_run(client, target, folder) or create_run(client, target, folder)
    if parent and PARENT not in run.data.tags:
        client.set_tag(run.info.run_id, PARENT, parent)
    if target.has_end(folder):
        return after
    if run.info.status != "RUNNING":
        reopen(client, run)
    points, lines = facts.curve(folder, after)
    log_points(client, run.info.run_id, points)
    if end_of(folder):
        close_run(client, target, folder, run.info.run_id)
    return lines


def announce(target: Target, folder: RunFolder, *, parent: str) -> None:
    """Make sure that a run of a sweep is on the server; one that has not ended is shown as waiting for its turn."""
    mirror(target, folder, parent=parent)
    if not end_of(folder):
        connect(target.uri).update_run(target.remembered(folder)["run_id"], status="SCHEDULED")


@contextmanager
def follow(
    target: Target, folder: RunFolder, *, parent: str | None = None, system_metrics: bool = True
) -> Iterator[Callable[[], None]]:
    """Mirror a run while it trains: yields a function that sends what is new; leaving the block sends the rest.

    Set the done mark or write failed.json inside the block: a run left with neither is shown as KILLED until resumed.
    Whatever the server does, the run goes on: the first error is logged, and only the end is tried again.
    """
    lines, trouble, watched = 0, False, not system_metrics

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
        nonlocal lines, watched
        if not trouble:
            lines = attempt(lambda: mirror(target, folder, parent=parent, after=lines)) or lines
        # After the first point of the curve: MLflow's compare page opens with the metric that came first.
        if lines and not watched and not trouble:
            watched = True
            attempt(lambda: stack.enter_context(system_metrics_of(target, folder)))

    try:
        with mlflow_settings(**IMPATIENT), ExitStack() as stack:
            # What this sends of the history does not count: a resumed run may drop lines before it goes on.
            attempt(lambda: mirror(target, folder, parent=parent))
            yield send
    finally:
        attempt(lambda: _leave(target, folder, parent, lines))


def show_killed(target: Target, folders: Iterable[RunFolder], parent: str | None = None) -> None:
    """Show as KILLED the runs that neither ended nor go on: those of processes that were killed; and their `parent`."""
    with mlflow_settings(**IMPATIENT):
        client = connect(target.uri)
        for folder in folders:
            with suppress(UserError), folder.claimed():  # not one that another process is training
                run = known_run(client, target, folder) if folder.state == "started" else None
                if run and run.info.status == "RUNNING":
                    terminate(client, run.info.run_id, "KILLED")
        if parent:
            terminate(client, parent, "KILLED")


def track(target: Target, folders: Iterable[RunFolder], *, parent: str | None = None) -> Tracked:
    """Send finished run folders, done or failed, that are not on the server yet.

    UserError where the server fails; what was sent until then is kept, and the same call goes on from there.
    """
    folders = list(folders)
    finished = [folder for folder in folders if end_of(folder)]
    already = 0
    for folder in finished:
        try:
            already += target.has_end(folder) and known_run(connect(target.uri), target, folder) is not None
            mirror(target, folder, parent=parent)
        except UserError:
            raise
        except Exception as error:
            problem = f"{folder.path} could not be sent to {target.label} ({reason(error)})"
            raise UserError(
                f"{problem}: mend that and run `agegender track` again, it sends what is missing"
            ) from error
    return Tracked(len(finished) - already, already, len(folders) - len(finished))


def _leave(target: Target, folder: RunFolder, parent: str | None, after: int) -> None:
    with mlflow_settings(**IMPATIENT):
        experiment_id(connect(target.uri), target)  # fails at once where the server is gone; sending may take its time
    mirror(target, folder, parent=parent, after=after)
    if not end_of(folder):
        terminate(connect(target.uri), target.remembered(folder)["run_id"], "KILLED")
