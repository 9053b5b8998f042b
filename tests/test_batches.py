"""Batches are a function of the seed and the step, whatever the workers and wherever training resumed."""

import os
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader

from agegender.data.batches import EvaluationBatches, Faces, TrainingBatches, loader
from agegender.data.transforms.augmentations import AUGMENTATIONS, get_augmentation
from agegender.data.transforms.views import VIEWS, get_views
from agegender.tasks import NO_LABEL


@pytest.fixture
def faces() -> Faces:
    images = np.random.default_rng(0).integers(0, 256, (12, 20, 20, 3), dtype=np.uint8)
    table = pd.DataFrame(
        {
            "slot": [11, 10, 9, 8, 7, 6, 5, 4, 3, 2],
            "age_group": pd.array([0, 1, 2, 3, None, 5, 6, 7, 0, 1], dtype="Int64"),
            "gender": pd.array([0, 1, None, 1, 0, 1, 0, 1, 0, 1], dtype="Int64"),
        }
    )
    return Faces(images, table, ["age", "gender"])


def training(faces: Faces, start: int = 0, seed: int = 0, augmentation: str = "crops") -> TrainingBatches:
    varied = get_augmentation(augmentation)
    return TrainingBatches(
        faces, size=16, batch_size=4, steps=6, seed=seed, contrast=(0.5, 1.5), augmentation=varied, start=start
    )


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_batches_are_the_same_for_any_number_of_workers_and_after_a_resume(faces: Faces, augmentation: str) -> None:
    alone = list(loader(training(faces, augmentation=augmentation), 0))
    parallel = list(loader(training(faces, augmentation=augmentation), 2))
    for batches in (parallel, [*alone[:2], *loader(training(faces, start=2, augmentation=augmentation), 0)]):
        assert len(batches) == len(alone) == 6
        for ours, theirs in zip(alone, batches, strict=True):
            assert torch.equal(ours["images"], theirs["images"])
            assert torch.equal(ours["rows"], theirs["rows"])


def test_loader_processes_get_the_name_of_the_pack_not_its_pixels(faces: Faces, tmp_path: Path) -> None:
    """As on macOS, where a loader process starts empty and all it needs is sent to it."""
    np.save(tmp_path / "faces.npy", faces.images)
    mapped = Faces(np.load(tmp_path / "faces.npy", mmap_mode="r"), faces.table, faces.tasks)
    assert len(pickle.dumps(training(mapped))) < len(pickle.dumps(training(faces))) - faces.images.nbytes // 2
    assert torch.equal(mapped.stored(np.array([3, 0])), faces.stored(np.array([3, 0])))
    spawned = DataLoader(training(mapped), batch_size=None, num_workers=1, multiprocessing_context="spawn")
    for ours, theirs in zip(loader(training(faces), 0), spawned, strict=True):
        assert torch.equal(ours["images"], theirs["images"])


def test_a_pack_that_was_cut_short_meanwhile_is_told(faces: Faces, tmp_path: Path) -> None:
    np.save(tmp_path / "faces.npy", faces.images)
    mapped = Faces(np.load(tmp_path / "faces.npy", mmap_mode="r"), faces.table, faces.tasks)
    os.truncate(tmp_path / "faces.npy", 5000)
    with pytest.raises(OSError, match=r"faces\.npy ends within face 11"):
        mapped.stored(np.array([0]))


def test_a_pack_that_was_made_anew_meanwhile_is_told(faces: Faces, tmp_path: Path) -> None:
    np.save(tmp_path / "faces.npy", faces.images)
    mapped = Faces(np.load(tmp_path / "faces.npy", mmap_mode="r"), faces.table, faces.tasks)
    np.save(tmp_path / "new.npy", faces.images)
    (tmp_path / "new.npy").replace(tmp_path / "faces.npy")
    with pytest.raises(OSError, match=r"faces\.npy was made anew since this run began"):
        mapped.stored(np.array([0]))


@pytest.mark.parametrize("views", VIEWS)
def test_views_reach_loader_processes_as_they_are(faces: Faces, views: str) -> None:
    stored = faces.stored(np.array([0, 1]))
    for view in get_views(views):
        torch.testing.assert_close(pickle.loads(pickle.dumps(view))(stored, 16), view(stored, 16))


def test_each_epoch_shows_every_face_once_in_its_own_order(faces: Faces) -> None:
    rows = np.concatenate([training(faces).rows(step) for step in range(5)])
    first, second = rows[:10].tolist(), rows[10:].tolist()
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    assert not np.array_equal(training(faces, seed=1).rows(0), training(faces).rows(0))


def test_labels_belong_to_the_faces_of_the_rows(faces: Faces) -> None:
    batch = faces.batch(torch.zeros(3), np.array([2, 4, 9]))
    assert batch["labels"]["age"].tolist() == [2, NO_LABEL, 1]
    assert batch["labels"]["gender"].tolist() == [NO_LABEL, 0, 1]
    assert torch.equal(faces.stored(np.array([2, 9])), torch.from_numpy(faces.images[[9, 2]]))


def test_evaluation_shows_each_face_once_in_order(faces: Faces) -> None:
    batches = list(loader(EvaluationBatches(faces, size=16, batch_size=4), 0))
    assert [batch["rows"].tolist() for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_wrap_around_fills_the_last_batch_from_the_beginning(faces: Faces) -> None:
    batches = list(loader(EvaluationBatches(faces, size=16, batch_size=4, wrap=True), 0))
    assert [batch["rows"].tolist() for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 1]]
