"""Published numbers of an experiment: read strictly, and compared with ours only where that means something."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agegender.datasets.protocols import PROTOCOLS
from agegender.errors import UserError
from agegender.metrics import METRICS

COST_METRICS = {"size_mb": "size, MB", "latency_ms": "latency, ms"}  # of a network, whatever the data
_KEYS = ("system", "metric", "value", "sd", "dataset", "protocol", "note", "source")


@dataclass(frozen=True)
class Published:
    """A number as its source prints it; None where the source gives none.

    A share is in percent, an error in groups or in its unit, a cost in the unit of its name.

    `system` and `metric` are this suite's names (`lmtcnn_2_1`, `age_exact`), `dataset` and `protocol` what was tested.
    """

    system: str
    metric: str
    value: float | None
    sd: float | None
    dataset: str
    protocol: str
    note: str
    source: str


def read_published(entries: Iterable[Mapping[str, Any]]) -> tuple[Published, ...]:
    """Read the `published` rows of an experiment; `sd`, `note` and an unknown `value` may be left out.

    UserError for a misspelt or missing key and an unknown metric.
    """
    return tuple(_read(number, entry) for number, entry in enumerate(entries, start=1))


def _read(number: int, entry: Mapping[str, Any]) -> Published:
    unknown = sorted(set(entry) - set(_KEYS))
    missing = [key for key in ("system", "metric", "dataset", "protocol", "source") if not entry.get(key)]
    if unknown or missing:
        problem = f"has an unknown key '{unknown[0]}'" if unknown else f"lacks '{missing[0]}'"
        raise UserError(f"published row {number} of the experiment {problem}: the keys are {', '.join(_KEYS)}")
    if entry["metric"] not in (known := [*METRICS, *COST_METRICS]):
        raise UserError(
            f"published row {number} has no known metric '{entry['metric']}': choose from {', '.join(known)}"
        )
    text = {key: str(entry.get(key) or "") for key in ("system", "metric", "dataset", "protocol", "note", "source")}
    return Published(value=_number(entry.get("value")), sd=_number(entry.get("sd")), **text)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def why_not_comparable(entry: Published, dataset: str, protocol: str, partial: str) -> str:
    """Say what forbids setting a published number beside ours; "" when nothing does.

    Numbers of the authors' lists compare with those of the rule that made them: the test faces are the same.
    `partial`: how our data fall short of the whole data set, "" when they do not.
    """
    if entry.dataset != dataset:
        return f"other data ({entry.dataset})"
    ours = PROTOCOLS.get(protocol)
    if entry.protocol not in (protocol, ours and ours.tests_as):
        return f"other protocol ({entry.protocol})"
    return f"part of the data ({partial})" if partial else ""
