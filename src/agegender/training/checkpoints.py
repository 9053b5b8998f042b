"""Checkpoints of a run under way: what is kept, what a resume starts from, what a full disk means."""

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from agegender.errors import UserError

log = logging.getLogger(__name__)
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def checkpointing(folder: Path) -> list[Callback]:
    """Keep the best weights on validation and, for a resume, the newest state.

    Both are written after each validation, the newest last, so that a resumed run knows every score before it.
    """
    best = ModelCheckpoint(
        folder, "best", monitor="val/score", mode="max", save_weights_only=True, enable_version_counter=False
    )
    # Two, so that a file which a crash cut short has one before it.
    return [best, ModelCheckpoint(folder, "{step}", monitor="step", mode="max", save_top_k=2)]


def newest_checkpoint(checkpoints: Path) -> tuple[str | None, int]:
    """Return the newest readable checkpoint of an unfinished run and its step; (None, 0) when there is none."""
    steps = {int(file.stem.removeprefix("step=")): file for file in checkpoints.glob("step=*.ckpt")}
    for step in sorted(steps, reverse=True):
        try:
            torch.load(steps[step], weights_only=True, map_location="cpu")
        except Exception as error:  # a truncated file fails in many ways, all meaning the same
            log.warning(
                "%s cannot be read (%s): going back to the checkpoint before it, if there is one", steps[step], error
            )
            steps[step].unlink()
        else:
            return str(steps[step]), step
    return None, 0


@contextmanager
def disk_full_explained(folder: Path) -> Iterator[None]:
    """Turn the error of a disk that has no room for a checkpoint into a sentence; what was written before is kept."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise UserError(
            f"{folder} has no room for a checkpoint ({error.strerror}): make room and run the same command again, it "
            "goes on from the checkpoint before"
        ) from error
