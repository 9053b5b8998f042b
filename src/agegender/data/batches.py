"""Batches straight from the pack: which faces, in which order, seen how: a function of the seed and the step alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from agegender.data.pixels import CHECKSUM, inode, read, refuse_damaged
from agegender.data.transforms.augmentations import Augmentation, random_contrast, random_crops, resize
from agegender.data.transforms.preprocessing import STANDARDIZE, Preprocessing
from agegender.data.transforms.views import View
from agegender.tasks import NO_LABEL, get_task


class Batch(TypedDict):
    """images float32 (N, 3, S, S); rows int64 (N,) of the table; labels and sigmas by task, in label units.

    labels: float32 (N,), NO_LABEL where missing; sigmas: float32 (N,), the labels' standard deviations (1 for a face
    without), of the tasks of which the data set names any.
    """

    images: Tensor
    labels: dict[str, Tensor]
    sigmas: dict[str, Tensor]
    rows: Tensor


COPIED_AT_ONCE = 1024  # faces on their way to a device: 200 MB of 256 pixels


@dataclass(frozen=True)
class Faces:
    """Some faces of a pack: `table` has a row per face with its `slot` in `images`, uint8 (slots, S, S, 3).

    The pixels are the pack's own, mapped from disk, or a copy on the device that computes (`resident`).
    """

    images: npt.NDArray[np.uint8] | Tensor
    table: pd.DataFrame
    tasks: Sequence[str]

    mapped: tuple[int, int] | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mapped", inode(self.images))

    @cached_property
    def slots(self) -> npt.NDArray[np.int64]:
        """Where the faces are in `images`, (N,)."""
        return self.table["slot"].to_numpy(np.int64)

    @cached_property
    def labels(self) -> dict[str, Tensor]:
        """As of a `Batch`, of all faces."""
        return {name: self._numbers(get_task(name).column, NO_LABEL) for name in self.tasks}

    @cached_property
    def sigmas(self) -> dict[str, Tensor]:
        """As of a `Batch`, of all faces."""
        columns = {name: get_task(name).spread_column for name in self.tasks}
        return {name: self._numbers(column, 1.0) for name, column in columns.items() if column in self.table}

    def _numbers(self, column: str, missing: float) -> Tensor:
        return torch.from_numpy(self.table[column].astype("Float64").fillna(missing).to_numpy(np.float32))

    def __getstate__(self) -> dict[str, Any]:
        """Send a loader process the name of the mapped file, not its gigabytes."""
        images = self.images.filename if isinstance(self.images, np.memmap) else self.images
        return self.__dict__ | {"images": images}

    def __setstate__(self, state: dict[str, Any]) -> None:
        images = state["images"]
        images = np.load(images, mmap_mode="r") if isinstance(images, str | Path) else images
        self.__dict__.update(state, images=images)

    def resident(self, device: torch.device) -> "Faces":
        """The same faces with a copy of their pixels on the device, so that no step waits for the way there."""
        pixels = torch.empty((len(self.slots), *self.images.shape[1:]), dtype=torch.uint8, device=device)
        for rows in np.array_split(np.arange(len(self.slots)), -(-len(self.slots) // COPIED_AT_ONCE)):
            pixels[rows[0] : rows[-1] + 1] = self.stored(rows)
        here: npt.NDArray[np.uint8] | Tensor = pixels.numpy() if device.type == "cpu" else pixels
        return Faces(here, self.table.assign(slot=np.arange(len(self.slots))), self.tasks)

    def stored(self, rows: npt.NDArray[np.int64]) -> Tensor:
        """The stored pixels of these rows: uint8 (N, S, S, 3), on the device where the pixels are."""
        slots = self.slots[rows]
        if isinstance(self.images, Tensor):
            return self.images[torch.from_numpy(slots).to(self.images.device)]
        if isinstance(self.images, np.memmap):
            if inode(self.images) != self.mapped:
                raise OSError(f"{self.images.filename} was made anew since this run began: start the run again")
            self.check(rows)
            return torch.from_numpy(read(self.images, slots))
        return torch.from_numpy(self.images[slots])

    def check(self, rows: npt.NDArray[np.int64] | slice = slice(None)) -> None:
        """Refuse, with a UserError, these rows (all) where pixels on the disk are not those that were packed.

        A pack made before there were checksums has nothing to compare with.
        """
        if isinstance(self.images, np.memmap) and CHECKSUM in self.table:
            refuse_damaged(self.images, self.slots[rows], self.table[CHECKSUM].to_numpy(np.int64)[rows])

    def batch(self, images: Tensor, rows: npt.NDArray[np.int64]) -> Batch:
        index = torch.from_numpy(rows)
        labels, sigmas = ({task: x[index] for task, x in each.items()} for each in (self.labels, self.sigmas))
        return {"images": images, "labels": labels, "sigmas": sigmas, "rows": index}


class TrainingBatches(IterableDataset[Batch]):
    """Training batches from step `start` to `steps`.

    Step k is the same whatever the worker, the number of workers and the step training resumed at.
    """

    def __init__(
        self,
        faces: Faces,
        *,
        size: int,
        batch_size: int,
        steps: int,
        seed: int,
        contrast: Sequence[float] | None,
        augmentation: Augmentation = random_crops,
        preprocessing: Preprocessing = STANDARDIZE,
        start: int = 0,
    ):
        self.faces, self.size, self.batch_size, self.contrast = faces, size, batch_size, contrast
        self.steps, self.seed, self.start = steps, seed, start
        self.augmentation, self.preprocessing = augmentation, preprocessing

    def rows(self, step: int) -> npt.NDArray[np.int64]:
        """The rows of a step: epochs follow each other without a gap, each a fresh order of all faces."""
        count = len(self.faces.table)
        epochs, places = np.divmod(np.arange(step * self.batch_size, (step + 1) * self.batch_size), count)
        orders = [_shuffled(self.seed, epoch, count)[places[epochs == epoch]] for epoch in np.unique(epochs).tolist()]
        return np.concatenate(orders)

    def step(self, step: int) -> Batch:
        """Build the batch of one step."""
        generator = torch.Generator().manual_seed(int(np.random.SeedSequence([self.seed, step]).generate_state(1)[0]))
        rows = self.rows(step)
        images = self.augmentation(self.faces.stored(rows), self.size, generator)
        contrast = random_contrast(len(rows), self.contrast, generator) if self.contrast else None
        return self.faces.batch(self.preprocessing(images, contrast), rows)

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        first, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        for step in range(self.start + first, self.steps, stride):
            yield self.step(step)


@lru_cache(maxsize=2)
def _shuffled(seed: int, epoch: int, count: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(count)


class EvaluationBatches(Dataset[Batch]):
    """One view of the faces, in the order of the table or in `order` (its row numbers).

    With `wrap` every batch is full: the last is filled by faces from the beginning, as the authors' queue does
    (LMT `eval.py`); `rows` names them again.
    """

    def __init__(
        self,
        faces: Faces,
        *,
        size: int,
        batch_size: int,
        view: View = resize,
        preprocessing: Preprocessing = STANDARDIZE,
        order: npt.NDArray[np.int64] | None = None,
        wrap: bool = False,
    ):
        self.faces, self.size, self.batch_size, self.view = faces, size, batch_size, view
        self.preprocessing = preprocessing
        order = np.arange(len(faces.table)) if order is None else order
        count = len(order)
        self.order = np.resize(order, -(-count // batch_size) * batch_size) if wrap else order

    def __len__(self) -> int:
        return -(-len(self.order) // self.batch_size)

    def __getitem__(self, number: int) -> Batch:
        if not 0 <= number < len(self):
            raise IndexError(number)
        rows = self.order[number * self.batch_size : (number + 1) * self.batch_size]
        return self.faces.batch(self.preprocessing(self.view(self.faces.stored(rows), self.size)), rows)


def loader(batches: Dataset[Batch], workers: int) -> DataLoader[Batch]:
    """Wrap batches, which are already whole, in a DataLoader."""
    return DataLoader(batches, batch_size=None, num_workers=workers, persistent_workers=False)
