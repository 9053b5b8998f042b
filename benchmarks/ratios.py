"""Two sides taking turns, and the line every script here ends with: `ratio: <median> (<lowest> to <highest>)`."""

import statistics
from collections.abc import Callable, Sequence


def print_ratio(ratios: Sequence[float], digits: int = 3) -> None:
    low, median, high = min(ratios), statistics.median(ratios), max(ratios)
    print(f"ratio: {median:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})")


def take_turns(
    first: tuple[str, Callable[[], float]],
    second: tuple[str, Callable[[], float]],
    pairs: int,
    unit: str,
    turns: int = 1,
) -> list[float]:
    """Call both sides `turns` times in each pair, each as often first as the other; print and return first over second.

    A side's value in a pair is the median of its turns: the shorter and the more they are, the less a machine's moods
    weigh.
    """
    ratios = []
    for pair in range(pairs):
        measured: dict[str, list[float]] = {first[0]: [], second[0]: []}
        for turn in range(turns):
            for name, side in (first, second) if (pair + turn) % 2 == 0 else (second, first):
                measured[name].append(side())
        values = {name: statistics.median(side) for name, side in measured.items()}
        ratios.append(values[first[0]] / values[second[0]])
        shown = ", ".join(f"{name} {values[name]:,.4g} {unit}" for name, _ in (first, second))
        print(f"pair {pair + 1}: {shown}, ratio {ratios[-1]:.3f}", flush=True)
    return ratios
