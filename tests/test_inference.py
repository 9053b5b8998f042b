"""Test-time settings: each choice against what it should do, on runs made here."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose
from omegaconf import DictConfig
from torch import nn

from agegender.commands.train import train
from agegender.config.resolve import resolve_run
from agegender.data.batches import EvaluationBatches, Faces, loader
from agegender.data.datamodule import order_of
from agegender.errors import UserError
from agegender.models.layers import BetaBatchNorm2d
from agegender.runs.folder import RunFolder, identity
from agegender.runs.predictions import read_predictions
from agegender.training.inference import reestimate, set_statistics
from agegender.training.run_identity import identity_keys
from short_runs import faces_in, folder_of

pytestmark = pytest.mark.usefixtures("hydra")
Overrides = Callable[..., list[str]]
WORDS = (
    *("recipe.steps=2", "recipe.batch_size=4", "recipe.validate_every=2"),
    *("tracking=none", "mode=faithful", "system=lmtcnn_1_1"),
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all: what one test has trained and evaluated the next finds done."""
    return tmp_path_factory.mktemp("evaluated")


@pytest.fixture
def overrides(overrides: Overrides, runs: Path) -> Overrides:
    return partial(overrides, f"paths.runs='{runs}'")


def evaluated(overrides: Overrides, *words: str) -> tuple[DictConfig, RunFolder, pd.DataFrame]:
    config = compose("train", overrides=overrides(*WORDS, *words))
    train(config)
    folder = folder_of(config)
    return config, folder, read_predictions(folder.predictions)


def posteriors(table: pd.DataFrame) -> np.ndarray:
    return table.filter(regex=r"_p\d$").to_numpy()


@pytest.fixture
def faces() -> Faces:
    images = np.random.default_rng(0).integers(0, 256, (6, 20, 20, 3), dtype=np.uint8)
    labels = {"age_group": [5, 0, None, 0, 2, 1], "gender": [0, 1, 0, 0, 1, 1]}
    table = pd.DataFrame({"slot": range(6), **{name: pd.array(v, dtype="Int64") for name, v in labels.items()}})
    return Faces(images, table, ["age", "gender"])


def test_orders(faces: Faces) -> None:
    assert order_of(faces, "manifest", 0).tolist() == [0, 1, 2, 3, 4, 5]
    assert order_of(faces, "sorted", 0).tolist() == [3, 1, 5, 4, 0, 2]
    shuffled = order_of(faces, "shuffled", 0).tolist()
    assert sorted(shuffled) == [0, 1, 2, 3, 4, 5] != shuffled
    assert order_of(faces, "shuffled", 1).tolist() != shuffled


def test_reestimated_statistics_are_the_means_over_the_batches(faces: Faces) -> None:
    norm = BetaBatchNorm2d(3, batch_statistics=True, momentum=0.001)
    network = nn.Sequential(norm, nn.Dropout(0.5))
    batches = loader(EvaluationBatches(faces, size=16, batch_size=3), 0)
    set_statistics(network, "reestimated")
    reestimate(network, (batch["images"] for batch in batches), torch.device("cpu"))
    images = [batch["images"] for batch in batches]
    mean = torch.stack([x.mean((0, 2, 3)) for x in images]).mean(0)
    variance = torch.stack([x.var((0, 2, 3)) for x in images]).mean(0)
    torch.testing.assert_close(norm.running_mean, mean)
    torch.testing.assert_close(norm.running_var, variance)
    assert not norm.training
    assert norm.momentum == 0.001
    answer = norm(images[0])
    expected = (images[0] - mean[:, None, None]) / (variance[:, None, None] + 1e-3).sqrt()
    torch.testing.assert_close(answer, expected)


def test_other_evaluations_use_the_weights_of_the_run_evaluated_as_the_mode_says(overrides: Overrides) -> None:
    _, first, plain = evaluated(overrides)
    _, flip, flipped = evaluated(overrides, "evaluation=flip")
    assert flip.read("weights") == {"trained_by": first.identity}
    assert not flip.weights.exists()
    assert not flip.history.exists()
    assert plain["image"].tolist() == flipped["image"].tolist()
    assert 1e-6 < np.abs(posteriors(plain) - posteriors(flipped)).max() < 1
    np.testing.assert_allclose(flipped.filter(regex=r"age_p\d$").sum(axis=1), 1, rtol=1e-5)


