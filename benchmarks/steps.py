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

import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir

from agegender.config.resolve import resolve_run
from agegender.config.settings import config_folder
from agegender.data.batches import Batch, Faces, TrainingBatches, loader
from agegender.data.transforms.augmentations import get_augmentation
from agegender.data.transforms.preprocessing import get_preprocessing
from agegender.runs.folder import RunFolder
from agegender.spec import Recipe, Run
from agegender.training.device import computing_device, gpus, place_faces, resolve_trainer, set_process, workers
from agegender.training.fit import build_network, build_trainer, quiet_lightning
from agegender.training.module import FaceModule
from agegender.training.optimization import build_optimizer, build_schedule
from plain import now

WARM_UP = 2  # blocks of each side that do not count, an even number: sides take turns


class Repeated(TrainingBatches):
    """One batch in every step: training without the work of making batches."""

    def __init__(self, training: "Training"):
        self.__dict__.update(training.batches.__dict__)
        self.batch, self.block = training.batch, training.block

    def step(self, step: int) -> Batch:
        return self.batch


class InTurns(Repeated):
    """Blocks of training batches, and blocks that repeat one batch, in turns."""

    def step(self, step: int) -> Batch:
        return TrainingBatches.step(self, step) if step // self.block % 2 == 0 else self.batch


class Stopwatch(pl.Callback):
    """Notes the milliseconds of a step, block by block.

    The last step of a block does not count: Lightning makes the next block's first batch during it. Steps on a GPU are
    waited for at these two places only.
    """

    def __init__(self, block: int):
        self.block, self.steps, self.started, self.times = block, 0, now(), list[float]()

    def on_train_batch_end(self, *args: Any) -> None:
        self.steps += 1
        if self.steps % self.block == self.block - 1:
            self.times.append(1e3 * (now() - self.started) / (self.block - 1))
        elif self.steps % self.block == 0:
            self.between_blocks()
            self.started = now()

    def between_blocks(self) -> None:
        """What another side does in its turn."""


def arguments(parser: argparse.ArgumentParser, system: str = "lmtcnn_2_1") -> argparse.Namespace:
    """Read what the scripts about steps have in common."""
    parser.add_argument("--system", default=system)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--turns", type=int, default=6, help="of each side in a pair: a block of steps each")
    parser.add_argument("--source", type=Path, help="zip or folder of images")
    parser.add_argument("settings", nargs="*", help="settings of `agegender train`")
    logging.getLogger("agegender").setLevel(logging.WARNING)
    return parser.parse_args()


@dataclass(frozen=True)
class Training:
    """What a run trains with; `block` steps are timed together."""

    run: Run
    block: int
    module: FaceModule
    batches: TrainingBatches

    @property
    def device(self) -> torch.device:
        return computing_device(self.run.trainer)

    @cached_property
    def batch(self) -> Batch:
        """The first batch, where the network computes."""
        batch = self.batches.step(0)
        labels, sigmas = ({task: x.to(self.device) for task, x in batch[what].items()} for what in ("labels", "sigmas"))
        images, rows = batch["images"].to(self.device), batch["rows"].to(self.device)
        return {"images": images, "labels": labels, "sigmas": sigmas, "rows": rows}


def configure(system: str, batch_size: int, blocks: int, *words: str) -> tuple[Run, int]:
    """Compose a run that trains and does nothing else for so many blocks; return the steps of a block too."""
    late = ["recipe.validate_every=1000000000", "trainer.progress=false"]
    words = (f"system={system}", f"recipe.batch_size={batch_size}", *late, *words)
    with initialize_config_dir(config_folder(), version_base="1.3"):
        run = resolve_run(compose("train", overrides=list(words)))
    block = 50 if gpus(run.trainer) else 4
    recipe = run.recipe.model_copy(update={"steps": block * (blocks + WARM_UP)})
    return run.model_copy(update={"recipe": recipe}), block


def set_up(run: Run, block: int, faces: Faces) -> Training:
    """Build what a run trains with, faces where the run would keep them."""
    trainer, recipe = resolve_trainer(run.trainer, faces.images.nbytes), run.recipe
    run = run.model_copy(update={"trainer": trainer})
    set_process(trainer.threads, run.precision)
    faces = place_faces(trainer, {"train": Faces(faces.images, faces.table, run.tasks)})["train"]
    module = FaceModule(build_network(run), _plain(recipe), seed=0, compiled=bool(trainer.compile))
    batches = TrainingBatches(
        faces,
        size=run.system.model.input_size,
        batch_size=recipe.batch_size,
        steps=recipe.steps,
        seed=0,
        contrast=recipe.contrast,
        augmentation=get_augmentation(recipe.augmentation),
        preprocessing=get_preprocessing(run.system.preprocessing.model_dump()),
    )
    where = (
        torch.cuda.get_device_name(computing_device(trainer))
        if gpus(trainer)
        else f"{torch.get_num_threads()} CPU threads"
    )
    how = ", compiled" if trainer.compile else ""
    print(f"{run.system.name}, batch {recipe.batch_size}, {run.precision}{how}, {where}, torch {torch.__version__}")
    return Training(run, block, module, batches)


def _plain(recipe: Recipe) -> dict[str, Any]:
    return recipe.model_dump(exclude_none=True)


def time_suite(training: Training, batches: TrainingBatches, clock: Stopwatch | None = None) -> list[float]:
    """Return the milliseconds of a step as `agegender train` makes it, block by block after the warm-up."""
    clock = clock or Stopwatch(training.block)
    with tempfile.TemporaryDirectory() as folder, quiet_lightning():
        warnings.filterwarnings("ignore", message=".*have no `val_dataloader`.*")  # it is training that is timed
        trainer = build_trainer(training.run, RunFolder(Path(folder)), None, [clock])
        trainer.fit(training.module, loader(batches, workers(training.run.trainer)))
    return clock.times[WARM_UP:]


def bare_steps(training: Training) -> Iterator[None]:
    """Train a copy of the network on one batch, as the recipe and the precision say, in a plain loop: a step a time."""
    recipe, batch = _plain(training.run.recipe), training.batch
    network = deepcopy(training.module.network).train().to(training.device)
    optimizer = build_optimizer(network, recipe)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, build_schedule(recipe))
    while True:
        optimizer.zero_grad()
        with torch.autocast(training.device.type, torch.bfloat16, enabled=training.run.precision == "bf16-mixed"):
            loss, _ = training.module.training_loss(network, batch["images"], batch["labels"], batch["sigmas"])
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), recipe["clip_norm"])
        optimizer.step()
        schedule.step()
        yield
