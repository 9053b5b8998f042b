"""Does a converted network say what the network said? Compared face by face on the run's own test fold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agegender.data.batches import Faces
from agegender.heads.head import NO_LABEL
from agegender.runtimes.runtime import Logits, Session
from agegender.statistics import paired_bootstrap

FACES = 1000  # at most
TOLERANCE = 1e-3  # of a float32 file's logits


@dataclass(frozen=True)
class TaskParity:
    """One task on the same faces, torch's answers and the file's. Shares are fractions 0..1, of the `n` labelled faces.

    `largest` is the largest difference of a logit. `changed` faces got another answer, `clear` of them although torch's
    two best logits were further apart than twice the tolerance. `difference` is the file's share of right answers less
    torch's, `low` to `high` its paired 95 % interval (subjects resampled).
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


@torch.inference_mode()
def answers(
    network: nn.Module, session: Session, faces: Faces, seen: Callable[[Tensor], Tensor]
) -> list[tuple[NDArray[np.float32], ...]]:
    """Return per task the logits (N, K) of torch and of the file, one face a call.

    `seen` makes of stored faces, uint8 (N, S, S, 3), what the network reads, float32 (N, 3, S, S).
    """
    model = Logits(network.eval())
    pairs: list[list[tuple[NDArray[np.float32], NDArray[np.float32]]]] = []
    for row in range(len(faces.table)):
        image = seen(faces.stored(np.array([row])))
        theirs = session(image.numpy())
        pairs.append([(ours.numpy()[0], other[0]) for ours, other in zip(model(image), theirs, strict=True)])
    return [tuple(np.stack(side) for side in zip(*task, strict=True)) for task in zip(*pairs, strict=True)]


def compare(task: str, faces: Faces, ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> TaskParity:
    """Compare torch's logits (N, K) with the file's on faces that have or lack the task's label."""
    labels, subjects = faces.labels[task].numpy(), faces.table["subject"].fillna(faces.table["image"]).to_numpy()
    best = np.sort(ours, axis=1)
    margin = best[:, -1] - best[:, -2]
    changed = ours.argmax(1) != theirs.argmax(1)
    known = labels != NO_LABEL
    right, right_there = ((logits.argmax(1) == labels)[known].astype(float) for logits in (ours, theirs))
    interval = paired_bootstrap(right_there, subjects[known], right, subjects[known]) if known.any() else (0.0, 0.0)
    return TaskParity(
        faces=len(ours),
        largest=float(np.abs(ours - theirs).max()),
        changed=int(changed.sum()),
        clear=int((changed & (margin > 2 * TOLERANCE)).sum()),
        n=int(known.sum()),
        torch=float(right.mean()) if known.any() else float("nan"),
        file=float(right_there.mean()) if known.any() else float("nan"),
        low=interval[0],
        high=interval[1],
    )


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
