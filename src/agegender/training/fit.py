"""One run: from a configuration and a pack to a finished run folder."""

import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, RichProgressBar, Timer
from safetensors.torch import save

from agegender.data.batches import Faces
from agegender.data.datamodule import FaceData
from agegender.data.pack import Pack
from agegender.errors import Damaged, UserError
from agegender.files import write_whole
from agegender.metrics import evaluate
from agegender.models.network import Network, create_model
from agegender.modes import get_mode
from agegender.runs.config import read_run
from agegender.runs.folder import RunFolder, identity
from agegender.runs.history import forget_after, selected_validation
from agegender.runs.predictions import predictions_text
from agegender.spec import Run
from agegender.training.checkpoints import Checkpoints, best_weights, resume_point
from agegender.training.device import computing_device, place_faces
from agegender.training.evaluation import predict
from agegender.training.interruption import stopped_by_signals
from agegender.training.logger import History
from agegender.training.module import FaceModule
from agegender.training.run_data import data_of, faces_of, pack_of
from agegender.training.trainer import make_trainer
from agegender.training.transfer.start import check_unseen, start
from agegender.training.transfer.svm import fit_svm
from agegender.training.transfer.weights import load_run_weights
from agegender.training.transfer.weights_source import checksum, lineage, source_of

log = logging.getLogger(__name__)


def fit(run: Run, pack: Pack, folder: RunFolder, sync: Callable[[], None] | None = None) -> None:
    """Train (or fit SVMs), choose the weights, predict the test fold, write everything and set the done mark.

    Goes on from the newest checkpoint in the folder when there is one.
    """
    pl.seed_everything(run.seed, workers=True, verbose=False)
    splits, donor, timer = faces_of(run, pack), weights_donor(run, folder), Timer()
    reestimated = run.evaluation.statistics == "reestimated"
    read = ("test", *(["train"] if reestimated else [])) if donor else tuple(splits)
    splits |= place_faces(run.trainer, {split: splits[split] for split in read})
    data, network = data_of(run, splits), build_network(run)
    rates = {} if donor else _begin(run, pack, splits, network, folder)
    module = FaceModule(
        network,
        run.recipe.model_dump(exclude_none=True),
        run.seed,
        rates=rates,
        compiled=bool(run.trainer.compile),
    )
    svm, validation = run.transfer.name == "svm", dict[str, float]()
    with quiet_lightning():
        if donor:
            log.info("%s: evaluating the weights of %s", folder.identity, donor.identity)
            load_run_weights(module.network, donor)
        elif not svm:
            module.load_state_dict(_train(run, module, data, folder, sync, timer))
            validation = selected_validation(folder.history, get_mode(run.mode).select, run.recipe.steps)
        started = time.monotonic()
        if svm and not donor:
            validation = fit_svm(run, network, data, folder)
        predictions = predict(module.network, data, run.evaluation, computing_device(run.trainer), run.precision)
    seconds = timer.time_elapsed() + time.monotonic() - started  # the timer knows what came before a resume
    scores = evaluate(predictions, run.tasks)
    counts: dict[str, float] = {f"faces/{split}": len(faces.table) for split, faces in splits.items()}
    counts["parameters"] = sum(p.numel() for p in module.network.parameters())
    folder.write_text("predictions.csv", predictions_text(predictions))
    folder.write(
        "metrics",
        {f"test/{k}": v for k, v in scores.items()} | validation | counts | {"seconds": seconds},
    )
    if donor and not reestimated:
        folder.write("weights", {"trained_by": donor.identity})
    else:
        tensors = {name: tensor.contiguous() for name, tensor in module.network.state_dict().items()}
        write_whole(folder.weights, save(tensors))
        folder.write("weights", {"sha256": checksum(folder.weights)})  # names what later runs start from
    folder.finish()
    log.info("%s: %s", folder.identity, ", ".join(f"{k} {v:.3f}" for k, v in scores.items() if not k.endswith("_n")))


def weights_donor(run: Run, folder: RunFolder) -> RunFolder | None:
    """Return the finished run that differs only in being evaluated as the mode says, if its weights are here.

    Training ends before evaluation begins, so its weights are the ones this run would train; with other code it might
    train others, so it must be of the same commit.
    """
    keys = folder.keys | {"evaluation": get_mode(run.mode).evaluation.model_dump()}
    donor = RunFolder(folder.path.parent / identity(run.system.name, keys))
    if donor == folder or donor.state != "done" or not donor.weights.exists():
        return None
    try:
        code = [tuple(made.read("environment").get(name) for name in ("commit", "dirty")) for made in (donor, folder)]
    except Damaged as error:
        log.warning("%s trains weights of its own: %s", folder.identity, error)
        return None
    return donor if code[0] == code[1] else None


