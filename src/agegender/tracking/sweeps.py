"""A sweep's own run in MLflow, the parent of its runs. `.sweeps/<sweep>/sweep.json` says what it shows."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from agegender.errors import Damaged
from agegender.runs.folder import RunFolder
from agegender.tracking import payload
from agegender.tracking.server import NOTE, SENT, connect, create_run, find_run, log_points, terminate
from agegender.tracking.target import Target, one_at_a_time

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)
FOLDER = ".sweeps"  # beside the run folders


def sweep_folder(runs: Path, name: str) -> RunFolder:
    """The folder of a sweep whose run folders are in `runs`."""
    return RunFolder(runs / FOLDER / name)


def sweeps_beside(folders: Iterable[RunFolder]) -> list[RunFolder]:
    """The folders of the sweeps that these run folders stand in; a damaged one is named and left out."""
    mine = {folder.path.resolve() for folder in folders}
    files = [file for runs in sorted({path.parent for path in mine}) for file in runs.glob(f"{FOLDER}/*/sweep.json")]
    found = []
    for sweep in (RunFolder(file.parent) for file in sorted(files)):
        try:
            runs = sweep.read("sweep")["runs"]
        except Damaged as error:
            log.error("not sent: %s", error)
        else:
            found += [sweep] if mine & {sweep.path.parent.parent / str(run) for run in runs} else []
    return found


def write_sweep(folder: RunFolder, *, runs: Mapping[str, Sequence[str]] | None = None, **what: object) -> None:
    """Write what a sweep's run shows: title, tags, description, metrics, status (of MLflow); keep what is not given.

    `runs`: identities and overrides, beside those that the sweep, perhaps narrowed otherwise, had before.
    """
    with one_at_a_time(folder.path / "sweep.json"):
        before = folder.read("sweep")
        folder.write("sweep", {**before, **what, "runs": {**before.get("runs", {}), **(runs or {})}})


@contextmanager
def kept_under_way(folder: RunFolder) -> Iterator[None]:
    """Let other processes know that the sweep is under way; several may be on it at once, with a part each."""
    folder.path.mkdir(parents=True, exist_ok=True)
    with (folder.path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def under_way(folder: RunFolder) -> bool:
    """Tell whether a process is on the sweep."""
    # One asks at a time: to ask is to take the lock, and two would take each other for such a process.
    with one_at_a_time(folder.path / "lock"), (folder.path / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def send_sweep(target: Target, folder: RunFolder) -> str:
    """Bring the sweep's run on the server to what its folder says, creating it where it is missing; return its id.

    A sweep that did not come to its end, and that no process is on, is shown as KILLED.
    """
    client = connect(target.uri)
    with one_at_a_time(folder.path / "mlflow.json"):
        shown = folder.read("sweep")
        if shown["status"] == "RUNNING" and not under_way(folder):
            shown["status"] = "KILLED"
        run = find_run(client, target, folder)
        if run is None:
            run = create_run(client, target, folder, shown["tags"], shown["title"])
        run_id, news = str(run.info.run_id), _digest(shown)
        if run.data.tags.get(SENT) == news and run.info.status == shown["status"]:
            return run_id
        client.set_tag(run_id, NOTE, shown["description"])
        now = int(time.time() * 1000)
        new = {name: value for name, value in shown["metrics"].items() if run.data.metrics.get(name) != value}
        log_points(client, run_id, [payload.Point(name, value, now, step=0) for name, value in new.items()])
        if shown["status"] == "RUNNING":
            client.update_run(run_id, status="RUNNING")
        else:
            terminate(client, run_id, shown["status"])
        client.set_tag(run_id, SENT, news)
    return run_id


def _digest(shown: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()[:12]
