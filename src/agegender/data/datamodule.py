"""The faces of a run: which train, which choose the weights and which are tested, and every loader over them."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytorch_lightning as pl
from torch.utils.data import DataLoader

from agegender.data.batches import Batch, EvaluationBatches, Faces, TrainingBatches, loader
from agegender.data.label_checks import check_labels
from agegender.data.pack import Pack
from agegender.data.splits import keep_half, split, thin_training
from agegender.data.transforms.augmentations import Augmentation, random_crops
from agegender.data.transforms.preprocessing import STANDARDIZE, Preprocessing
from agegender.data.transforms.views import get_views
from agegender.datasets.protocols import apply_protocol
from agegender.spec import Evaluation
from agegender.tasks import get_task

EVALUATION_BATCH = 128
ESTIMATION_FACES = 2048  # that batch norm's statistics are estimated from anew
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Selection:
    """The faces of a pack that count under a protocol, or a `fraction` of them."""

    pack: Pack
    protocol: str
    fraction: float = 1.0

    def rows(self, heads: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
        """Return their rows of the manifest; UserError for labels that these heads (task -> settings) cannot learn."""
        dataset, partial = self.pack.info["dataset"], bool(self.pack.info["missing"])
        rows = apply_protocol(self.pack.manifest, self.protocol, dataset, fraction=self.fraction, partial=partial)
        check_labels(rows, heads, f"data={dataset} with protocol={self.protocol}")
        return rows


def make_splits(
    chosen: Selection,
    heads: Mapping[str, Mapping[str, Any]],
    *,
    fold: int,
    validation: float = 0.1,
    rule: str = "by_subject",
    half: int | None = None,
    training_share: float = 1.0,
    tested: Selection | None = None,
) -> dict[str, Faces]:
    """Return the faces of "train", "validation" and "test" that have a label for one of the tasks.

    `heads`: by task the settings of its head. `validation` and `rule` as in `splits.split`, `half` as in
    `splits.keep_half`, `training_share` as in `splits.thin_training`. The test faces are those of the `fold`; where
    `tested` is another data set they are its faces of that fold, but for copies of faces seen in training. UserError
    for labels that the heads cannot learn from.
    """
    rows, tasks = chosen.rows(heads), list(heads)
    rows = keep_half(rows, chosen.pack.manifest, fold, half)
    rows = thin_training(split(rows, fold, validation=validation, rule=rule), training_share)
    splits = {
        name: Faces(chosen.pack.images, _labelled(rows[rows["split"] == name], tasks), tasks)
        for name in ("train", "validation", "test")
    }
    return (
        splits if tested is None else splits | {"test": _elsewhere(tested, tasks, fold, rows[rows["split"] != "test"])}
    )


def _elsewhere(tested: Selection, tasks: list[str], fold: int, seen: pd.DataFrame) -> Faces:
    rows = tested.rows({task: {} for task in tasks})
    rows = _labelled(rows[rows["fold"] == fold], tasks)
    copies = rows["sha256"].isin(seen["sha256"].dropna())
    if copies.any():
        log.warning("%d of the tested faces are byte-identical to faces of training: left out", copies.sum())
    return Faces(tested.pack.images, rows[~copies].reset_index(drop=True), tasks)


def _labelled(rows: pd.DataFrame, tasks: list[str]) -> pd.DataFrame:
    return rows[rows[[get_task(task).column for task in tasks]].notna().any(axis=1)].reset_index(drop=True)


class FaceData(pl.LightningDataModule):
    """Every loader over the faces of a run, for Lightning (`train_dataloader`, `val_dataloader`) and for the rest.

    `splits` as from `make_splits`, on whatever device their pixels are. `size`: pixels of the images that the network
    reads. `batch_size`, `steps`, `augmentation` and `contrast` are of training, which goes on at the step `start`.
    """

    start = 0

    def __init__(
        self,
        splits: Mapping[str, Faces],
        *,
        size: int,
        batch_size: int,
        steps: int,
        seed: int,
        preprocessing: Preprocessing = STANDARDIZE,
        augmentation: Augmentation = random_crops,
        contrast: Sequence[float] | None = None,
        workers: int = 0,
    ):
        super().__init__()
        self.splits, self.size, self.batch_size, self.steps, self.seed = splits, size, batch_size, steps, seed
        self.preprocessing, self.augmentation, self.contrast = preprocessing, augmentation, contrast
        self.workers = workers

    def train_dataloader(self) -> DataLoader[Batch]:
        """Training batches from the step `start` on."""
        batches = TrainingBatches(
            self.splits["train"],
            size=self.size,
            batch_size=self.batch_size,
            steps=self.steps,
            seed=self.seed,
            contrast=self.contrast,
            augmentation=self.augmentation,
            preprocessing=self.preprocessing,
            start=self.start,
        )
        return loader(batches, self.workers)

    def val_dataloader(self) -> DataLoader[Batch]:
        """The whole faces of validation."""
        return self.whole("validation")

    def whole(self, split: str, order: npt.NDArray[np.int64] | None = None) -> DataLoader[Batch]:
        """The whole faces of a split, in the order of its table or in `order` (its row numbers)."""
        return loader(self._batches(self.splits[split], EVALUATION_BATCH, order=order), self.workers)

    def estimation(self) -> DataLoader[Batch]:
        """A few training faces, whole, for batch norm's statistics.

        Every batch is full, as every batch weighs the same; where there are few faces it is one smaller batch.
        """
        faces = len(self.splits["train"].table)
        count = min(ESTIMATION_FACES, faces)
        few = np.random.default_rng(self.seed).permutation(faces)[: count - count % EVALUATION_BATCH or count]
        return self.whole("train", few)

    def test(self, evaluation: Evaluation) -> tuple[list[DataLoader[Batch]], npt.NDArray[np.int64]]:
        """A loader of the test faces for each view, and the row numbers that each goes through, repeats included."""
        faces = self.splits["test"]
        batches = [
            self._batches(
                faces,
                evaluation.batch_size,
                view=view,
                order=order_of(faces, evaluation.order, self.seed),
                wrap=evaluation.repeats != "none",
            )
            for view in get_views(evaluation.views)
        ]
        return [loader(each, self.workers) for each in batches], batches[0].order

    def _batches(self, faces: Faces, batch_size: int, **how: Any) -> EvaluationBatches:
        return EvaluationBatches(faces, size=self.size, batch_size=batch_size, preprocessing=self.preprocessing, **how)


def order_of(faces: Faces, order: str, seed: int) -> npt.NDArray[np.int64]:
    """Return the row numbers of the faces in the manifest's order, shuffled by the seed, or sorted by their labels."""
    numbers = np.arange(len(faces.table))
    if order == "shuffled":
        return np.random.default_rng(seed).permutation(numbers)
    if order == "sorted":
        columns = [get_task(task).column for task in faces.tasks]
        return numbers[faces.table.reset_index(drop=True).sort_values(columns, kind="stable").index]
    return numbers
