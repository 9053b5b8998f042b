"""The two ways to evaluate a published network: with the authors' quirks, or with the quirks repaired."""

from dataclasses import dataclass

from agegender.errors import UserError


@dataclass(frozen=True)
class Mode:
    """What `mode=` decides; the sources are sections 1.1 to 1.3 of the LMTCNN authors' code (`model.py`, `eval.py`)."""

    name: str
    batch_statistics: bool  # batch norm uses the statistics of the present batch in evaluation too
    batch_norm_momentum: float  # torch's momentum: 1 - decay
    select: str  # which checkpoint is evaluated: "best" on validation or "last"
    wrap_batch: int  # evaluate in batches of this size, the last filled by repeats; 0: each face once, no filling


MODES = {
    # At decay .999 a short run's running statistics are still the initial ones, so the sound mode estimates them at .9.
    "sound": Mode("sound", batch_statistics=False, batch_norm_momentum=0.1, select="best", wrap_batch=0),
    "faithful": Mode("faithful", batch_statistics=True, batch_norm_momentum=0.001, select="last", wrap_batch=128),
}


def get_mode(name: str) -> Mode:
    """Return the mode of this name; UserError when there is none."""
    if name not in MODES:
        raise UserError(f"mode={name} is unknown: choose {' or '.join(MODES)}")
    return MODES[name]
