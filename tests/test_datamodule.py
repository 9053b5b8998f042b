"""The faces of a run and the loaders over them."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader

from agegender.data.batches import Batch, EvaluationBatches, Faces, TrainingBatches
from agegender.data.datamodule import FaceData, Selection, make_splits
from agegender.data.pack import Pack
from agegender.data.transforms.augmentations import get_augmentation
from agegender.data.transforms.preprocessing import Preprocessing
from agegender.data.transforms.views import get_views
from agegender.errors import UserError
from agegender.modes import get_evaluation

PREPARED = Preprocessing("halves", mean=(0.5, 0.5, 0.5))
HEADS = {"age": {"name": "softmax"}, "gender": {"name": "softmax"}}


def packed(count: int, dataset: str = "utkface", first: int = 0) -> Pack:
    images = np.random.default_rng(first).integers(0, 256, (count, 20, 20, 3), np.uint8)
    number = pd.Series(range(first, first + count))
    table = pd.DataFrame(
        {
            "image": number.map("{}.jpg".format),
            "subject": pd.array([None] * count, dtype="string"),
            "fold": (number % 5).astype("Int64"),
            "age_group": (number // 5 % 2).astype("Int64"),
            "age_years": (20 + 30 * (number // 5 % 2)).astype("Int64"),
            "gender": (number // 40 % 2).astype("Int64"),
            "sha256": number.map("{:064}".format),
            "slot": range(count),
        }
    )
    return Pack(images, table, "digest", {"dataset": dataset, "missing": 0})


def assert_same(ours: DataLoader[Batch], theirs: EvaluationBatches | TrainingBatches) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.equal(mine["images"], other["images"]) and torch.equal(mine["rows"], other["rows"])


@pytest.fixture(scope="module")
def splits() -> dict[str, Faces]:
    return make_splits(Selection(packed(400), "utkface_partition"), HEADS, fold=2)


@pytest.fixture
def data(splits: dict[str, Faces]) -> FaceData:
    return FaceData(
        splits,
        size=16,
        batch_size=8,
        steps=5,
        seed=3,
        preprocessing=PREPARED,
        augmentation=get_augmentation("dldl_v2"),
        contrast=(0.5, 1.5),
    )


def test_training_goes_on_at_its_step(data: FaceData, splits: dict[str, Faces]) -> None:
    for start in (0, 3):
        data.start = start
        expected = TrainingBatches(
            splits["train"],
            size=16,
            batch_size=8,
            steps=5,
            seed=3,
            contrast=(0.5, 1.5),
            augmentation=get_augmentation("dldl_v2"),
            preprocessing=PREPARED,
            start=start,
        )
        assert_same(data.train_dataloader(), expected)


def test_validation_is_seen_whole(data: FaceData, splits: dict[str, Faces]) -> None:
    expected = EvaluationBatches(splits["validation"], size=16, batch_size=128, preprocessing=PREPARED)
    for ours in (data.val_dataloader(), data.whole("validation")):
        assert_same(ours, expected)


def test_statistics_are_estimated_from_whole_batches_of_training_faces(data: FaceData) -> None:
    faces = len(data.splits["train"].table)
    (*full,) = data.estimation()
    rows = torch.cat([batch["rows"] for batch in full])
    assert {len(batch["rows"]) for batch in full} == {128} and 128 < faces < 512
    assert rows.tolist() == np.random.default_rng(3).permutation(faces)[: faces - faces % 128].tolist()


@pytest.mark.parametrize("order", ["manifest", "shuffled", "sorted"])
@pytest.mark.parametrize("repeats", ["none", "unscored"])
def test_the_test_faces_come_view_by_view_in_their_order(
    data: FaceData, splits: dict[str, Faces], order: str, repeats: str
) -> None:
    given = {"views": "flip", "order": order, "repeats": repeats, "batch_size": 32}
    loaders, rows = data.test(get_evaluation("sound", given))
    test = splits["test"].table
    count = len(test)
    assert len(rows) == (96 if repeats == "unscored" else count) and sorted(rows[:count]) == list(range(count))
    assert rows[count:].tolist() == rows[: len(rows) - count].tolist()
    if order == "sorted":
        assert test.iloc[rows[:count]][["age_group", "gender"]].apply(tuple, axis=1).is_monotonic_increasing
    if order == "shuffled":
        assert rows[:count].tolist() == np.random.default_rng(3).permutation(count).tolist()
    for ours, view in zip(loaders, get_views("flip"), strict=True):
        expected = EvaluationBatches(
            splits["test"], size=16, batch_size=32, view=view, preprocessing=PREPARED, order=rows
        )
        assert_same(ours, expected)


def test_splits_are_of_the_fold_and_of_labels_that_the_heads_learn_from(splits: dict[str, Faces]) -> None:
    assert set(splits["test"].table["fold"]) == {2} and set(splits["train"].table["fold"]) == {0, 1, 3, 4}
    with pytest.raises(UserError, match=r"^data=utkface with protocol=utkface_years .*sigma=annotated"):
        make_splits(Selection(packed(400), "utkface_years"), {"age_years": {"sigma": "annotated"}}, fold=2)


def test_halves_share_no_face_and_a_share_trains_on_less(splits: dict[str, Faces]) -> None:
    chosen = Selection(packed(400), "utkface_partition")
    halves = [make_splits(chosen, HEADS, fold=2, half=half) for half in (0, 1)]
    first, second = ({*half["train"].table["image"], *half["validation"].table["image"]} for half in halves)
    assert not first & second and len(first | second) == 320
    less = make_splits(chosen, HEADS, fold=2, training_share=0.5)
    assert set(less["train"].table["image"]) < set(splits["train"].table["image"])
    assert all(less[name].table.equals(splits[name].table) for name in ("validation", "test"))


def test_another_test_set_loses_copies_of_faces_seen_in_training(
    splits: dict[str, Faces], caplog: pytest.LogCaptureFixture
) -> None:
    chosen = Selection(packed(400), "utkface_partition")
    other = Selection(packed(100, first=350), "utkface_partition")  # the first fifty are faces of the other pack too
    found = make_splits(chosen, HEADS, fold=2, tested=other)
    assert found["test"].images is other.pack.images and "byte-identical to faces of training" not in caplog.text
    assert len(found["test"].table) == 20, "of the same fold, which does not train"
    moved = packed(100, first=350)
    moved.manifest["fold"] = (moved.manifest["fold"] + 1) % 5
    found = make_splits(chosen, HEADS, fold=2, tested=Selection(moved, "utkface_partition"))
    assert len(found["test"].table) == 10 and "10 of the tested faces are byte-identical" in caplog.text
