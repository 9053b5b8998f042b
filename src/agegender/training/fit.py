"""One run: from a configuration and a pack to a finished run folder."""

import logging
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback, ModelCheckpoint, RichProgressBar
from safetensors.torch import save_file

from agegender.data.batches import EvaluationBatches, Faces, TrainingBatches, loader
from agegender.data.pack import Pack
from agegender.data.protocols import apply_protocol
from agegender.data.splits import split
from agegender.metrics import evaluate
from agegender.models.network import Network, create_model
from agegender.modes import get_mode
from agegender.predictions import predictions_table, predictions_text
from agegender.runs import RunFolder
from agegender.settings import plain
from agegender.tasks import get_task
from agegender.training.history import History, forget_after
from agegender.training.module import FaceModule

EVALUATION_BATCH = 128
log = logging.getLogger(__name__)


def fit(config: DictConfig, pack: Pack, folder: RunFolder, mirror: Callable[[], None] | None = None) -> None:
    """Train, choose the weights, predict the test fold, write everything and set the done mark.

    Goes on from the newest checkpoint in the folder when there is one.
    """
    started = time.monotonic()
    pl.seed_everything(config.seed, workers=True, verbose=False)
    parts = faces_of(config, pack)
    module = FaceModule(build_network(config), plain(config.recipe), config.seed)
    with quiet_lightning():
        weights = _train(config, module, parts, folder, mirror)
        module.load_state_dict(weights)
        predictions = _predict(config, module, parts["test"])
    scores = evaluate(predictions, list(config.system.heads))
    counts: dict[str, float] = {f"faces/{part}": len(faces.table) for part, faces in parts.items()}
    counts["parameters"] = sum(p.numel() for p in module.network.parameters())
    folder.write_text("predictions.csv", predictions_text(predictions))
    folder.write(
        "metrics", {f"test/{k}": v for k, v in scores.items()} | counts | {"seconds": time.monotonic() - started}
    )
    save_file({name: tensor.contiguous() for name, tensor in module.network.state_dict().items()}, folder.weights)
    folder.finish()
    log.info("%s: %s", folder.identity, ", ".join(f"{k} {v:.3f}" for k, v in scores.items() if not k.endswith("_n")))


def build_network(config: DictConfig) -> Network:
    """Build the network of a system with fresh weights."""
    heads = {task: head.name for task, head in config.system.heads.items()}
    return create_model(config.system.model.name, tuple(heads), config.mode, dropout=config.recipe.dropout, heads=heads)


def faces_of(config: DictConfig, pack: Pack) -> dict[str, Faces]:
    """Return the faces of each part ("train", "validation", "test") that have a label for one of the system's tasks."""
    protocol = plain(config.protocol)
    rows = apply_protocol(
        pack.manifest,
        protocol["name"],
        config.data.name,
        fraction=protocol.get("fraction", 1.0),
        partial=bool(pack.info["missing"]),
    )
    tasks = list(config.system.heads)
    parted = split(rows, config.fold, validation=protocol["validation"])
    parted = parted[parted[[get_task(task).column for task in tasks]].notna().any(axis=1)]
    return {
        part: Faces(pack.images, parted[parted["part"] == part].reset_index(drop=True), tasks)
        for part in ("train", "validation", "test")
    }


def _train(
    config: DictConfig,
    module: FaceModule,
    parts: dict[str, Faces],
    folder: RunFolder,
    mirror: Callable[[], None] | None,
) -> dict[str, Any]:
    """Train to the last step and return the weights that the mode selects: best on validation, or last."""
    recipe, size = config.recipe, config.system.model.input_size
    resumed, start = newest_checkpoint(folder.checkpoints)
    forget_after(folder.history, start)
    if resumed:
        log.info("%s: going on from step %d", folder.identity, start)
    training = TrainingBatches(
        parts["train"],
        size=size,
        batch_size=recipe.batch_size,
        steps=recipe.steps,
        seed=config.seed,
        contrast=recipe.contrast,
        start=start,
    )
    validation = EvaluationBatches(parts["validation"], size=size, batch_size=EVALUATION_BATCH)
    trainer = build_trainer(config, folder, mirror, checkpointing(folder.checkpoints))
    with stopped_by_ctrl_c():
        trainer.fit(
            module,
            loader(training, config.trainer.workers),
            loader(validation, config.trainer.workers),
            ckpt_path=resumed,
        )
    if get_mode(config.mode).select == "last":
        return module.state_dict()
    best = torch.load(folder.checkpoints / "best.ckpt", weights_only=True, map_location="cpu")
    state: dict[str, Any] = best["state_dict"]
    return state


