"""The curve of a run: one JSON line per logged step in the run folder, for people, resume and the tracker alike."""

import json
import time
from argparse import Namespace
from collections.abc import Callable, Mapping
from math import inf
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger


class History(Logger):
    """Append what Lightning logs to `history.jsonl`; call `mirror` now and then so that a tracker can follow."""

    def __init__(self, path: Path, mirror: Callable[[], None] | None = None, every_seconds: float = 10.0):
        super().__init__()
        self.path, self.mirror, self.every_seconds = path, mirror, every_seconds
        self._mirrored = -inf  # the first line is sent at once

    @property
    def name(self) -> str:
        return "history"

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: the resolved configuration is in the run folder."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        values = {name: float(value) for name, value in metrics.items() if name != "epoch"}
        line = {"step": step or 0, "time": time.time(), "values": values}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self.mirror and time.monotonic() - self._mirrored > self.every_seconds:
            self.mirror()
            self._mirrored = time.monotonic()


def selected_validation(path: Path, select: str, steps: int) -> dict[str, float]:
    """Return what the evaluated weights reached on validation, `validation/<task>`: right answers, 0..1, or an error.

    `select` "best" is the first of the highest scores, as the checkpoint is; "last" is known only where validation took
    place after the last of the `steps`.
    """
    entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    scored = [entry for entry in entries if "val/score" in entry["values"]]
    if select == "best":
        scored = [max(scored, key=lambda entry: entry["values"]["val/score"])]
    elif scored[-1]["step"] != steps - 1:
        return {}
    values = {name.removeprefix("val/"): value for name, value in scored[-1]["values"].items() if name[:4] == "val/"}
    return {f"validation/{task}": value for task, value in values.items() if task not in ("score", "loss")}


def forget_after(path: Path, step: int) -> None:
    """Drop what was logged after the checkpoint a run resumes from; those steps are about to be made again."""
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] < step]
        path.write_text("".join(kept), encoding="utf-8")
