"""Runs of a few steps on the drawn faces."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hydra import compose
from omegaconf import DictConfig

from agegender.commands.train import train
from agegender.config.resolve import resolve_run
from agegender.config.settings import TrainSettings, settings_of
from agegender.data.batches import Batch, Faces, TrainingBatches
from agegender.runs.folder import RunFolder
from agegender.training.run_data import faces_of, pack_of
from agegender.training.run_identity import run_folder

SHORT = (
    "system=lmtcnn_1_1",  # the smallest
    "recipe.steps=4",
    "recipe.batch_size=4",
    "recipe.validate_every=2",
    "tracking=none",
)
Overrides = Callable[..., list[str]]


def run(overrides: list[str]) -> tuple[DictConfig, RunFolder]:
    config = compose("train", overrides=overrides)
    train(config)
    return config, folder_of(config)


def folder_of(config: DictConfig) -> RunFolder:
    """The folder of the run that a configuration describes."""
    run = resolve_run(config)
    return run_folder(run, pack_of(run.data).digest, settings_of(TrainSettings, config).paths.runs)


def faces_in(config: DictConfig) -> dict[str, Faces]:
    """The splits of the run that a configuration describes."""
    run = resolve_run(config)
    return faces_of(run, pack_of(run.data))


class Cut(Exception):
    """What stops a run in a test."""


@contextmanager
def cut_before(step: int) -> Iterator[None]:
    """Stop the run inside before it trains on the batch of a step, counted from 0, and go on after the block."""
    original = TrainingBatches.step

    def stop(self: TrainingBatches, number: int) -> Batch:
        if number == step:
            raise Cut
        return original(self, number)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Cut):
        patch.setattr(TrainingBatches, "step", stop)
        yield
