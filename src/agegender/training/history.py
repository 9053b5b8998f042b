"""The curve of a run: one JSON line per logged step in the run folder, for people, resume and the tracker alike."""

import json
import time
from argparse import Namespace
from collections.abc import Callable, Mapping
from math import inf, isnan
from pathlib import Path
from typing import Any, NamedTuple

from pytorch_lightning.loggers import Logger

from agegender.errors import UserError
from agegender.runs import write_whole


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


class Logged(NamedTuple):
    """A line of the history: its text, the step it was logged in, counted from 0, and the values by their names."""

    text: str
    step: int
    values: dict[str, float]


def read_history(path: Path) -> list[Logged]:
    """Return the lines of a history, none where there is no file; a half-written last line is left out.

    UserError where a line is not a logged step.
    """
    if not path.exists():
        return []
    *lines, _ = path.read_bytes().split(b"\n")
    return [_logged(path, number, line) for number, line in enumerate(lines, 1)]


def _logged(path: Path, number: int, line: bytes) -> Logged:
    try:
        text = line.decode("utf-8")
        entry = json.loads(text)
        step, values = entry["step"], entry["values"]
        numbers = [step, *values.values()]
        if type(step) is not int or any(type(number) not in (int, float) for number in numbers):
            raise TypeError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UserError(f"{path}, line {number}, is not a logged step: remove that line and run it again") from None
    return Logged(f"{text}\n", step, values)


def best_step(lines: list[Logged]) -> int | None:
    """Return after how many steps validation was first at its best, as the history says; None without a validation."""
    best = _best(lines)
    return best.step + 1 if best else None


def _best(lines: list[Logged]) -> Logged | None:
    """The first of the highest scores; one that is not a number is below all others."""

    def score(line: Logged) -> float:
        value = line.values["val/score"]
        return -inf if isnan(value) else value

    return max((line for line in lines if "val/score" in line.values), key=score, default=None)


def selected_validation(path: Path, select: str, steps: int) -> dict[str, float]:
    """Return what the evaluated weights reached on validation, `validation/<task>`: right answers, 0..1, or an error.

    `select` "best" is the first of the highest scores, as the checkpoint is; "last" is known only where validation took
    place after the last of the `steps`.
    """
    lines = read_history(path)
    if select == "best":
        line = _best(lines)
    else:
        line = next((line for line in lines if line.step == steps - 1 and "val/score" in line.values), None)
    values = {name.removeprefix("val/"): x for name, x in line.values.items() if name[:4] == "val/"} if line else {}
    return {f"validation/{task}": value for task, value in values.items() if task not in ("score", "loss")}


def forget_after(path: Path, step: int) -> None:
    """Drop what was logged after the checkpoint a run resumes from; those steps are about to be made again."""
    if path.exists():
        kept = "".join(line.text for line in read_history(path) if line.step < step)
        write_whole(path, kept.encode())
