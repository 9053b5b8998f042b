"""Checkpoints of a run under way: what is kept, and what a resume starts from."""

import io
import logging
import re
import zipfile
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from agegender.errors import UserError
from agegender.files import write_whole
from agegender.runs.folder import RunFolder
from agegender.runs.history import best_step, read_history

BEST = "best.ckpt"
log = logging.getLogger(__name__)


class Checkpoints(Callback):
    """Write the state of a run after each validation, and its weights where the mode selects the best and they are it.

    Which are the best is read from the history, which Lightning has written by then, and is kept nowhere else: so the
    weights that are evaluated and the validation that is stated of them belong together, wherever the folder is.
    """

    def __init__(self, folder: RunFolder, select: str):
        self.folder, self.select = folder, select

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        step, checkpoints = trainer.global_step, self.folder.checkpoints
        # The state first: the best weights are in it too, for a run that is killed before it has written them.
        trainer.save_checkpoint(checkpoints / f"step={step}.ckpt", weights_only=False)
        if self.select == "best" and best_step(read_history(self.folder.history)) == step:
            trainer.save_checkpoint(checkpoints / BEST, weights_only=True)
        for old in sorted(states := states_in(checkpoints))[:-2]:  # two, in case one is damaged
            states[old].unlink()


def states_in(checkpoints: Path) -> dict[int, Path]:
    """Return the states of a run by their steps; other files, such as copies, are none."""
    files = checkpoints.iterdir() if checkpoints.exists() else ()
    return {int(name[1]): file for file in files if (name := re.fullmatch(r"step=([0-9]+)\.ckpt", file.name))}


def newest_checkpoint(checkpoints: Path) -> tuple[str | None, int]:
    """Return the newest undamaged state of an unfinished run and its step; (None, 0) when there is none.

    A damaged one is set aside. UserError when one cannot be read, which need not be the file's fault.
    """
    states = states_in(checkpoints)
    for step in sorted(states, reverse=True):
        if step_of(states[step]) == step:
            return str(states[step].absolute()), step
        _set_aside(states[step], "it is damaged, or not of the step that its name says")
    return None, 0


def resume_point(folder: RunFolder, select: str) -> tuple[str | None, int]:
    """Return the newest state to go on from and its step; (None, 0) to begin anew.

    Where the best weights on validation are selected, those of the time before that state have to be there: in a file
    of their own, or in the state where they are its weights. What is passed over is set aside under another name.
    """
    history, best = read_history(folder.history), folder.checkpoints / BEST
    while True:
        state, step = newest_checkpoint(folder.checkpoints)
        if state is None and best.exists():
            _set_aside(best, "training begins anew")
        if state is None or select != "best":
            return state, step
        selected = best_step([line for line in history if line.step < step])
        if selected is not None and selected == step_of(best):
            return state, step
        if selected == step:
            log.warning("%s does not hold the best weights so far: they are taken from %s", best, state)
            weights = io.BytesIO()
            torch.save({name: _load(Path(state))[name] for name in ("global_step", "state_dict")}, weights)
            write_whole(best, weights.getbuffer())
            return state, step
        _set_aside(Path(state), f"the best weights before it, of step {selected}, are not in {best}")


def best_weights(folder: RunFolder) -> dict[str, torch.Tensor]:
    """Return the weights that were first at their best on validation, as the history says; UserError without them."""
    best, step = folder.checkpoints / BEST, best_step(read_history(folder.history))
    if step is None or step_of(best) != step:
        raise UserError(
            f"{best} does not hold the best weights on validation, which {folder.history} says are those of step "
            f"{step}: run the same command again, it goes back to where they are known"
        )
    weights: dict[str, torch.Tensor] = _load(best)["state_dict"]
    return weights


def step_of(file: Path) -> int | None:
    """Return the step a checkpoint was written at; None where there is no such file, or its bytes are damaged.

    UserError when it cannot be read: that may pass, so it must not cost the checkpoint.
    """
    try:
        return None if not file.exists() or _damaged(file) else int(_load(file)["global_step"])
    except Exception as error:
        if not _of_the_machine(error):
            return None
        what = (isinstance(error, OSError) and error.strerror) or " ".join(str(error).split()) or "out of memory"
    raise UserError(
        f"{file} cannot be read ({what}): run the same command again when it can be; without that file, training goes "
        "back to the checkpoint before it"
    )


def _of_the_machine(error: Exception) -> bool:
    """Whether an error says something of the disk or the memory, not of the bytes of a file."""
    torchs = isinstance(error, RuntimeError) and re.search("memory|unable to (open|mmap)", str(error))
    return isinstance(error, OSError | MemoryError) or bool(torchs)


def _damaged(file: Path) -> bool:
    """Whether a file is not the archive, with a checksum for each member, that torch makes of a checkpoint."""
    with file.open("rb") as content:
        while content.read(2**24):  # what fails here is the disk, and whatever fails below is the file
            pass
        content.seek(0)
        try:
            return zipfile.ZipFile(content).testzip() is not None
        except MemoryError:
            raise
        except Exception:  # damaged bytes fail in many ways, all meaning the same
            return True


def _load(file: Path) -> Any:
    """A checkpoint, its tensors mapped from the file."""
    return torch.load(file, weights_only=True, map_location="cpu", mmap=True)


def _set_aside(file: Path, why: str) -> None:
    aside = file.with_name(f"{file.name}.aside")
    file.replace(aside)
    log.warning("%s is set aside as %s: %s", file, aside.name, why)
