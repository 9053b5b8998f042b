"""A measurement: one network on one runtime of one device, kept in a folder of its own with every call."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from agegender.cost.latency import Calls
from agegender.environment import describe_environment
from agegender.errors import UserError

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
        words = [self.network, *self.tasks, self.runtime, self.precision]
        return "-".join([*words, f"t{self.threads}", f"b{self.batch_size}", f"{self.size}px"])


def stage(preprocessing: str) -> str:
    """Return what stands in a network's place where the way from stored face to input is timed."""
    return "preprocessing" if preprocessing == "standardize" else f"preprocessing_{preprocessing}"


@dataclass(frozen=True)
class Measurement:
    """A subject's folder read back. `facts` holds counts, bytes, memory, latency and environment; see `write`."""

    subject: Subject
    folder: Path
    facts: Mapping[str, Any]

    @property
    def device(self) -> str:
        return str(self.facts["device"])

    @property
    def median(self) -> float:
        """Milliseconds of a call."""
        return float(self.facts["latency_ms"]["median"])


@cache
def device(kind: str) -> str:
    """Name this machine as measurements do, its "cpu" or its "cuda" GPU: hardware and system."""
    import torch

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


def write(folder: Path, subject: Subject, facts: Mapping[str, Any], calls: Calls) -> None:
    """Write a measurement: every call in nanoseconds, in order, and last cost.json, which marks it as whole."""
    folder.mkdir(parents=True, exist_ok=True)
    for stale in ("cost.json", "mlflow.json"):  # of an earlier measurement, which these calls are not of
        (folder / stale).unlink(missing_ok=True)
    (folder / "calls.csv").write_text("nanoseconds\n" + "\n".join(map(str, calls)) + "\n", encoding="utf-8")
    partial = folder / "cost.json.partial"
    partial.write_text(json.dumps({"subject": vars(subject), **facts}, indent=2) + "\n", encoding="utf-8")
    partial.replace(folder / "cost.json")


def read(folder: Path) -> Measurement | None:
    """Read a measurement; None where there is none, or only a part of one."""
    file = folder / "cost.json"
    if not file.exists():
        return None
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
        words = facts.pop("subject")
        subject = Subject(**{**words, "tasks": tuple(words["tasks"])})
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{file} is not a measurement: remove {folder} and measure again") from None
    return Measurement(subject, folder, facts)


def read_all(costs: Path) -> Iterator[Measurement]:
    """Read every measurement below a folder, in the order of their names."""
    for file in sorted(costs.glob("*/cost.json")):
        found = read(file.parent)
        if found:
            yield found


def read_calls(folder: Path) -> Calls:
    """Read the nanoseconds of a measurement's calls."""
    return [int(line) for line in (folder / "calls.csv").read_text(encoding="utf-8").split()[1:]]
