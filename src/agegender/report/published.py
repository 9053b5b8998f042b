"""Published numbers of an experiment: read strictly, and compared with ours only where that means something."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from agegender.datasets.protocols import PROTOCOLS
from agegender.errors import UserError
from agegender.metrics import METRICS
from agegender.spec import Spec, Text

COST_METRICS = {"size_mb": "size, MB", "latency_ms": "latency, ms"}  # of a network, whatever the data


class Published(Spec):
    """A number as its source prints it; None where the source gives none.

    A share is in percent, an error in groups or in its unit, a cost in the unit of its name.

    `system` and `metric` are this suite's names (`lmtcnn_2_1`, `age_exact`), `dataset` and `protocol` what was tested.
    """

    system: Text
    metric: Text
    value: float | None = None
    sd: float | None = None
    dataset: Text
    protocol: Text
    note: str = ""
    source: Text


def read_published(entries: Iterable[Mapping[str, Any]]) -> tuple[Published, ...]:
    """Read the `published` rows of an experiment; `sd`, `note` and an unknown `value` may be left out.

    UserError for a misspelt or missing key, a value of a wrong type and an unknown metric.
    """
    rows = tuple(Published.read(entry, f"table.published.{number}") for number, entry in enumerate(entries, start=1))
    for number, row in enumerate(rows, start=1):
        if row.metric not in (known := [*METRICS, *COST_METRICS]):
            raise UserError(f"table.published.{number}.metric={row.metric} is unknown: choose from {', '.join(known)}")
    return rows


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
