"""The run folder: one folder per run, complete in itself; what resume, report and transport rely on."""

import fcntl
import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from agegender.errors import Damaged, UserError
from agegender.files import Shape, parse, write_whole

# What each JSON file of a run folder holds, as far as anything reads it.
_ENVIRONMENT: Shape = {
    "started?": str,
    "commit?": str | None,
    "dirty?": bool | None,
    "versions?": {...: str | None},
    "hardware?": {...: str | float | None},
}
SHAPES: Mapping[str, Shape] = {
    "done": {...: str},
    "environment": _ENVIRONMENT,
    "failed": {"error": str, "traceback?": str},
    "identity": {"identity": str, "keys": {"data": str, "fold": int, "seed": int, "system": {"name": str}}},
    "metrics": {"parameters?": float, "faces/train?": float, ...: str | float | None},
    "mlflow": {"key?": str, "runs?": {...: str}},
    "sweep": {
        **dict.fromkeys(("title", "description", "status"), str),
        "tags": {...: str},
        "metrics": {...: float},
        "runs": {...: list},
    },
    "transfer": {"run?": str | None},
    "weights": {"sha256?": str, "trained_by?": str},
}
# The files that do not change any more once a run is done, which its done mark holds the checksums of.
LASTING = (
    *("config.yaml", "environment.json", "identity.json", "metrics.json", "predictions.csv"),
    *("transfer.json", "weights.json"),
)


ASKING_SECONDS = 0.2  # for which a process may hold a folder that only asks whether another one does


@dataclass(frozen=True)
class RunFolder:
    """`runs/<identity>/` and the names of what is in it."""

    path: Path

    @property
    def identity(self) -> str:
        return self.path.name

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def history(self) -> Path:
        return self.path / "history.jsonl"

    @property
    def predictions(self) -> Path:
        return self.path / "predictions.csv"

    @property
    def weights(self) -> Path:
        """The evaluated weights; absent where they stayed on another machine, which is legitimate."""
        return self.path / "weights.safetensors"

    @property
    def checkpoints(self) -> Path:
        """Lightning's checkpoints, while the run is under way."""
        return self.path / "checkpoints"

    @property
    def log(self) -> Path:
        return self.path / "train.log"

    @property
    def state(self) -> str:
        """One of done, failed, started, announced (a sweep has yet to come to it), missing."""
        marks = {"done": "done", "failed.json": "failed", "train.log": "started", "identity.json": "announced"}
        return next((state for mark, state in marks.items() if (self.path / mark).exists()), "missing")

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Keep other processes out of the folder; UserError when one is training this run."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "lock").open("w") as lock:
            end = time.monotonic() + ASKING_SECONDS
            while not _locked(lock):
                if time.monotonic() > end:
                    raise UserError(f"{self.path} is being trained by another process: wait for it, or stop it")
                time.sleep(ASKING_SECONDS / 10)
            yield

    @property
    def in_training(self) -> bool:
        """Whether a process has claimed the folder."""
        if not (self.path / "lock").exists():
            return False
        with (self.path / "lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    @property
    def keys(self) -> dict[str, Any]:
        """Everything that can change the result of the run; Damaged where identity.json is not there or another's."""
        told = self.read("identity")
        if not told:
            raise self.damaged("identity.json", "is not there")
        keys: dict[str, Any] = told["keys"]
        if told["identity"] != identity(keys["system"]["name"], keys):
            raise self.damaged("identity.json", "holds other keys than its run was named after")
        return keys

    @property
    def failure(self) -> str:
        """Why the run failed, in one sentence, which may be that its own cannot be read; "" where it tells nothing."""
        try:
            return str(self.read("failed").get("error", ""))
        except Damaged as error:
            return str(error)

    def read(self, name: str) -> dict[str, Any]:
        """Read one of the folder's JSON files, an empty dictionary when there never was one; Damaged as `content`."""
        file = f"{name}.json"
        return self._parsed(file, name) if (self.path / file).exists() or file in self._sums() else {}

    def content(self, name: str) -> bytes:
        """Return what is in a file; Damaged where it cannot be read or is not what a finished run has left."""
        content = self._bytes(name)
        told = self._sums().get(name) if name in LASTING else None
        if told not in (None, hashlib.sha256(content).hexdigest()):
            raise self.damaged(name, "is not the file that the run has left")
        return content

    def check(self) -> None:
        """Damaged where a file that tables and answers are made of is not what a finished run has left."""
        for name in self._sums():
            self.content(name)

    def _sums(self) -> dict[str, str]:
        """The checksums that the done mark holds by the names of files."""
        return self._parsed("done", "done") if (self.path / "done").exists() else {}

    def damaged(self, name: str, problem: str) -> Damaged:
        """Return the error that says what is wrong with a file of the folder, and what to do."""
        remedy = f"copy the run folder {self.path} anew from where it is whole, or remove it and run it again"
        if name == "mlflow.json":
            remedy = "remove this file, and `agegender track` sends the run anew"
        return Damaged(f"{self.path / name} {problem}: {remedy}")

    def _parsed(self, file: str, name: str) -> dict[str, Any]:
        content = self.content(file)
        if not content and name == "done":
            return {}  # of a run from before marks held checksums
        try:
            parsed: dict[str, Any] = parse(content, SHAPES[name])
        except ValueError as error:
            raise self.damaged(file, str(error)) from None
        return parsed

    def _bytes(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise self.damaged(name, f"cannot be read ({error.strerror})") from None

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Write one of the folder's JSON files, whole or not at all."""
        self.write_text(f"{name}.json", json.dumps(content, indent=2) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Write a text file of the folder, whole or not at all."""
        write_whole(self.path / name, text.encode())

    def finish(self) -> None:
        """Set the done mark and drop what only an unfinished run needs.

        The mark holds the checksum of every file that tables and answers are made of, so that none can change
        unnoticed. The checkpoints go last: without them and without the mark, the run would be trained again.
        """
        files = [self.path / name for name in LASTING if (self.path / name).exists()]
        sums = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
        self.write_text("done", json.dumps(sums, indent=2) + "\n")
        self.tidy()

    def tidy(self) -> None:
        """Drop what a finished run does not need, also where it was killed before it could."""
        (self.path / "failed.json").unlink(missing_ok=True)
        shutil.rmtree(self.checkpoints, ignore_errors=True)


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def identity(system: str, keys: Mapping[str, Any]) -> str:
    """Name a run after what can change its result: `<system>-f<fold>-s<seed>-<hash of all keys>`."""
    canonical = json.dumps(keys, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode()).hexdigest()[:10]
    return f"{system}-f{keys['fold']}-s{keys['seed']}-{digest}"
