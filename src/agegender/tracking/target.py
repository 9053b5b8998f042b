"""Where runs are tracked, and what a run folder remembers of it: everything about a server that needs no MLflow."""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agegender.runs import RunFolder

DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


@dataclass(frozen=True)
class Target:
    """A tracking server and an experiment on it."""

    uri: str
    experiment: str
    artifacts: str | None = None  # URI below which a new experiment keeps its files; None: where the server keeps them

    @property
    def label(self) -> str:
        """The URI without user name and password: for messages, and for run folders, which travel."""
        return without_password(self.uri)

    def remembered(self, folder: RunFolder) -> dict[str, str]:
        """Read from mlflow.json which run the folder became on this server, and how it ended there."""
        entry: dict[str, str] = folder.read("mlflow").get(self.label, {"run_id": "", "end": ""})
        return entry

    def remember(self, folder: RunFolder, run_id: str, end: str) -> None:
        """Write what `remembered` reads; `end` is empty until the end of the run was sent."""
        folder.write("mlflow", {**folder.read("mlflow"), self.label: {"run_id": run_id, "end": end}})

    def has_end(self, folder: RunFolder) -> bool:
        """Tell whether the end of the run, as the folder has it now, was sent."""
        return end_of(folder) != "" and self.remembered(folder)["end"] == end_of(folder)


def find_target(uri: str | None, experiment: str, runs: Path) -> Target:
    """Return where to track: `uri`, else MLFLOW_TRACKING_URI, else a SQLite file under `runs`.

    A database keeps its artifacts under `runs` too; both as absolute paths, or they would follow the current directory.
    """
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{runs.resolve() / 'mlflow.db'}"
    if file := sqlite_file(uri):
        uri = f"sqlite:///{file}"
    own = uri.split("://")[0].split("+")[0] in DATABASES
    return Target(uri.rstrip("/"), experiment, (runs.resolve() / "mlartifacts").as_uri() if own else None)


def sqlite_file(uri: str) -> Path | None:
    """Return the file behind a SQLite URI, absolute; None for any other URI."""
    return Path(uri.removeprefix("sqlite:///")).resolve() if uri.startswith("sqlite:///") else None


def end_of(folder: RunFolder) -> str:
    """Tell how a run ended: "done" or its error, so that another error next time is news; empty while it goes on."""
    if folder.state == "failed":
        return folder.failure or "failed.json names no error"
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
    """Return the text with user names and passwords taken out of its addresses."""
    return re.sub(r"://[^/\s]*@", "://", text)
