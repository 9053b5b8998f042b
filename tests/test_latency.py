"""The protocol of a latency measurement, on a clock that only the measured calls move."""

from collections.abc import Callable

import numpy as np
import pytest

from agegender.cost import latency
from agegender.cost.latency import BLOCK, GIVE_UP, LEAD, WARM_UP, drift, measure, summarize


class Clock:
    """Nanoseconds that pass only while a call is made; `log` is the names of the calls."""

    def __init__(self) -> None:
        self.now, self.log = 0, list[str]()

    def call(self, name: str, *durations: int) -> Callable[[], None]:
        each = iter(durations)
        last = durations[-1]

        def run() -> None:
            self.log.append(name)
            self.now += next(each, last)

        return run


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(latency, "perf_counter_ns", lambda: made.now)
    return made


def test_networks_take_turns_and_the_first_comes_again(clock: Clock) -> None:
    found, again = measure({"a": clock.call("a", 5), "b": clock.call("b", 7)}, calls=70)
    assert found == {"a": [5] * 70, "b": [7] * 70}
    assert again == [5] * 70
    order = "".join(clock.log)
    block = LEAD + BLOCK
    turns = "a" * block + "b" * block
    rest = LEAD + 70 - 2 * BLOCK
    assert order == "a" * WARM_UP + "b" * WARM_UP + turns * 2 + "a" * rest + "b" * rest + "a" * 3 * block
    assert drift(found["a"], again) == 0


def test_calls_at_the_head_of_a_block_do_not_count(clock: Clock) -> None:
    slow_head = [5] * WARM_UP + [100] * LEAD + [5]
    found, _ = measure({"a": clock.call("a", *slow_head)}, calls=10)
    assert found["a"] == [5] * 10


def test_warming_up_goes_on_until_it_is_steady_or_hopeless(clock: Clock) -> None:
    measure({"a": clock.call("a", *[90 - n for n in range(50)], 40)}, calls=1)
    first = len(clock.log) - 2 * (LEAD + 1) - (BLOCK - 1)
    assert first == 70, "the last ten and the ten before agree after seven times ten calls"
    clock.log.clear()
    measure({"a": clock.call("a", *[2 ** (n // 10) for n in range(400)])}, calls=1)
    assert clock.log.count("a") - 2 * (LEAD + 1) - (BLOCK - 1) == GIVE_UP


def test_a_summary_is_numpys_percentiles() -> None:
    calls = np.random.default_rng(0).integers(1_000_000, 9_000_000, 301).tolist()
    found = summarize(calls)
    ms = np.array(calls) / 1e6
    assert (found.median, found.minimum, found.n) == (np.median(ms), ms.min(), 301)
    assert [found.p90, found.p99] == np.percentile(ms, [90, 99]).tolist()
    assert found.iqr == pytest.approx(np.percentile(ms, 75) - np.percentile(ms, 25))
    with pytest.raises(ValueError, match="no call"):
        summarize([])


def test_drift_is_how_much_longer_it_took_in_the_end() -> None:
    assert drift([100, 100, 400], [110, 110, 90]) == pytest.approx(0.1)
