"""The curve of a run, `history.jsonl` in its folder: one JSON line per logged step."""

from math import inf, isnan
from pathlib import Path
from typing import Any, NamedTuple

from agegender.errors import Damaged
from agegender.files import Shape, parse, write_whole

_LINE: Shape = {"step": int, "time": float, "values": {...: float}}


class Logged(NamedTuple):
    """A line of the history: its text, the step it was logged in, counted from 0, when, and the values by their names.

    `time` is in milliseconds since the epoch.
    """

    text: str
    step: int
    time: int
    values: dict[str, float]


def read_history(path: Path) -> list[Logged]:
    """Return the lines of a history, none where there is no file; a half-written last line is left out.

    Damaged where a line is not a logged step.
    """
    if not path.exists():
        return []
    *lines, _ = path.read_bytes().split(b"\n")
    return [_logged(path, number, line) for number, line in enumerate(lines, 1)]


def _logged(path: Path, number: int, line: bytes) -> Logged:
    try:
        entry: dict[str, Any] = parse(line, _LINE)
        return Logged(f"{line.decode()}\n", entry["step"], int(entry["time"] * 1000), entry["values"])
    except (ValueError, OverflowError):
        raise Damaged(f"{path}, line {number}, is not a logged step: remove that line and run it again") from None


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
