"""Lightning's Trainer, made in one place: what Lightning finds in the environment or in a folder must reach no run."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning.plugins.io import TorchCheckpointIO

from agegender.files import write_whole
from agegender.spec import Run
from agegender.training.device import place

DEFAULTS = "PL_TRAINER_"  # Lightning reads the options of its Trainer that are not given from variables of this name


def make_trainer(run: Run, **options: Any) -> pl.Trainer:
    """Return Lightning's Trainer for a run, which is one process wherever it was started; `options` are Trainer's own.

    Lightning looks for a cluster (Slurm, torchrun, LSF, MPI). In a job of Slurm it would write a checkpoint into the
    current folder when the job is to end, start the next run of a sweep from that file, and take the job's tasks for
    processes of one run.
    """
    alone = LightningEnvironment()
    alone.set_global_rank(0)  # a task's number may have been taken for it when Lightning was imported
    with _without_variables(DEFAULTS):
        return pl.Trainer(
            **place(run.trainer, run.precision),
            plugins=[alone, WholeFiles()],
            default_root_dir=os.devnull,  # no folder: with Slurm's variables set, Lightning looks there for checkpoints
            enable_checkpointing=False,  # Lightning's own; `Checkpoints` writes those of a run
            enable_model_summary=False,
            **options,
        )


class WholeFiles(TorchCheckpointIO):
    """Write checkpoints into their own folder; Lightning would copy them from the system's temporary folder."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write the file, whole or not at all."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_whole(Path(path), buffer.getbuffer())


@contextmanager
def _without_variables(prefix: str) -> Iterator[None]:
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(prefix)}
    try:
        yield
    finally:
        os.environ.update(hidden)
