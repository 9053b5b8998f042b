"""Two sides taking turns, and the line every script here ends with: `ratio: <median> (<lowest> to <highest>)`."""

import statistics
from collections.abc import Callable, Mapping, Sequence


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
        ratios.append(print_pair(pair, measured, unit))
    return ratios


def pair_up(first: tuple[str, Sequence[float]], second: tuple[str, Sequence[float]], pairs: int) -> list[float]:
    """Divide milliseconds that were measured in turns into `pairs`; print and return first over second of each."""
    turns = len(first[1]) // pairs
    spans = [slice(pair * turns, (pair + 1) * turns) for pair in range(pairs)]
    return [
        print_pair(pair, {first[0]: first[1][span], second[0]: second[1][span]}, "ms")
        for pair, span in enumerate(spans)
    ]


def print_pair(pair: int, measured: Mapping[str, Sequence[float]], unit: str) -> float:
    """Print the medians of two sides and return the first over the second."""
    values = {name: statistics.median(side) for name, side in measured.items()}
    first, second = values.values()
    shown = ", ".join(f"{name} {value:,.4g} {unit}" for name, value in values.items())
    print(f"pair {pair + 1}: {shown}, ratio {first / second:.3f}", flush=True)
    return first / second
