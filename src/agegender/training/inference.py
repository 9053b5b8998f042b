"""Predict the test fold: the views, the order and the batch norm statistics that the evaluation names."""

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader

from agegender.data.batches import Batch, EvaluationBatches, Faces, loader
from agegender.data.transforms.preprocessing import STANDARDIZE, Preprocessing, get_preprocessing
from agegender.data.transforms.views import get_views
from agegender.models.layers import BetaBatchNorm2d
from agegender.runs.predictions import predictions_table
from agegender.spec import Evaluation, Run
from agegender.tasks import get_task
from agegender.training.device import computing_device, workers
from agegender.training.interruption import stopped_by_signals
from agegender.training.module import FaceModule
from agegender.training.trainer import make_trainer

ESTIMATION_FACES = 2048  # that batch norm's statistics are estimated from anew


def predict(run: Run, module: FaceModule, splits: dict[str, Faces]) -> pd.DataFrame:
    """Return the predictions table of the test faces, each posterior the mean over the views."""
    evaluation, test = run.evaluation, splits["test"]
    preprocessing = get_preprocessing(run.system.preprocessing.model_dump())
    if evaluation.statistics != "network":
        set_statistics(module.network, evaluation.statistics)
    if evaluation.statistics == "reestimated":
        faces = estimation_batches(splits["train"], run.system.model.input_size, run.seed, preprocessing)
        module.network.to(computing_device(run.trainer))  # Lightning leaves it on the CPU
        reestimate(module.network, loader(faces, workers(run.trainer)))
    order = order_of(test, evaluation.order, run.seed)
    total: dict[str, torch.Tensor] = {}
    views = get_views(evaluation.views)
    for view in views:
        batches = EvaluationBatches(
            test,
            size=run.system.model.input_size,
            batch_size=evaluation.batch_size,
            view=view,
            preprocessing=preprocessing,
            order=order,
            wrap=evaluation.repeats != "none",
        )
        for task, posterior in _answers(run, module, batches).items():
            total[task] = total.get(task, torch.zeros(())) + posterior / len(views)
    return _table(module, test, batches.order, total, evaluation)


def estimation_batches(
    train: Faces, size: int, seed: int, preprocessing: Preprocessing = STANDARDIZE
) -> EvaluationBatches:
    """Whole batches of training faces, as every batch weighs the same; one smaller batch where there are few faces."""
    count = min(ESTIMATION_FACES, len(train.table))
    few = np.random.default_rng(seed).permutation(len(train.table))[: count - count % 128 or count]
    return EvaluationBatches(train, size=size, batch_size=128, preprocessing=preprocessing, order=few)


def _answers(run: Run, module: FaceModule, batches: EvaluationBatches) -> dict[str, torch.Tensor]:
    """Each task's posterior (N, K), in the order of the batches."""
    trainer = make_trainer(run, logger=False, enable_progress_bar=False)
    with stopped_by_signals():
        answers = trainer.predict(module, loader(batches, workers(run.trainer))) or []
    tasks = module.network.heads
    return {task: torch.cat([posterior[task].cpu() for _, posterior in answers]) for task in tasks}


def _table(
    module: FaceModule,
    test: Faces,
    order: npt.NDArray[np.int64],
    posteriors: dict[str, torch.Tensor],
    evaluation: Evaluation,
) -> pd.DataFrame:
    """Put the answers back into the table's order; repeats were in their batch and count only where scored."""
    count = len(order) if evaluation.repeats == "scored" else len(test.table)
    place = np.argsort(order[:count], kind="stable")
    ordered = {task: posterior[torch.from_numpy(place)] for task, posterior in posteriors.items()}
    choices = {task: module.head(task).decide(posterior).numpy() for task, posterior in ordered.items()}
    rows = test.table.iloc[order[:count][place]]
    return predictions_table(rows, {task: posterior.numpy() for task, posterior in ordered.items()}, choices)


def order_of(faces: Faces, order: str, seed: int) -> npt.NDArray[np.int64]:
    """Return the row numbers of the faces in the manifest's order, shuffled by the seed, or sorted by their labels."""
    numbers = np.arange(len(faces.table))
    if order == "shuffled":
        return np.random.default_rng(seed).permutation(numbers)
    if order == "sorted":
        columns = [get_task(task).column for task in faces.tasks]
        return numbers[faces.table.reset_index(drop=True).sort_values(columns, kind="stable").index]
    return numbers


def set_statistics(network: nn.Module, statistics: str) -> None:
    """Make every batch norm use the statistics of the present batch ("batch"), or else the running ones."""
    for norm in network.modules():
        if isinstance(norm, BetaBatchNorm2d):
            norm.batch_statistics = statistics == "batch"


@torch.no_grad()
def reestimate(network: nn.Module, batches: DataLoader[Batch]) -> None:
    """Set the running statistics to their mean over these batches; nothing else changes, dropout stays off."""
    norms = [norm for norm in network.modules() if isinstance(norm, BetaBatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's cumulative mean
        norm.train()
    device = next(network.parameters()).device
    for batch in batches:
        network(batch["images"].to(device))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
