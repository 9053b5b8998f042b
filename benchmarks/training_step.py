"""Compare a training step of the suite, with its data, with the same step of a bare loop on one fixed batch.

One side is what `agegender train` runs: batches from a pack, the LightningModule, Lightning's loop, the history file.
The other is forward, loss, backward, clipping and optimiser in a plain loop, on a batch made beforehand. They take
turns on the same network. Steps are timed from end to end, so waiting for data counts.

    python benchmarks/training_step.py [--system lmtcnn_2_1] [--steps 12] [--pairs 3] [--batch-size 16]

The last line is the suite's median step over the bare loop's: median (lowest to highest pair).
"""

import argparse
import logging
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from agegender.data.batches import Faces, TrainingBatches, loader
from agegender.runs import RunFolder
from agegender.settings import config_folder, plain
from agegender.training.fit import build_network, build_trainer, quiet_lightning
from agegender.training.module import FaceModule
from agegender.training.optimization import build_optimizer

WARM_UP = 3


class Clock(pl.Callback):
    """Notes when each step ended."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_batch_end(self, *args: Any) -> None:
        self.times.append(time.perf_counter())


def median_step(times: list[float]) -> float:
    return float(np.median(np.diff(times)[WARM_UP:]))


def noise_faces(folder: Path, count: int, tasks: list[str]) -> Faces:
    """A memory-mapped array of the pack's kind, as large as the steps need."""
    images = np.lib.format.open_memmap(folder / "faces.npy", "w+", np.uint8, (count, 256, 256, 3))
    images[:] = np.random.default_rng(0).integers(0, 256, images.shape, dtype=np.uint8)
    numbers = np.arange(count)
    groups = pd.array(numbers % 8, dtype="Int64")
    table = pd.DataFrame({"slot": numbers, "age_group": groups, "gender": pd.array(numbers % 2, dtype="Int64")})
    return Faces(images, table, tasks)


def suite(config: DictConfig, module: FaceModule, batches: TrainingBatches) -> float:
    """Seconds of a step as `agegender train` makes it."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder, quiet_lightning():
        trainer = build_trainer(config, RunFolder(Path(folder)), None, [clock])
        trainer.fit(module, loader(batches, config.trainer.workers))
    return median_step(clock.times)


def bare(config: DictConfig, module: FaceModule, batches: TrainingBatches) -> float:
    """Seconds of a step of a plain loop on one batch that is there."""
    network, batch, times = module.network.train(), batches.step(0), []
    optimizer = build_optimizer(network, plain(config.recipe))
    for _ in range(config.recipe.steps):
        optimizer.zero_grad()
        logits = network(batch["images"])
        losses = [module.head(task).loss(x, batch["labels"][task]) for task, x in logits.items()]
        torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), config.recipe.clip_norm)
        optimizer.step()
        times.append(time.perf_counter())
    return median_step(times)


def compare(config: DictConfig, pairs: int) -> None:
    recipe = config.recipe
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        faces = noise_faces(Path(folder), 4 * recipe.batch_size, list(config.system.heads))
        batches = TrainingBatches(
            faces, size=227, batch_size=recipe.batch_size, steps=recipe.steps, seed=0, contrast=recipe.contrast
        )
        for pair in range(pairs):
            module = FaceModule(build_network(config), plain(recipe), seed=0)
            ours, plain_loop = suite(config, module, batches), bare(config, module, batches)
            ratios.append(ours / plain_loop)
            print(f"pair {pair + 1}: suite {ours * 1e3:.0f} ms, bare {plain_loop * 1e3:.0f} ms, ratio {ratios[-1]:.3f}")
    print(f"ratio: {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--system", default="lmtcnn_2_1")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=16)
    args = parser.parse_args()
    logging.getLogger("agegender").setLevel(logging.WARNING)
    words = [f"system={args.system}", f"recipe.steps={args.steps + WARM_UP}", f"recipe.batch_size={args.batch_size}"]
    # Neither side validates or writes checkpoints while it is timed.
    late = ["recipe.validate_every=1000000", "trainer.progress=false"]
    with initialize_config_dir(config_folder(), version_base="1.3"):
        config = compose("train", overrides=[*words, *late])
    print(f"{args.system}, batch {args.batch_size}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    compare(config, args.pairs)


if __name__ == "__main__":
    main()
