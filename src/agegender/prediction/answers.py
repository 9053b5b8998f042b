"""Faces in, posteriors out: batch by batch, each seen as the run's evaluation sees it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from agegender.data.transforms.views import get_views
from agegender.prediction.pictures import Box, Face
from agegender.prediction.trained import Trained
from agegender.training.inference import compute, decisions, posteriors


@dataclass(frozen=True)
class TaskAnswer:
    """One task's posterior, float32 (K,), and the answer: a label's number, or of a measured task one in its unit.

    `labels` are the names of the K label values.
    """

    posterior: NDArray[np.float32]
    choice: float
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """What a network says of one face, by task."""

    file: Path
    box: Box | None
    tasks: dict[str, TaskAnswer]


def in_order(files: Sequence[Path], trained: Trained) -> list[Path]:
    """Return image files in the order the run's evaluation would take them in, which decides what is in a batch.

    Images have no labels to be sorted by: where test faces were, they stay as they are.
    """
    if trained.evaluation.order != "shuffled":
        return list(files)
    return [files[number] for number in np.random.default_rng(trained.seed).permutation(len(files))]


def answer(trained: Trained, faces: Iterable[Face]) -> Iterator[Answer]:
    """Yield the answer to each face, in their order, holding the pixels of two batches at most.

    Batches are the evaluation's, and so is what fills the last one: nothing, or faces from the beginning.
    """
    size, waiting = trained.evaluation.batch_size, iter(faces)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    trained.network.to(device)
    first: list[Face] = []
    while batch := list(islice(waiting, size)):
        first = first or batch
        repeats = islice(cycle(first), size - len(batch)) if trained.evaluation.repeats != "none" else ()
        pixels = torch.from_numpy(np.stack([face.pixels for face in (*batch, *repeats)]))
        answers = _mean_over_views(trained, pixels.to(device), device)
        choices = decisions(trained.network, answers)
        for row, face in enumerate(batch):
            tasks = {
                task: TaskAnswer(x[row].numpy(), choices[task][row].item(), trained.labels[task])
                for task, x in answers.items()
            }
            yield Answer(face.file, face.box, tasks)


def _mean_over_views(trained: Trained, faces: torch.Tensor, device: torch.device) -> dict[str, torch.Tensor]:
    """Each task's posterior (N, K), the mean over the views; faces uint8 (N, S, S, 3)."""
    views = get_views(trained.evaluation.views)
    images = (trained.preprocessing(view(faces, trained.input_size)) for view in views)
    answers = list(compute(posteriors(trained.network), images, device, trained.precision))
    total: dict[str, torch.Tensor] = {}
    for each in answers:
        for task, posterior in each.items():
            total[task] = total.get(task, torch.zeros(())) + posterior / len(views)
    return total
