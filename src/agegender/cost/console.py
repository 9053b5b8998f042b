"""Measurements as tables to read in a terminal."""

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from agegender.cost.measurement import Measurement, Subject, stage


def print_costs(measurements: Sequence[Measurement]) -> None:
    """Print what networks count, and what each measurement found; all are of one device."""
    console = Console(width=None if sys.stdout.isatty() else 120)  # a file or a pipe has no width
    counts = Table("network", title="of one face")
    for name in ("parameters", "MACs, million", "activations", "float32 MB"):
        counts.add_column(name, justify="right")
    counted = {name_of(each.subject): each.results["counts"] for each in measurements if "counts" in each.results}
    for network, found in counted.items():
        macs, size = f"{found['macs'] / 1e6:,.1f}", megabytes(found["bytes"])
        counts.add_row(network, f"{found['parameters']:,}", macs, f"{found['activations']:,}", size)
    with console.capture() as printed:  # rich would end the command with status 1 where nothing reads on
        console.print(counts)
        for group in dict.fromkeys((each.subject.threads, each.subject.batch_size) for each in measurements):
            members = [each for each in measurements if (each.subject.threads, each.subject.batch_size) == group]
            console.print(_latencies(members, f"{members[0].device}; threads {group[0]}, batch {group[1]}"))
    sys.stdout.write(printed.get())


def _latencies(measurements: Sequence[Measurement], title: str) -> Table:
    table = Table("runtime", "precision", title=title, caption=_caption(measurements))
    for name in ("file", "peak", "median", "p90", "p99", "n"):
        table.add_column(name, justify="right")
    for network in dict.fromkeys(name_of(each.subject) for each in measurements):
        table.add_section()
        table.add_row(network, style="bold")
        for each in (each for each in measurements if name_of(each.subject) == network):
            latency = each.results["latency_ms"]
            sizes = [megabytes(each.results.get(name)) for name in ("file_bytes", "peak_bytes")]
            times = [f"{latency[name]:.2f}" for name in ("median", "p90", "p99")]
            table.add_row(f"  {each.subject.runtime}", each.subject.precision, *sizes, *times, f"{latency['n']:,}")
    return table


def _caption(measurements: Sequence[Measurement]) -> str:
    """What the numbers are, and how far the machine drifted while they were taken."""
    drifts = sorted(each.results["turns"]["drift"] for each in measurements)
    return f"MB of the file and of one call's peak; ms of a call; drift {drifts[0]:+.1%} to {drifts[-1]:+.1%}"


def name_of(subject: Subject) -> str:
    """Name a network by its model and heads, preprocessing by what it does."""
    if not subject.is_network:
        return "(resize, standardise)" if subject.network == stage("standardize") else f"(resize, {subject.network})"
    return f"{subject.network} ({', '.join(subject.tasks)})"


def megabytes(count: int | None) -> str:
    """Print bytes in MB of 10^6 bytes; nothing where they are not known."""
    return "" if count is None else f"{count / 1e6:.2f}"