def test_an_evaluation_without_such_a_run_trains_the_same_weights_itself(overrides: Overrides, tmp_path) -> None:
    _, first, _ = evaluated(overrides)
    _, other, found = evaluated(overrides, "evaluation=batch_8")
    assert other.read("weights") == {"trained_by": first.identity}
    _, alone, trained = evaluated(overrides, "evaluation=batch_8", f"paths.runs={tmp_path}/elsewhere")
    assert alone.weights.exists()
    assert alone.identity == other.identity
    assert alone.predictions.read_bytes() == other.predictions.read_bytes()
    np.testing.assert_array_equal(posteriors(found), posteriors(trained))


def test_order_and_batch_size_matter_to_batch_statistics_only(overrides: Overrides) -> None:
    _, _, plain = evaluated(overrides)
    names = ("batch_8", "batch_8_sorted", "batch_128_manifest", "reestimated")
    variants = {name: evaluated(overrides, f"evaluation={name}")[2] for name in names}
    # Ten views of each face once: at the repeats that fill the batch too they would take ten seconds.
    variants["ten_crop"] = evaluated(overrides, "evaluation=ten_crop", "evaluation.repeats=none")[2]
    assert all(table["image"].tolist() == plain["image"].tolist() for table in variants.values())
    assert np.abs(posteriors(variants["batch_8"]) - posteriors(variants["batch_8_sorted"])).max() > 1e-6
    assert np.abs(posteriors(variants["reestimated"]) - posteriors(plain)).max() > 1e-6
    running = [
        evaluated(overrides, "evaluation=running", f"evaluation.{choice}")[2]
        for choice in ("batch_size=128", "batch_size=7", "order=sorted")
    ]
    for table in running[1:]:
        np.testing.assert_allclose(posteriors(table), posteriors(running[0]), atol=1e-6)


def test_scored_repeats_are_the_first_faces_again(overrides: Overrides) -> None:
    config, _, once = evaluated(overrides)
    _, folder, table = evaluated(overrides, "evaluation=wrap_scored")
    test = faces_in(config)["test"]
    order = order_of(test, "shuffled", 0)
    again = np.sort(np.resize(order, 128))
    assert table["image"].tolist() == test.table["image"].iloc[again].tolist()
    first = [int(np.flatnonzero(again == row)[0]) for row in range(len(once))]
    np.testing.assert_allclose(posteriors(table)[first], posteriors(once), atol=1e-6)
    assert folder.read("metrics")["test/age_n"] == 128


def test_the_identity_knows_what_an_evaluation_does_not_what_it_is_called(overrides: Overrides) -> None:
    def named(*words: str) -> str:
        config = compose("train", overrides=overrides(*words))
        return identity("lmtcnn_2_1", identity_keys(resolve_run(config), "digest"))

    assert named() == named("evaluation.views=resize", "evaluation.repeats=none")
    assert named("mode=faithful") != named("mode=faithful", "evaluation.statistics=batch")
    assert named("evaluation=ten_crop") == named("evaluation.views=ten_crop") != named()
    assert named("validation=by_image_leaky") != named()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("evaluation.order=random", r"evaluation\.order=random must be 'manifest', 'shuffled' or 'sorted'"),
        ("+evaluation.crop=1", r"there is no setting 'evaluation\.crop': choose from views, statistics"),
        ("validation=by_user", r"validation=by_user is unknown: choose from by_subject, by_image_leaky"),
        ("evaluation.statistics=mean", r"evaluation\.statistics=mean must be 'network', 'running'"),
        ("evaluation.batch_size=0", r"evaluation\.batch_size=0 must be greater than or equal to 1"),
        ("evaluation.views=squint", r"evaluation\.views=squint: there is no such set of views, choose from resize"),
    ],
)
def test_values_no_evaluation_can_have_are_refused(overrides: Overrides, words: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve_run(compose("train", overrides=overrides(words)))
