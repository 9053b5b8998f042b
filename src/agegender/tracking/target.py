"""Where runs are tracked, and what a run folder remembers of it: everything about a server that needs no MLflow."""

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote
from uuid import uuid4

from agegender.runs.folder import RunFolder

DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


@dataclass(frozen=True)
class Target:
    """A tracking server and an experiment on it."""

    uri: str
    experiment: str
    artifacts: str | None = None  # URI below which a new experiment keeps its files; None: where the server keeps them

    @property
    def label(self) -> str:
        """The URI without what may be secret: for messages, and for run folders, which travel."""
        return without_password(self.uri)

    def run_of(self, folder: RunFolder) -> str:
        """Return the id of the run that a folder became on this server; empty where it remembers none."""
        return str(folder.read("mlflow").get("runs", {}).get(self.label, ""))

    def remember(self, folder: RunFolder, run_id: str) -> None:
        """Write into mlflow.json what `run_of` reads."""
        known = folder.read("mlflow")
        folder.write("mlflow", {**known, "runs": {**known.get("runs", {}), self.label: run_id}})


def key_of(folder: RunFolder, *, draw: bool) -> str:
    """Return the name by which a folder's run is found on every server, wherever the folder was moved.

    It is drawn once (`draw`), before any server hears of the run; empty where that was not yet.
    """
    known = str(folder.read("mlflow").get("key", ""))
    if known or not draw:
        return known
    key = uuid4().hex
    folder.write("mlflow", {"key": key, "runs": {}})
    return key


def find_target(uri: str | None, experiment: str, runs: Path) -> Target:
    """Return where to track: `uri`, else MLFLOW_TRACKING_URI, else a SQLite file under `runs`.

    A database keeps its artifacts under `runs` too; both as absolute paths, or they would follow the current directory.
    The user and password of a server go to the environment, where MLflow looks for them: its messages show addresses.
    """
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{runs.resolve() / 'mlflow.db'}"
    if login := re.match(r"(https?://)([^:@\s]*):(\S*)@", uri):
        scheme, user, password = login.groups()
        os.environ |= {"MLFLOW_TRACKING_USERNAME": unquote(user), "MLFLOW_TRACKING_PASSWORD": unquote(password)}
        uri = scheme + uri[login.end() :]
    if file := sqlite_file(uri):
        uri = f"sqlite:///{file}{''.join(uri.partition('?')[1:])}"
    own = uri.split("://")[0].split("+")[0] in DATABASES
    return Target(uri.rstrip("/"), experiment, (runs.resolve() / "mlartifacts").as_uri() if own else None)


def sqlite_file(uri: str) -> Path | None:
    """Return the file behind a SQLite URI, absolute; None for any other URI."""
    if not uri.startswith("sqlite:///"):
        return None
    return Path(uri.removeprefix("sqlite:///").partition("?")[0]).resolve()


def end_of(folder: RunFolder) -> str:
    """Tell how a run ended: "done", or "failed" and a digest of its error, so that another is news; empty before."""
    if folder.state == "failed":
        return f"failed {hashlib.sha256(folder.failure.encode()).hexdigest()[:12]}"
    return "done" if folder.state == "done" else ""


@contextmanager
def one_at_a_time(file: Path) -> Iterator[None]:
    """Keep other processes from doing the same to this file; its folder is made where it is missing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_name(f"{file.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def mlflow_settings(**values: str) -> Iterator[None]:
    """Set environment variables for a while: the only way to tell MLflow's client some things."""
    before = {name: os.environ[name] for name in values if name in os.environ}
    os.environ.update(values)
    try:
        yield
    finally:
        for name in values:
            os.environ.pop(name, None)
        os.environ.update(before)


def reason(error: Exception) -> str:
    """Return the first line of an error, for a message of ours."""
    return without_password((str(error).strip() or type(error).__name__).splitlines()[0][:300])


def without_password(text: str) -> str:
    """Return the text with user names, passwords and queries, which may hold a token, taken out of its addresses.

    A password may hold an unquoted / or @, so nothing is kept of an address before its last @.
    """
    text = re.sub(r"://(?!/)\S*@", "://", text)
    return re.sub(r"(:///[^\n?]*(?=\?)|://(?!/)[^\s?&#;]*(?=[?&#;]))\S*", r"\1", text)
