"""Does a converted network say what the network said? Compared face by face on the run's own test fold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agegender.data.batches import Faces
from agegender.heads.head import Head
from agegender.metrics import headline_values
from agegender.metrics.bootstrap import paired_bootstrap
from agegender.runtimes.runtime import Logits, Session
from agegender.tasks import NO_LABEL
from agegender.training.inference import compute

FACES = 1000  # at most
TOLERANCE = 1e-3  # of a float32 file's logits


@dataclass(frozen=True)
class TaskParity:
    """One task on the same faces: `torch` and `file` are the shares of right answers, 0..1, of the `n` labelled faces.

    Of a measured task they are mean absolute errors in its unit. `largest` is the largest difference of a logit.
    `changed` faces got another answer (measured: one further off than half a step), `clear` of them although rounding
    cannot be the reason: torch's two best logits were further apart than twice the tolerance, or the answers by more
    than a step. `difference` is the file's mean less torch's, `low` to `high` its paired 95 % interval (subjects
    resampled).
    """

    faces: int
    largest: float
    changed: int
    clear: int
    n: int
    torch: float
    file: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        return self.file - self.torch

    @property
    def same(self) -> bool:
        """Whether the file is the same function as far as float32 goes."""
        return self.largest <= TOLERANCE and self.clear == 0


def answers(
    network: nn.Module, session: Session, faces: Faces, seen: Callable[[Tensor], Tensor]
) -> list[tuple[NDArray[np.float32], ...]]:
    """Return per task the logits (N, K) of torch and of the file, one face a call.

    `seen` makes of stored faces, uint8 (N, S, S, 3), what the network reads, float32 (N, 3, S, S).
    """

    def images() -> Iterator[Tensor]:
        return (seen(faces.stored(np.array([row]))) for row in range(len(faces.table)))

    ours = compute(Logits(network.eval()), images(), torch.device("cpu"), "32-true")
    pairs = [
        [(mine.numpy()[0], other[0]) for mine, other in zip(logits, session(image.numpy()), strict=True)]
        for logits, image in zip(ours, images(), strict=True)
    ]
    return [tuple(np.stack(side) for side in zip(*task, strict=True)) for task in zip(*pairs, strict=True)]


@torch.inference_mode()
def compare(
    head: Head,
    faces: Faces,
    ours: NDArray[np.float32] | None,
    theirs: NDArray[np.float32],
    own: NDArray[np.float32] | None = None,
) -> TaskParity:
    """Compare torch's logits of a head (N, outputs) with the file's on faces that have or lack the task's label.

    In the place of torch's logits there may be posteriors of another evaluation, `own` (N, K); then no logits are
    compared.
    """
    task = head.task
    posterior = torch.from_numpy(own) if ours is None else head.posterior(torch.from_numpy(ours))
    here, there = (
        head.decide(each).numpy().astype(float) for each in (posterior, head.posterior(torch.from_numpy(theirs)))
    )
    changed = np.abs(here - there) > (task.step / 2 if task.measured else 0)
    labels, subjects = faces.labels[task.name].numpy(), faces.table["subject"].fillna(faces.table["image"]).to_numpy()
    known = labels != NO_LABEL
    told, told_there = (headline_values(task, labels[known], each[known]) for each in (here, there))
    interval = paired_bootstrap(told_there, subjects[known], told, subjects[known]) if known.any() else (0.0, 0.0)
    return TaskParity(
        faces=len(here),
        largest=float("nan") if ours is None else float(np.abs(ours - theirs).max()),
        changed=int(changed.sum()),
        clear=0 if ours is None else int(_clear(head, ours, here, there).sum()),
        n=int(known.sum()),
        torch=float(told.mean()) if known.any() else float("nan"),
        file=float(told_there.mean()) if known.any() else float("nan"),
        low=interval[0],
        high=interval[1],
    )


def _clear(
    head: Head, logits: NDArray[np.float32], here: NDArray[np.float64], there: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Where answers differ although rounding cannot be the reason."""
    apart: NDArray[np.bool_] = np.abs(here - there) > head.task.step  # one step may be tipped at one half
    if head.decision == "argmax" and logits.shape[1] == len(head.task.labels):
        best = np.sort(logits, axis=1)
        apart = (here != there) & (best[:, -1] - best[:, -2] > 2 * TOLERANCE)
    return apart


def some(faces: Faces, count: int, seed: int = 0) -> Faces:
    """Return at most `count` of the faces, drawn by the seed."""
    rows = np.sort(np.random.default_rng(seed).permutation(len(faces.table))[:count])
    return Faces(faces.images, faces.table.iloc[rows].reset_index(drop=True), faces.tasks)


def failures(found: Mapping[str, TaskParity]) -> Sequence[str]:
    """Say for each task where a float32 file is not the same function; nothing where all are."""
    return [
        f"{task}: logits differ by up to {each.largest:.2g}, {each.clear} of {each.faces} faces got another answer "
        "against a clear margin"
        for task, each in found.items()
        if not each.same
    ]
