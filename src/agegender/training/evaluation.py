"""Predict the test fold: the views, the order and the batch norm statistics that the test-time settings name."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from agegender.data.batches import Batch
from agegender.data.datamodule import FaceData
from agegender.models.network import Network
from agegender.runs.predictions import predictions_table
from agegender.spec import Evaluation
from agegender.training.inference import compute, decisions, posteriors, reestimate, set_statistics


def predict(
    network: Network, data: FaceData, evaluation: Evaluation, device: torch.device, precision: str
) -> pd.DataFrame:
    """Return the predictions table of the test faces, each posterior the mean over the views.

    Repeats that fill the last batch were in their batch, and count only where they are scored.
    """
    if evaluation.statistics != "network":
        set_statistics(network, evaluation.statistics)
    if evaluation.statistics == "reestimated":
        reestimate(network, images_of(data.estimation()), device)
    network.to(device).eval()
    loaders, order = data.test(evaluation)
    total: dict[str, Tensor] = {}
    for batches in loaders:
        answers = list(compute(posteriors(network), images_of(batches), device, precision))
        for task in network.heads:
            posterior = torch.cat([answer[task] for answer in answers])
            total[task] = total.get(task, torch.zeros(())) + posterior / len(loaders)
    table = data.splits["test"].table
    count = len(order) if evaluation.repeats == "scored" else len(table)
    place = np.argsort(order[:count], kind="stable")
    ordered = {task: posterior[torch.from_numpy(place)] for task, posterior in total.items()}
    choices = {task: answer.numpy() for task, answer in decisions(network, ordered).items()}
    rows = table.iloc[order[:count][place]]
    return predictions_table(rows, {task: posterior.numpy() for task, posterior in ordered.items()}, choices)


def images_of(batches: Iterable[Batch]) -> Iterable[Tensor]:
    """Yield the images of each batch."""
    return (batch["images"] for batch in batches)
