"""Training steps to be timed: in the suite's Lightning loop, and in a bare loop."""

import argparse
import logging
import tempfile
import warnings
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from torch import Tensor
from torch.utils.data import IterableDataset

from agegender.data.batches import Batch, Faces, TrainingBatches, loader
from agegender.runs import RunFolder
from agegender.settings import config_folder, plain, tasks_of
from agegender.training.device import computing_device, decide, gpus, set_process, settle, workers
from agegender.training.fit import build_network, build_trainer, quiet_lightning
from agegender.training.module import FaceModule
from agegender.training.optimization import build_optimizer, build_schedule
from plain import now

WARM_UP = 3  # blocks that do not count


class Repeated(IterableDataset[Batch]):
    """One batch, `steps` times: training without the work of making batches."""

    def __init__(self, batch: Batch, steps: int):
        self.batch, self.steps = batch, steps

    def __iter__(self) -> Iterator[Batch]:
        return (self.batch for _ in range(self.steps))


class Stopwatch(pl.Callback):
    """Notes the time after every block of steps. Steps on a GPU are waited for at the end of a block only."""

    def __init__(self, block: int):
        self.block, self.steps, self.times = block, 0, list[float]()

    def on_train_batch_end(self, *args: Any) -> None:
        self.steps += 1
        if self.steps % self.block == 0:
            self.times.append(now())

    @property
    def step(self) -> float:
        """Seconds a step: the median of the blocks after the warm-up."""
        return float(np.median(np.diff(self.times)[WARM_UP:])) / self.block


def arguments(parser: argparse.ArgumentParser, system: str = "lmtcnn_2_1") -> argparse.Namespace:
    """Read what the scripts about steps have in common."""
    parser.add_argument("--system", default=system)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--blocks", type=int, default=4, help="of steps that are timed in a turn")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--turns", type=int, default=2, help="of each side in a pair")
    parser.add_argument("--source", type=Path, help="zip or folder of images")
    parser.add_argument("settings", nargs="*", help="settings of `agegender train`")
    logging.getLogger("agegender").setLevel(logging.WARNING)
    return parser.parse_args()


@dataclass(frozen=True)
class Training:
    """What a run trains with; `block` steps are timed together, `weights` are those every measurement starts from."""

    config: DictConfig
    block: int
    module: FaceModule
    batches: TrainingBatches
    weights: dict[str, Tensor]

    @property
    def device(self) -> torch.device:
        return computing_device(self.config)

    @cached_property
    def batch(self) -> Batch:
        """The first batch, where the network computes."""
        batch = self.batches.step(0)
        labels = {task: values.to(self.device) for task, values in batch["labels"].items()}
        return {"images": batch["images"].to(self.device), "labels": labels, "rows": batch["rows"].to(self.device)}

    def repeated(self) -> Repeated:
        return Repeated(self.batch, self.config.recipe.steps)


def configure(system: str, batch_size: int, blocks: int, *words: str) -> tuple[DictConfig, int]:
    """Compose a run that trains and does nothing else for so many blocks; return the steps of a block too."""
    late = ["recipe.validate_every=1000000000", "trainer.progress=false"]
    words = (f"system={system}", f"recipe.batch_size={batch_size}", *late, *words)
    with initialize_config_dir(config_folder(), version_base="1.3"):
        config = compose("train", overrides=list(words))
    block = 50 if gpus(config) else 1
    config.recipe.steps = block * (blocks + WARM_UP + 1)
    return config, block


def set_up(config: DictConfig, block: int, faces: Faces) -> Training:
    """Build what a run trains with, faces where the run would keep them."""
    decide(config, faces.images.nbytes)
    set_process(config)
    recipe = config.recipe
    faces = settle(config, {"train": Faces(faces.images, faces.table, tasks_of(config))})["train"]
    module = FaceModule(build_network(config), plain(recipe), seed=0, compiled=bool(config.trainer.compile))
    size = config.system.model.input_size
    batches = TrainingBatches(
        faces, size=size, batch_size=recipe.batch_size, steps=recipe.steps, seed=0, contrast=recipe.contrast
    )
    where = (
        torch.cuda.get_device_name(computing_device(config))
        if gpus(config)
        else f"{torch.get_num_threads()} CPU threads"
    )
    how = ", compiled" if config.trainer.compile else ""
    print(
        f"{config.system.name}, batch {recipe.batch_size}, {config.precision}{how}, {where}, torch {torch.__version__}"
    )
    return Training(config, block, module, batches, deepcopy(module.state_dict()))


def time_suite(training: Training, batches: IterableDataset[Batch]) -> float:
    """Return the seconds of a step as `agegender train` makes it."""
    clock = Stopwatch(training.block)
    training.module.load_state_dict(training.weights)
    with tempfile.TemporaryDirectory() as folder, quiet_lightning():
        warnings.filterwarnings("ignore", message=".*have no `val_dataloader`.*")  # it is training that is timed
        trainer = build_trainer(training.config, RunFolder(Path(folder)), None, [clock])
        trainer.fit(training.module, loader(batches, workers(training.config)))
    return clock.step


def time_bare(training: Training) -> float:
    """Return the seconds of a step of a plain loop on one batch: the same network, recipe and precision."""
    recipe, batch, clock = plain(training.config.recipe), training.batch, Stopwatch(training.block)
    training.module.load_state_dict(training.weights)
    network = training.module.network.train().to(training.device)
    optimizer = build_optimizer(network, recipe)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, build_schedule(recipe))
    for _ in range(recipe["steps"]):
        optimizer.zero_grad()
        with torch.autocast(training.device.type, torch.bfloat16, enabled=training.config.precision == "bf16-mixed"):
            loss, _ = training.module.training_loss(network, batch["images"], batch["labels"])
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), recipe["clip_norm"])
        optimizer.step()
        schedule.step()
        clock.on_train_batch_end()
    return clock.step
