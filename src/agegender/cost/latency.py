"""The protocol of a latency measurement: warm up, take turns, keep every call."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter_ns

import numpy as np

WARM_UP = 30  # calls at least
STEADY = 0.02  # how far the medians of the last ten calls and of the ten before may be apart
GIVE_UP = 200  # calls of warm-up at most, on a machine whose speed does not settle
BLOCK = 30  # calls of one network before the next has its turn
LEAD = 3  # calls before each block that do not count: they bring the network's weights back into the caches

Calls = Sequence[int]
"""Nanoseconds of single calls, in the order they were made."""


@dataclass(frozen=True)
class Latency:
    """Of single calls, in milliseconds; percentiles by linear interpolation."""

    median: float
    p90: float
    p99: float
    iqr: float
    minimum: float
    n: int


def summarize(calls: Calls) -> Latency:
    """Summarise single calls; ValueError where there is none."""
    if not len(calls):
        raise ValueError("there is no call to summarise")
    ms = np.asarray(calls, dtype=np.float64) / 1e6
    low, median, high, p90, p99 = np.percentile(ms, [25, 50, 75, 90, 99]).tolist()
    return Latency(median, p90, p99, high - low, float(ms.min()), len(ms))


def measure(
    networks: Mapping[str, Callable[[], object]], calls: int, advance: Callable[[int], None] = lambda done: None
) -> tuple[dict[str, list[int]], list[int]]:
    """Time `calls` single calls of each network, in turns of a block each.

    Return each one's calls, and those of the first network made once more after all others: how far they lie from its
    own is how far the machine drifted. `advance` is told how many calls were made since it was last told.
    """
    for call in networks.values():
        _warm_up(call)
    found: dict[str, list[int]] = {name: [] for name in networks}
    while any(len(each) < calls for each in found.values()):
        for name, call in networks.items():
            turn = min(BLOCK, calls - len(found[name]))
            found[name] += _block(call, turn)
            advance(turn)
    first = next(iter(networks.values()))
    again = [each for _ in range(-(-calls // BLOCK)) for each in _block(first, BLOCK)][:calls]
    return found, again


def _warm_up(call: Callable[[], object]) -> None:
    made: list[int] = []
    while len(made) < GIVE_UP and not (len(made) >= WARM_UP and _steady(made)):
        made += _timed(call, 10)


def _steady(calls: Calls) -> bool:
    last, before = np.median(calls[-10:]), np.median(calls[-20:-10])
    return bool(abs(last / before - 1) < STEADY)


def _block(call: Callable[[], object], count: int) -> list[int]:
    return _timed(call, LEAD + count)[LEAD:]


def _timed(call: Callable[[], object], count: int) -> list[int]:
    times = []
    for _ in range(count):
        started = perf_counter_ns()
        call()
        times.append(perf_counter_ns() - started)
    return times


def drift(own: Calls, again: Calls) -> float:
    """How much longer the first network took at the end than in its own turns: a ratio of medians less one."""
    return float(np.median(again) / np.median(own) - 1)
