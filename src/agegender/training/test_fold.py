"""Predict the test fold: the views, the order and the batch norm statistics that the test-time settings name."""

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from agegender.data.batches import EvaluationBatches, Faces, loader
from agegender.data.transforms.preprocessing import STANDARDIZE, Preprocessing, get_preprocessing
from agegender.data.transforms.views import get_views
from agegender.models.network import Network
from agegender.runs.predictions import predictions_table
from agegender.spec import Run
from agegender.tasks import get_task
from agegender.training.device import computing_device, workers
from agegender.training.inference import compute, decisions, posteriors, reestimate, set_statistics

ESTIMATION_FACES = 2048  # that batch norm's statistics are estimated from anew


def predict(run: Run, network: Network, splits: dict[str, Faces]) -> pd.DataFrame:
    """Return the predictions table of the test faces, each posterior the mean over the views.

    Repeats that fill the last batch were in their batch, and count only where they are scored.
    """
    evaluation, test, size = run.evaluation, splits["test"], run.system.model.input_size
    preprocessing = get_preprocessing(run.system.preprocessing.model_dump())
    device, processes = computing_device(run.trainer), workers(run.trainer)
    if evaluation.statistics != "network":
        set_statistics(network, evaluation.statistics)
    if evaluation.statistics == "reestimated":
        faces = estimation_batches(splits["train"], size, run.seed, preprocessing)
        reestimate(network, (batch["images"] for batch in loader(faces, processes)), device)
    network.to(device).eval()
    order = order_of(test, evaluation.order, run.seed)
    total: dict[str, torch.Tensor] = {}
    views = get_views(evaluation.views)
    for view in views:
        batches = EvaluationBatches(
            test,
            size=size,
            batch_size=evaluation.batch_size,
            view=view,
            preprocessing=preprocessing,
            order=order,
            wrap=evaluation.repeats != "none",
        )
        images = (batch["images"] for batch in loader(batches, processes))
        answers = list(compute(posteriors(network), images, device, run.precision))
        for task in run.tasks:
            posterior = torch.cat([answer[task] for answer in answers])
            total[task] = total.get(task, torch.zeros(())) + posterior / len(views)
    order = batches.order
    count = len(order) if evaluation.repeats == "scored" else len(test.table)
    place = np.argsort(order[:count], kind="stable")
    ordered = {task: posterior[torch.from_numpy(place)] for task, posterior in total.items()}
    choices = {task: answer.numpy() for task, answer in decisions(network, ordered).items()}
    rows = test.table.iloc[order[:count][place]]
    return predictions_table(rows, {task: posterior.numpy() for task, posterior in ordered.items()}, choices)


def estimation_batches(
    train: Faces, size: int, seed: int, preprocessing: Preprocessing = STANDARDIZE
) -> EvaluationBatches:
    """Whole batches of training faces, as every batch weighs the same; one smaller batch where there are few faces."""
    count = min(ESTIMATION_FACES, len(train.table))
    few = np.random.default_rng(seed).permutation(len(train.table))[: count - count % 128 or count]
    return EvaluationBatches(train, size=size, batch_size=128, preprocessing=preprocessing, order=few)


def order_of(faces: Faces, order: str, seed: int) -> npt.NDArray[np.int64]:
    """Return the row numbers of the faces in the manifest's order, shuffled by the seed, or sorted by their labels."""
    numbers = np.arange(len(faces.table))
    if order == "shuffled":
        return np.random.default_rng(seed).permutation(numbers)
    if order == "sorted":
        columns = [get_task(task).column for task in faces.tasks]
        return numbers[faces.table.reset_index(drop=True).sort_values(columns, kind="stable").index]
    return numbers
