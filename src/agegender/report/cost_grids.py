"""What the systems cost as grids of words, one for each device, number of threads and batch size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from agegender.cost.counts import Counts
from agegender.report.costs import Setting, SystemCost, both, median_of, pairs_of, settings_of
from agegender.report.grid import Grid
from agegender.report.markup import Markup
from agegender.runtimes import title_of

_NOTES = (
    "Of one face. MACs: multiplications with addition of convolutions and linear layers, in millions; MB: 10^6 bytes "
    "of float32 parameters and running statistics. Latency: milliseconds of a call, median of single calls; what was "
    "measured together took turns. 90th and 99th percentile, spread, least, memory and file sizes: costs.csv.",
    "The lines with + are two single-task networks, run one after the other to answer both tasks: their sums.",
)


def cost_grids(costs: Mapping[str, SystemCost], titles: Mapping[str, str], markup: Markup) -> list[Grid]:
    """Lay out counts and latencies, a line per system; a grid with counts alone where nothing was measured."""
    groups = [
        list(group) for _, group in groupby(settings_of(costs), key=lambda s: (s.device, s.threads, s.batch_size))
    ]
    return [_grid(number, costs, titles, group, markup) for number, group in enumerate(groups or [[]])]


def _grid(
    number: int,
    costs: Mapping[str, SystemCost],
    titles: Mapping[str, str],
    settings: Sequence[Setting],
    markup: Markup,
) -> Grid:
    body = [_line(titles[system], [cost], settings, markup) for system, cost in costs.items()]
    for pair in pairs_of(costs):
        title = " + ".join(titles[system] for system in pair)
        body.append(_line(title, [costs[system] for system in pair], settings, markup))
    head = [
        "system",
        "parameters",
        "MACs, million",
        "MB",
        *(f"{title_of(s.runtime)}, {s.precision}" for s in settings),
    ]
    title = "Cost"
    if settings:
        one = settings[0]
        threads = f"{one.threads} thread{'s' if one.threads > 1 else ''}"
        title = f"Cost: {one.device}; {threads}, batch {one.batch_size}"
    names = [markup.escape(word) for word in head]
    return Grid(f"cost{number}", title, names, body, _NOTES, "l" + "r" * (len(head) - 1))


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
