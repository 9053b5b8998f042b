"""Runs of a few steps on the drawn faces."""

from collections.abc import Callable

from hydra import compose
from omegaconf import DictConfig

from agegender.runs import RunFolder
from agegender.settings import pack_of, run_folder
from agegender.verbs.train import train

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
    return config, run_folder(config, pack_of(config).digest)
