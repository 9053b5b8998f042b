"""What the systems of a table cost: counts of every network, and the measurements there are of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

import torch

from agegender.cost.counts import Counts, count
from agegender.cost.measurement import Measurement, read_all
from agegender.data.transforms.views import get_views
from agegender.models.layers import BetaBatchNorm2d
from agegender.report.markup import Markup, Section
from agegender.runs.job import Job
from agegender.runtimes.catalogue import title_of
from agegender.training.fit import build_network

_NOTES = (
    "Of one face. MACs: multiplications with addition of convolutions and linear layers, in millions; MB: 10^6 bytes "
    "of float32 parameters and running statistics. Latency: milliseconds of a call, median of single calls; what was "
    "measured together took turns. 90th and 99th percentile, spread, least, memory and file sizes: costs.csv.",
    "The lines with + are two single-task networks, run one after the other to answer both tasks: their sums.",
)


@dataclass(frozen=True)
class Setting:
    """What must be the same for two latencies to compare, but for the network."""

    device: str
    runtime: str
    precision: str
    threads: int
    batch_size: int

    @property
    def is_published(self) -> bool:
        """Whether it is what accuracies are set beside: one face on one thread in float32."""
        return (self.precision, self.threads, self.batch_size) == ("float32", 1, 1)


@dataclass(frozen=True)
class SystemCost:
    """The counts of a system's network, its measurements by setting, and the name of its backbone and of its tasks.

    `other_function`: the modes and variants whose accuracy is not of the network that is measured here, since it reads
    the faces beside a face, or averages over several views of a face.
    """

    counts: Counts
    measured: Mapping[Setting, Measurement]
    other_function: frozenset[tuple[str, str]] = frozenset()
    backbone: str = ""
    tasks: tuple[str, ...] = ()


def load_costs(jobs: Iterable[Job], costs: Path) -> dict[str, SystemCost]:
    """Count the network of every system among the jobs and find its measurements: of the same model and tasks."""
    jobs = list(jobs)
    found: dict[tuple[str, tuple[str, ...], int], dict[Setting, Measurement]] = {}
    for each in read_all(costs):
        subject = each.subject
        setting = Setting(each.device, subject.runtime, subject.precision, subject.threads, subject.batch_size)
        found.setdefault((subject.network, subject.tasks, subject.size), {})[setting] = each
    first = {job.run.system.name: job for job in reversed(jobs)}
    alike = {(job.run.system.name, job.run.mode, job.variant): job for job in jobs if job.run.fold == jobs[0].run.fold}
    other = {key for key, job in alike.items() if _is_other_function(job)}
    return {
        system: SystemCost(
            count(partial(build_network, job.run), job.run.system.model.input_size),
            found.get((job.run.system.model.name, job.run.tasks, job.run.system.model.input_size), {}),
            frozenset((mode, variant) for name, mode, variant in other if name == system),
            job.run.system.model.name,
            job.run.tasks,
        )
        for system, job in reversed(first.items())
    }


def _is_other_function(job: Job) -> bool:
    evaluation = job.run.evaluation
    with torch.device("meta"):
        norms = [m for m in build_network(job.run).modules() if isinstance(m, BetaBatchNorm2d)]
    reads_batch = {"batch": bool(norms), "network": any(norm.batch_statistics for norm in norms)}
    return len(get_views(evaluation.views)) > 1 or reads_batch.get(evaluation.statistics, False)


def main_device(costs: Mapping[str, SystemCost]) -> str:
    """Return the device with the most measurements that accuracies are set beside; "" where there is none."""
    found = Counter(setting.device for cost in costs.values() for setting in cost.measured if setting.is_published)
    return found.most_common(1)[0][0] if found else ""


def is_measured(costs: Mapping[str, SystemCost]) -> bool:
    """Whether there is a measurement of any system."""
    return any(cost.measured for cost in costs.values())


def settings_of(costs: Mapping[str, SystemCost]) -> list[Setting]:
    """Return every setting that some system was measured in: float32 first, then one runtime after the other."""
    found = dict.fromkeys(setting for cost in costs.values() for setting in cost.measured)
    return sorted(
        found, key=lambda s: (s.device, s.batch_size, s.threads, s.precision != "float32", s.precision, s.runtime)
    )


def pairs_of(costs: Mapping[str, SystemCost]) -> list[tuple[str, str]]:
    """Return a system of another task alone and one of gender alone, of one backbone: to answer both, both must run."""
    gender = {system: cost for system, cost in costs.items() if cost.tasks == ("gender",)}
    others = {system: cost for system, cost in costs.items() if len(cost.tasks) == 1 and system not in gender}
    return [(one, two) for one in others for two in gender if others[one].backbone == gender[two].backbone]


def both(one: Counts, other: Counts) -> Counts:
    """Return the counts of two networks together."""
    return Counts(*(a + b for a, b in zip(vars(one).values(), vars(other).values(), strict=True)))


def median_of(costs: Sequence[SystemCost], setting: Setting) -> float | None:
    """Return the milliseconds of these networks one after the other; None unless each was measured."""
    if not all(setting in cost.measured for cost in costs):
        return None
    return sum(cost.measured[setting].median for cost in costs)


def cost_sections(costs: Mapping[str, SystemCost], titles: Mapping[str, str], markup: Markup) -> list[Section]:
    """Lay out counts and latencies, a line per system; a section with counts alone where nothing was measured."""
    groups = [
        list(group) for _, group in groupby(settings_of(costs), key=lambda s: (s.device, s.threads, s.batch_size))
    ]
    return [_section(number, costs, titles, group, markup) for number, group in enumerate(groups or [[]])]


def _section(
    number: int,
    costs: Mapping[str, SystemCost],
    titles: Mapping[str, str],
    settings: Sequence[Setting],
    markup: Markup,
) -> Section:
    body = [_line(titles[system], [cost], settings, markup) for system, cost in costs.items()]
    for pair in pairs_of(costs):
        title = " + ".join(titles[system] for system in pair)
        body.append(_line(title, [costs[system] for system in pair], settings, markup))
    measured = (f"{title_of(s.runtime)}, {s.precision}" for s in settings)
    head = [markup.escape(text) for text in ("system", "parameters", "MACs, million", "MB", *measured)]
    title = "Cost"
    if settings:
        one = settings[0]
        threads = f"{one.threads} thread{'s' if one.threads > 1 else ''}"
        title = f"Cost: {one.device}; {threads}, batch {one.batch_size}"
    return Section(f"cost{number}", title, head, body, _NOTES, "l" + "r" * (len(head) - 1))


def _line(title: str, costs: Sequence[SystemCost], settings: Sequence[Setting], markup: Markup) -> list[str]:
    counts = costs[0].counts if len(costs) == 1 else both(costs[0].counts, costs[1].counts)
    medians = [median_of(costs, setting) for setting in settings]
    return [markup.escape(title), *counted(counts), *("missing" if ms is None else f"{ms:.2f}" for ms in medians)]


def counted(counts: Counts) -> list[str]:
    """Print parameters, MACs in millions and MB."""
    return [f"{counts.parameters:,}", f"{counts.macs / 1e6:,.1f}", f"{counts.bytes / 1e6:.2f}"]


def fastest(cost: SystemCost, device: str) -> str:
    """Name a device's fastest runtime for one face on one thread in float32, and its milliseconds; "" if none."""
    found = [
        (each.median, title_of(setting.runtime))
        for setting, each in cost.measured.items()
        if setting.is_published and setting.device == device
    ]
    return f"{min(found)[0]:.2f} ({min(found)[1]})" if found else ""
