"""Sync run folders to an MLflow server, while they grow or later.

The run folder is the truth. `sync` sends what the server does not have yet: `follow` calls it during training,
`track` afterwards. Each run folder gets a random key, stored as a tag, by which its MLflow run is found. What has been
sent already is read from the server.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from agegender.errors import Damaged, UserError
from agegender.tracking import payload
from agegender.tracking.server import (
    IMPATIENT,
    answers,
    close_run,
    connect,
    create_run,
    describe,
    find_run,
    has_end,
    join,
    last_steps,
    log_points,
    reopen,
    system_metrics_of,
    terminate,
)
from agegender.tracking.sweeps import send_sweep, sweeps_beside, under_way
from agegender.tracking.target import Target, end_of, mlflow_settings, one_at_a_time, reason

if TYPE_CHECKING:
    from mlflow.entities import Run

    from agegender.runs.folder import RunFolder

log = logging.getLogger(__name__)
Steps = dict[str, int]  # the last step of each curve


class Tracked(NamedTuple):
    """What `track` did: how many run folders it sent, found there already, and left because they are not finished."""

    sent: int
    already: int
    unfinished: int


def sync(target: Target, folder: RunFolder, *, parent: str | None = None, there: Steps | None = None) -> Steps:
    """Send what the server does not have yet of a run folder; return how far its curves are there now.

    `there`: what the call before returned; without it the server is asked. A step has one point: one that is made again
    after a resume is not sent again. A run whose end is there is left alone, but given a `parent` (run id) if it has
    none. A failed run that was started anew is opened again. The folder must hold identity.json, environment.json and
    config.yaml; errors are MLflow's own.
    """
    client = connect(target.uri)
    with one_at_a_time(folder.path / "mlflow.json"):
        run = _open(target, folder, parent)
        if has_end(run, folder):
            return there or {}
        curve = payload.curve(folder)
        known = last_steps(client, run, {point.name for point in curve}) if there is None else there
        new = [point for point in curve if point.step > known.get(point.name, -1)]
        log_points(client, run.info.run_id, new)
        if end_of(folder):
            close_run(client, folder, run.info.run_id)
    return known | {point.name: point.step for point in new}


def announce(target: Target, folder: RunFolder, *, parent: str, name: str) -> None:
    """Make sure that a run of a sweep is on the server; one that has not ended is shown as waiting for its turn.

    `name` is what the sweep calls it.
    """
    client = connect(target.uri)
    with one_at_a_time(folder.path / "mlflow.json"):
        run = _open(target, folder, parent, name)
        if not end_of(folder) and not folder.in_training:
            client.update_run(run.info.run_id, status="SCHEDULED")
    if end_of(folder):
        sync(target, folder)


@contextmanager
def follow(target: Target, folder: RunFolder, *, system_metrics: bool = True) -> Iterator[Callable[[], None]]:
    """Sync a run while it trains: yields a function that sends what is new; leaving the block sends the rest.

    Set the done mark or write failed.json inside the block: a run left with neither is shown as KILLED until resumed.
    Whatever the server does, the run goes on: the first error is logged, and only the end is tried again.
    """
    there: Steps | None = None
    trouble, watched = False, not system_metrics

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
        nonlocal there, watched
        if not trouble:
            there = attempt(lambda: sync(target, folder, there=there)) or there
        # After the first point of the curve: MLflow's compare page opens with the metric that came first.
        if there and not watched and not trouble:
            watched = True
            attempt(lambda: stack.enter_context(system_metrics_of(target, folder)))

    def start() -> None:
        with one_at_a_time(folder.path / "mlflow.json"):
            _open(target, folder)  # and no more: a resumed run drops lines of its history before it goes on

    try:
        with mlflow_settings(**IMPATIENT), ExitStack() as stack:
            attempt(start)
            yield send
    finally:
        attempt(lambda: _leave(target, folder, there))


def track(target: Target, folders: Iterable[RunFolder]) -> Tracked:
    """Send finished run folders, done or failed, that are not on the server yet, and the sweeps they stand in.

    A run that the server shows as running or waiting, and is not, is shown as KILLED. A damaged folder stops no other.
    UserError where the server fails; what was sent until then is kept, and the same call goes on from there. UserError
    at the end, too, where folders are damaged, which are named.
    """
    folders = list(folders)
    already = finished = damaged = 0
    parents, waiting = dict[str, str](), set[str]()
    for sweep in sweeps_beside(folders):
        try:
            with _named(target, sweep):
                parent, runs = send_sweep(target, sweep), sweep.read("sweep")["runs"]
        except Damaged as error:
            log.error("not sent: %s", error)
            continue
        parents |= dict.fromkeys(runs, parent)
        waiting |= set(runs) if under_way(sweep) else set()
    for folder in folders:
        try:
            with _named(target, folder):
                if end_of(folder):
                    folder.check()
                    finished += 1
                    found = find_run(connect(target.uri), target, folder)
                    already += found is not None and has_end(found, folder)
                    sync(target, folder, parent=parents.get(folder.identity))
                elif folder.identity not in waiting:
                    show_stopped(target, folder)
        except Damaged as error:
            log.error("not sent: %s", error)
            damaged += 1
    if damaged:
        raise UserError(f"{damaged} of {len(folders)} run folders are damaged and were not sent; the others were")
    return Tracked(finished - already, already, len(folders) - finished)


def adopt(target: Target, folder: RunFolder, parent: str) -> None:
    """Make a run that is on the server a child of a sweep's, as where the sweep's own was deleted."""
    client = connect(target.uri)
    if run := find_run(client, target, folder):
        join(client, run, parent)


def show_stopped(target: Target, folder: RunFolder) -> None:
    """Show a run that nobody trains as KILLED where the server shows it as running or as waiting for its turn."""
    client = connect(target.uri)
    if end_of(folder) or folder.in_training:
        return
    run = find_run(client, target, folder)
    if run and run.info.status in ("RUNNING", "SCHEDULED"):
        terminate(client, run.info.run_id, "KILLED")


def _open(target: Target, folder: RunFolder, parent: str | None = None, name: str | None = None) -> Run:
    """Find the run of a folder on the server or create it; one that has yet to end is shown as running."""
    client = connect(target.uri)
    run = find_run(client, target, folder)
    if run is None:
        title = name or payload.title(folder)
        run = create_run(client, target, folder, payload.tags(folder), title, payload.started(folder))
        describe(client, folder, run.info.run_id)
    elif name and name != run.info.run_name:
        client.update_run(run.info.run_id, name=name)
    if parent:
        join(client, run, parent)
    if run.info.status != "RUNNING" and not has_end(run, folder):
        reopen(client, run)
    return run


def _leave(target: Target, folder: RunFolder, there: Steps | None) -> None:
    answers(target)
    sync(target, folder, there=there)
    if not end_of(folder):
        terminate(connect(target.uri), target.run_of(folder), "KILLED")


@contextmanager
def _named(target: Target, folder: RunFolder) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        problem = f"{folder.path} could not be sent to {target.label} ({reason(error)})"
        raise UserError(f"{problem}: mend that and run `agegender track` again, it sends what is missing") from error
