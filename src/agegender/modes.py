"""The two ways to treat a published network: with the authors' quirks, or with the quirks repaired."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agegender.errors import UserError
from agegender.spec import Evaluation


@dataclass(frozen=True)
class Mode:
    """What `mode=` decides; the source is the LMTCNN authors' code (`model.py`, `train.py`, `eval.py`)."""

    name: str
    batch_norm_momentum: float  # torch's momentum: 1 - decay
    select: str  # which checkpoint is evaluated: "best" on validation or "last"
    batch_statistics: bool  # whether LMTCNN's batch norm uses the statistics of the present batch in evaluation too
    evaluation: Evaluation


_WHOLE_FACE = Evaluation(views="resize", statistics="network", batch_size=128, order="manifest", repeats="none")
# Shuffled, because the authors' test list is: twice, by `datapreparation.py` and by `multipreproc.py`.
_AS_THE_AUTHORS = _WHOLE_FACE.model_copy(update={"order": "shuffled", "repeats": "unscored"})
MODES = {
    # At decay .999 a short run's running statistics are still the initial ones, so the sound mode estimates them at .9.
    "sound": Mode(
        "sound",
        0.1,
        "best",
        False,
        _WHOLE_FACE,
    ),
    "faithful": Mode(
        "faithful",
        0.001,
        "last",
        True,
        _AS_THE_AUTHORS,
    ),
}


def get_mode(name: str) -> Mode:
    """Return the mode of this name; UserError when there is none."""
    if not isinstance(name, str) or name not in MODES:
        raise UserError(f"mode={name} is unknown: choose {' or '.join(MODES)}")
    return MODES[name]


def get_evaluation(mode: str, given: Mapping[str, Any]) -> Evaluation:
    """Return how `mode` evaluates, with the values of `given` that are not None in its place.

    UserError for a value no evaluation can have.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    return Evaluation.read(get_mode(mode).evaluation.model_dump() | chosen, "evaluation")