def checkpointing(folder: Path) -> list[Callback]:
    """Keep the best weights on validation and, for a resume, the newest state.

    Both are written after each validation, the newest last, so that a resumed run knows every score before it.
    """
    best = ModelCheckpoint(
        folder, "best", monitor="val/score", mode="max", save_weights_only=True, enable_version_counter=False
    )
    return [best, ModelCheckpoint(folder, "{step}", monitor="step", mode="max")]


def build_trainer(
    config: DictConfig, folder: RunFolder, mirror: Callable[[], None] | None, callbacks: list[Callback]
) -> pl.Trainer:
    """Build Lightning's Trainer for a run: budgets in steps, the curve and the checkpoints in the run's folder."""
    recipe = config.recipe
    return pl.Trainer(
        accelerator=config.trainer.accelerator,
        devices=1,
        precision=config.precision,
        max_steps=recipe.steps,
        # Budgets and checks are counted in steps, which mean the same on every data set.
        val_check_interval=min(recipe.validate_every, recipe.steps),
        check_val_every_n_epoch=None,
        gradient_clip_val=recipe.clip_norm,
        # On a CPU these networks are repeatable as they are.
        deterministic="warn" if torch.cuda.is_available() else False,
        logger=History(folder.history, mirror),
        log_every_n_steps=min(10, recipe.steps),
        callbacks=[
            *callbacks,
            *([Progress(f"{config.system.name} fold {config.fold}")] if config.trainer.progress else []),
        ],
        enable_progress_bar=config.trainer.progress,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


class Progress(RichProgressBar):
    """Lightning's progress bar under the run's name: a run is one long epoch, so its number says nothing."""

    def __init__(self, title: str):
        super().__init__(leave=False)
        self.title = title

    def _get_train_description(self, current_epoch: int) -> str:
        return self.title


def newest_checkpoint(checkpoints: Path) -> tuple[str | None, int]:
    """Return the newest readable checkpoint of an unfinished run and its step; (None, 0) when there is none."""
    steps = {int(file.stem.removeprefix("step=")): file for file in checkpoints.glob("step=*.ckpt")}
    for step in sorted(steps, reverse=True):
        try:
            torch.load(steps[step], weights_only=True, map_location="cpu")
        except Exception as error:  # a truncated file fails in many ways, all meaning the same
            log.warning("%s cannot be read (%s): going back to the checkpoint before it", steps[step], error)
            steps[step].unlink()
        else:
            return str(steps[step]), step
    return None, 0


def _predict(config: DictConfig, module: FaceModule, test: Faces) -> pd.DataFrame:
    wrap = get_mode(config.mode).wrap_batch
    batches = EvaluationBatches(
        test, size=config.system.model.input_size, batch_size=wrap or EVALUATION_BATCH, wrap=bool(wrap)
    )
    trainer = pl.Trainer(
        accelerator=config.trainer.accelerator,
        devices=1,
        precision=config.precision,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with stopped_by_ctrl_c():
        answers = trainer.predict(module, loader(batches, config.trainer.workers)) or []
    count = len(test.table)
    posteriors, choices = {}, {}
    for task in config.system.heads:
        # With wrap-around the faces after the last one are repeats: they were in the batch, they are not scored again.
        posterior = torch.cat([posterior[task].cpu() for _, posterior in answers])[:count]
        posteriors[task] = posterior.numpy()
        choices[task] = module.network.heads[task].decide(posterior).numpy()  # type: ignore[operator]
    return predictions_table(test.table, posteriors, choices)


@contextmanager
def stopped_by_ctrl_c() -> Iterator[None]:
    """Let Ctrl-C be Ctrl-C: Lightning makes it an exit of its own and then ignores the signal."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit:
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from None


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's notices about devices and loader workers out of the log: batches here are already whole."""
    lightning = logging.getLogger("pytorch_lightning")
    level = lightning.level
    lightning.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            # Lightning 2.6 uses what torch 2.14 has given a new name.
            warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
            warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
            yield
    finally:
        lightning.setLevel(level)
