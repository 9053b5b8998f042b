"""What a run folder tells a tracker: tags, parameters, curves, results and data sets, as plain values."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from agegender.runs.config import read_run
from agegender.runs.folder import RunFolder
from agegender.runs.history import read_history
from agegender.runs.job import variant_of


class Point(NamedTuple):
    """One value of a curve: its time in milliseconds since the epoch, its training step."""

    name: str
    value: float
    time: int
    step: int


class FoldData(NamedTuple):
    """The faces of one use of a fold: `context` is training or test."""

    name: str
    context: str
    digest: str
    source: str


def title(folder: RunFolder) -> str:
    """Return the name a run is shown by."""
    keys = folder.keys
    apart = [f"{name.replace('_', ' ')} {value}" for name, value in _apart(folder).items()]
    return ", ".join([f"{_name(keys['system'])} fold {keys['fold']} seed {keys['seed']}", *apart])


def tags(folder: RunFolder) -> dict[str, str]:
    """Return what runs are grouped and filtered by, and the environment that made this one."""
    keys, environment = folder.keys, folder.read("environment")
    found = {name: _name(keys[name]) for name in ("system", "fold", "seed", "protocol", "mode")}
    found |= {"data": read_run(folder).data.name, "identity": folder.identity}
    found["evaluation"] = "_".join(_apart(folder).values()) or "as the mode says"
    dirty = " with uncommitted changes" if environment.get("dirty") else ""
    facts = {
        "commit": environment.get("commit") and f"{environment['commit']}{dirty}",
        "torch": environment.get("versions", {}).get("torch"),
        "hardware": environment.get("hardware"),
    }
    return found | {name: _text(value) for name, value in facts.items() if value}


def parameters(folder: RunFolder) -> dict[str, str]:
    """Return everything in the identity, nested keys joined by dots."""
    return {accepted(key): value for key, value in _flat(folder.keys)}


def accepted(name: str) -> str:
    """Return a name as MLflow takes one of a metric or a parameter: other signs become their number, + is _2b_."""
    return re.sub(r"[^\w./: -]", lambda sign: f"_{ord(sign[0]):x}_", name)


def curve(folder: RunFolder) -> list[Point]:
    """Return the logged points, in the order of their steps."""
    lines = read_history(folder.history)
    return [Point(name, value, line.time, line.step) for line in lines for name, value in line.values.items()]


def results(folder: RunFolder) -> list[Point]:
    """Return the numbers of metrics.json, at the last logged step."""
    numbers = {name: float(value) for name, value in folder.read("metrics").items() if isinstance(value, int | float)}
    if not numbers:
        return []
    points = curve(folder)
    step = points[-1].step if points else 0
    return [Point(name, value, written(folder, "metrics.json"), step) for name, value in numbers.items()]


def fold_data(folder: RunFolder) -> list[FoldData]:
    """Return the data of the run's fold for training and for test; the digest is the whole data set's."""
    data, keys = read_run(folder).data, folder.keys
    source = str(data.source or data.pack)
    name, digest = f"{data.name} fold {keys['fold']}", str(keys["data"])
    return [FoldData(f"{name} {context}", context, digest, source) for context in ("training", "test")]


def started(folder: RunFolder) -> int | None:
    """When the run began, in milliseconds since the epoch; None where environment.json does not tell."""
    text = folder.read("environment").get("started")
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000) if text else None
    except (ValueError, OverflowError):
        raise folder.damaged("environment.json", f"has no time '{text}'") from None


def written(folder: RunFolder, name: str) -> int:
    """When a file of the folder was written, in milliseconds since the epoch."""
    return (folder.path / name).stat().st_mtime_ns // 1_000_000


def _apart(folder: RunFolder) -> dict[str, str]:
    """What sets a run apart from others of its system, mode, fold and seed."""
    return variant_of(read_run(folder))


def _flat(keys: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in keys.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _text(value)


def _name(value: Any) -> str:
    return str(value["name"]) if isinstance(value, Mapping) else str(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
