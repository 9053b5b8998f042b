"""The run folder: one folder per run, complete in itself; what resume, report and transport rely on."""

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agegender.errors import UserError


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
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(f"{self.path} is being trained by another process: wait for it, or stop it") from None
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

    def read(self, name: str) -> dict[str, Any]:
        """Read one of the folder's JSON files; an empty dictionary when it is not there."""
        file = self.path / f"{name}.json"
        if not file.exists():
            return {}
        try:
            content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            raise UserError(f"{file} is not valid JSON: remove the run folder {self.path} and run it again") from None
        return content

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Write one of the folder's JSON files, whole or not at all."""
        self.write_text(f"{name}.json", json.dumps(content, indent=2) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Write a text file of the folder, whole or not at all."""
        self.path.mkdir(parents=True, exist_ok=True)
        partial = self.path / f"{name}.partial"
        partial.write_text(text, encoding="utf-8")
        partial.replace(self.path / name)

    def finish(self) -> None:
        """Drop what only an unfinished run needs and set the done mark, last of all."""
        shutil.rmtree(self.checkpoints, ignore_errors=True)
        (self.path / "failed.json").unlink(missing_ok=True)
        (self.path / "done").touch()


def identity(system: str, keys: Mapping[str, Any]) -> str:
    """Name a run after what can change its result: `<system>-f<fold>-s<seed>-<hash of all keys>`."""
    canonical = json.dumps(keys, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode()).hexdigest()[:10]
    return f"{system}-f{keys['fold']}-s{keys['seed']}-{digest}"
