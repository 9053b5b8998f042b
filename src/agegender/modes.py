"""The two ways to treat a published network: with the authors' quirks, or with the quirks repaired."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agegender.errors import UserError


@dataclass(frozen=True)
class Evaluation:
    """How test faces are put before a trained network; each field is a named choice of the configuration."""

    look: str  # what the network sees of a face: a name of `data.looks.LOOKS`; answers are averaged over its views
    statistics: str  # of batch norm: "running", "batch" (the present batch's) or "reestimated" (from training faces)
    batch_size: int
    order: str  # of the faces: "file", "shuffled" or "sorted" by label; it matters to batch statistics only
    repeats: str  # that fill the last batch, taken from the beginning: "none", "unscored" or "scored"


CHOICES = {
    "statistics": ("running", "batch", "reestimated"),
    "order": ("file", "shuffled", "sorted"),
    "repeats": ("none", "unscored", "scored"),
}


@dataclass(frozen=True)
class Mode:
    """What `mode=` decides; the sources are sections 1.1 to 1.3 of the LMTCNN authors' code (`model.py`, `eval.py`)."""

    name: str
    batch_norm_momentum: float  # torch's momentum: 1 - decay
    select: str  # which checkpoint is evaluated: "best" on validation or "last"
    evaluation: Evaluation

    @property
    def batch_statistics(self) -> bool:
        """Whether batch norm uses the statistics of the present batch in evaluation too."""
        return self.evaluation.statistics == "batch"


MODES = {
    # At decay .999 a short run's running statistics are still the initial ones, so the sound mode estimates them at .9.
    "sound": Mode("sound", 0.1, "best", Evaluation("resize", "running", 128, "file", "none")),
    "faithful": Mode("faithful", 0.001, "last", Evaluation("resize", "batch", 128, "file", "unscored")),
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
    values = {**vars(get_mode(mode).evaluation), **{name: value for name, value in given.items() if value is not None}}
    for name, choices in CHOICES.items():
        if values[name] not in choices:
            raise UserError(f"evaluation.{name}={values[name]} is unknown: choose from {', '.join(choices)}")
    if not isinstance(values["batch_size"], int) or values["batch_size"] < 1:
        raise UserError(f"evaluation.batch_size={values['batch_size']} must be a whole number of at least 1")
    return Evaluation(**values)
