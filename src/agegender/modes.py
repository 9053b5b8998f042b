"""The two ways to treat a published network: with the authors' quirks, or with the quirks repaired."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agegender.errors import UserError


@dataclass(frozen=True)
class Evaluation:
    """How test faces are put before a trained network; each field is a named choice of the configuration."""

    views: str  # of each face, over which posteriors are averaged: a name in `data.transforms.views.VIEWS`
    # Of batch norm: "network" (as the network was built for the mode), "running", "batch" (the present batch's) or
    # "reestimated" (from training faces).
    statistics: str
    batch_size: int
    order: str  # of the faces: "manifest", "shuffled" or "sorted" by label; it matters to batch statistics only
    repeats: str  # that fill the last batch, taken from the beginning: "none", "unscored" or "scored"


CHOICES = {
    "statistics": ("network", "running", "batch", "reestimated"),
    "order": ("manifest", "shuffled", "sorted"),
    "repeats": ("none", "unscored", "scored"),
}


@dataclass(frozen=True)
class Mode:
    """What `mode=` decides; the source is the LMTCNN authors' code (`model.py`, `train.py`, `eval.py`)."""

    name: str
    batch_norm_momentum: float  # torch's momentum: 1 - decay
    select: str  # which checkpoint is evaluated: "best" on validation or "last"
    batch_statistics: bool  # whether LMTCNN's batch norm uses the statistics of the present batch in evaluation too
    evaluation: Evaluation


MODES = {
    # At decay .999 a short run's running statistics are still the initial ones, so the sound mode estimates them at .9.
    "sound": Mode("sound", 0.1, "best", False, Evaluation("resize", "network", 128, "manifest", "none")),
    # Shuffled, because the authors' test list is: twice, by `datapreparation.py` and by `multipreproc.py`.
    "faithful": Mode("faithful", 0.001, "last", True, Evaluation("resize", "network", 128, "shuffled", "unscored")),
}


def get_mode(name: str) -> Mode:
    """Return the mode of this name; UserError when there is none."""
    if name not in MODES:
        raise UserError(f"mode={name} is unknown: choose {' or '.join(MODES)}")
    return MODES[name]


def get_evaluation(mode: str, given: Mapping[str, Any]) -> Evaluation:
    """Return how `mode` evaluates, with the values of `given` that are not None in its place.

    UserError for a value no evaluation can have.
    """
    own = vars(get_mode(mode).evaluation)
    if unknown := given.keys() - own.keys():
        raise UserError(f"there is no setting 'evaluation.{min(unknown)}': choose from {', '.join(own)}")
    values = {**own, **{name: value for name, value in given.items() if value is not None}}
    for name, choices in CHOICES.items():
        if values[name] not in choices:
            raise UserError(f"evaluation.{name}={values[name]} is unknown: choose from {', '.join(choices)}")
    if not isinstance(values["batch_size"], int) or values["batch_size"] < 1:
        raise UserError(f"evaluation.batch_size={values['batch_size']} must be a whole number of at least 1")
    return Evaluation(**values)
