"""Two sides taking turns, and the line every script here ends with: `ratio: <median> (<lowest> to <highest>)`."""

import statistics
from collections.abc import Callable, Sequence


def print_ratio(ratios: Sequence[float], digits: int = 3) -> None:
    low, median, high = min(ratios), statistics.median(ratios), max(ratios)
    print(f"ratio: {median:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})")


def take_turns(
    first: tuple[str, Callable[[], float]], second: tuple[str, Callable[[], float]], pairs: int, unit: str
) -> list[float]:
    """Call both sides in each pair, the first one first in every other pair; print and return first over second."""
    ratios = []
    for pair in range(pairs):
        order = (first, second) if pair % 2 == 0 else (second, first)
        values = {name: side() for name, side in order}
        ratios.append(values[first[0]] / values[second[0]])
        shown = ", ".join(f"{name} {values[name]:,.4g} {unit}" for name, _ in (first, second))
        print(f"pair {pair + 1}: {shown}, ratio {ratios[-1]:.3f}", flush=True)
    return ratios
