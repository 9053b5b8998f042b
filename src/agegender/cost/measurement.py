"""A measurement: one network on one runtime of one device, kept in a folder of its own with every call."""

from __future__ import annotations

import hashlib
import json
import logging
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from math import isclose
from pathlib import Path
from typing import Any

import torch

from agegender.cost.latency import Calls, Latency, summarize
from agegender.errors import Damaged
from agegender.files import Shape, parse, write_whole
from agegender.runs.environment import describe_environment

log = logging.getLogger(__name__)
_SUBJECT: Shape = {
    **dict.fromkeys(("network", "runtime", "precision"), str),
    **dict.fromkeys(("threads", "batch_size", "size"), int),
    "tasks": list,
}
_DIGITS = 16  # of the nanoseconds of a call; months
_SHAPE: Shape = {
    "subject": _SUBJECT,
    "device": str,
    "latency_ms": dict.fromkeys(Latency.__annotations__, float),
    "turns": {"drift": float},
    "environment": {"commit": str | None, "started": str},
    "versions": {...: str | None},
    "counts?": {...: float},
    "file_bytes?": float,
    "peak_bytes?": float | None,
}
GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


@dataclass(frozen=True)
class Subject:
    """What is measured: latency belongs to all of these and to the device.

    `network` is the name of a model and `tasks` its heads, or it is what `stage` returns and there are none;
    `precision` is one of the runtime's; `threads` and `batch_size` are of one call; `size` is the side of its images in
    pixels.
    """

    network: str
    tasks: tuple[str, ...]
    runtime: str
    precision: str
    threads: int
    batch_size: int
    size: int

    @property
    def is_network(self) -> bool:
        return bool(self.tasks)

    @property
    def name(self) -> str:
        parts = [self.network, *self.tasks, self.runtime, self.precision]
        name = "-".join([*parts, f"t{self.threads}", f"b{self.batch_size}", f"{self.size}px"])
        return name.replace(":", ".")  # of `package.module:object`, as not every file system takes a colon


def stage(preprocessing: str) -> str:
    """Return what stands in a network's place where the way from stored face to input is timed."""
    return "preprocessing" if preprocessing == "standardize" else f"preprocessing_{preprocessing}"


@dataclass(frozen=True)
class Measurement:
    """A subject's folder read back. `results` hold counts, bytes, memory, latency and environment; see `write`."""

    subject: Subject
    folder: Path
    results: Mapping[str, Any]

    @property
    def device(self) -> str:
        return str(self.results["device"])

    @property
    def median(self) -> float:
        """Milliseconds of a call."""
        return float(self.results["latency_ms"]["median"])


@cache
def device(kind: str) -> str:
    """Name this machine as measurements do, its "cpu" or its "cuda" GPU: hardware and system."""
    hardware: Any = describe_environment()["hardware"]
    gpu = f", {torch.cuda.get_device_name()}" if kind == "cuda" else ""
    return f"{hardware['processor']}, {hardware['cores']} cores{gpu}, {hardware['system']}"


def circumstances() -> dict[str, Any]:
    """What a latency depends on besides its subject, device and versions."""
    environment: dict[str, Any] = describe_environment("cpu")
    del environment["hardware"]["threads"]  # torch's own at this moment; those of the calls are the subject's
    governor = GOVERNOR.read_text(encoding="utf-8").strip() if GOVERNOR.exists() else None
    return {**environment, "governor": governor, "system_release": platform.release()}


def folder_of(subject: Subject, where: str, costs: Path) -> Path:
    """The folder of a subject's measurement on a device; measurements of other devices stand beside it."""
    digest = hashlib.sha256(where.encode()).hexdigest()[:6]
    return costs / f"{subject.name}-{digest}"


def write(folder: Path, subject: Subject, results: Mapping[str, Any], calls: Calls) -> None:
    """Write a measurement: every call in nanoseconds, in order, and last cost.json, which marks it as whole."""
    folder.mkdir(parents=True, exist_ok=True)
    for stale in ("cost.json", "mlflow.json"):  # of an earlier measurement, which these calls are not of
        (folder / stale).unlink(missing_ok=True)
    (folder / "calls.csv").write_text("nanoseconds\n" + "\n".join(map(str, calls)) + "\n", encoding="utf-8")
    write_whole(folder / "cost.json", (json.dumps({"subject": vars(subject), **results}, indent=2) + "\n").encode())


def read(folder: Path) -> Measurement | None:
    """Read a measurement; None where there is none, or only a part of one.

    Damaged where its two files cannot be read, do not agree, or are not of the subject that the folder is named after.
    """
    file = folder / "cost.json"
    if not file.exists():
        return None
    try:
        results = parse(file.read_bytes(), _SHAPE)
        fields = results.pop("subject")
        named = {name: fields[name] for name in Subject.__annotations__}
        subject = Subject(**{**named, "tasks": tuple(map(str, fields["tasks"]))})
        if folder_of(subject, results["device"], folder.parent) != folder:
            raise ValueError("is not of the network and device that its folder is named after")
        latency = vars(summarize(read_calls(folder)))
        if not all(isclose(latency[name], results["latency_ms"][name], rel_tol=1e-6) for name in latency):
            raise ValueError("has other latencies than calls.csv beside it")
    except OSError as error:
        raise Damaged(f"{error.filename} cannot be read ({error.strerror}): {_remedy(folder)}") from None
    except ValueError as error:
        raise Damaged(f"{file} {error}: {_remedy(folder)}") from None
    return Measurement(subject, folder, results)


def _remedy(folder: Path) -> str:
    return f"remove {folder} and measure again"


def read_all(costs: Path) -> Iterator[Measurement]:
    """Read every measurement below a folder, in the order of their names; damaged ones are named and left out."""
    for file in sorted(costs.glob("*/cost.json")):
        try:
            found = read(file.parent)
        except Damaged as error:
            log.warning("%s", error)
            continue
        if found:
            yield found


def read_calls(folder: Path) -> Calls:
    """Read the nanoseconds of a measurement's calls; ValueError where a line is none."""
    lines = (folder / "calls.csv").read_bytes().split()[1:]
    if not all(line.isdigit() and len(line) < _DIGITS for line in lines):
        raise ValueError("has a calls.csv beside it with a line that is no number of nanoseconds")
    return [int(line) for line in lines]