def build_network(run: Run) -> Network:
    """Build the network of a system with fresh weights."""
    model, heads = run.system.model, {task: head.settings for task, head in run.system.heads.items()}
    return create_model(
        model.name, run.tasks, run.mode, input_size=model.input_size, dropout=run.recipe.dropout, heads=heads
    )


def _begin(run: Run, pack: Pack, splits: dict[str, Faces], network: Network, folder: RunFolder) -> dict[str, float]:
    """Let the network start as the transfer policy says; return the factors on the learning rate by parameter name.

    UserError when a run that the weights come from has seen test faces of this one.
    """
    source = source_of(run, pack.digest)
    if source is None:
        return {}
    for earlier in lineage(source.run) if source.run else ():
        theirs = read_run(earlier)
        if theirs.system.preprocessing != run.system.preprocessing:
            log.warning("%s: run %s saw its faces prepared in another way", folder.identity, earlier.identity)
        try:
            pack_there = pack_of(theirs.data)
        except UserError as error:
            log.warning("%s: whether run %s saw its faces is not known: %s", folder.identity, earlier.identity, error)
            continue
        names = dict.fromkeys(splits, run.data.name) | ({"test": run.test.data.name} if run.test else {})
        same = [split for split, name in names.items() if name == theirs.data.name]
        if theirs.data.name == "csv" and pack_there.digest != pack.digest:
            same = []  # two tables of one's own may give their images the same names
        check_unseen(splits, faces_of(theirs, pack_there), earlier.identity, same=same, halves=run.half is not None)
    return start(network, source, run.transfer, folder)


def _train(
    run: Run,
    module: FaceModule,
    data: FaceData,
    folder: RunFolder,
    sync: Callable[[], None] | None,
    timer: Timer,
) -> dict[str, Any]:
    """Train to the last step and return the weights that the mode selects: best on validation, or last."""
    select = get_mode(run.mode).select
    resumed, data.start = resume_point(folder, select)
    forget_after(folder.history, data.start)
    if resumed:
        log.info("%s: going on from step %d", folder.identity, data.start)
    trainer = build_trainer(run, folder, sync, [timer, Checkpoints(folder, select)])
    with stopped_by_signals():
        trainer.fit(module, datamodule=data, ckpt_path=resumed)
    return best_weights(folder) if select == "best" else module.state_dict()


def build_trainer(
    run: Run, folder: RunFolder, sync: Callable[[], None] | None, callbacks: list[Callback]
) -> pl.Trainer:
    """Build Lightning's Trainer for a run: budgets in steps, the curve and the checkpoints in the run's folder."""
    recipe = run.recipe
    return make_trainer(
        run,
        max_steps=recipe.steps,
        # Budgets and checks are counted in steps, which mean the same on every data set.
        val_check_interval=min(recipe.validate_every, recipe.steps),
        check_val_every_n_epoch=None,
        gradient_clip_val=recipe.clip_norm,
        # On a CPU these networks are repeatable as they are.
        deterministic="warn" if torch.cuda.is_available() else False,
        logger=History(folder.history, sync),
        # About 200 points of the long budgets: each one waits for the device.
        log_every_n_steps=min(max(10, recipe.steps // 200), recipe.steps),
        callbacks=[
            *callbacks,
            *([Progress(f"{run.system.name} fold {run.fold}")] if run.trainer.progress else []),
        ],
        enable_progress_bar=run.trainer.progress,
        num_sanity_val_steps=0,
    )


class Progress(RichProgressBar):
    """Lightning's progress bar under the run's name: a run is one long epoch, so its number says nothing."""

    def __init__(self, title: str):
        super().__init__(refresh_rate=10, leave=False)  # each refresh waits for the device
        self.title = title

    def _get_train_description(self, current_epoch: int) -> str:
        return self.title


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
            warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")  # frozen layers
            # A run is one process, in a job of Slurm too.
            warnings.filterwarnings("ignore", message=".*`srun` command is available on your system but is not used.*")
            # Checkpoints of earlier versions name callbacks that there are no more.
            warnings.filterwarnings("ignore", message=".*callbacks used to create the checkpoint need to be provided.*")
            yield
    finally:
        lightning.setLevel(level)
