"""Transfer between runs on the drawn faces: the weights of one in the table of another, which saw none of its test."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest
from hydra import compose
from safetensors.torch import load_file, save_file

from agegender.commands.train import train
from agegender.config.jobs import Job, list_jobs
from agegender.config.resolve import resolve_run
from agegender.data.splits import keep_half, split, thin_training
from agegender.errors import UserError
from agegender.report.figures import draw_figures
from agegender.report.records import load_records
from agegender.report.table import build_table
from agegender.runs.folder import RunFolder
from agegender.runs.predictions import read_predictions
from agegender.spec import Transfer
from agegender.training.fit import build_network
from agegender.training.run_identity import identity_keys
from finished_runs import finish, job
from short_runs import SHORT, faces_in, folder_of, run

Overrides = Callable[..., list[str]]
pytestmark = pytest.mark.usefixtures("hydra")


@pytest.fixture
def pretrained(overrides: Overrides) -> RunFolder:
    """A run of the age head alone on one half of the faces."""
    return run(overrides(*SHORT, "system=lmtcnn_1_1_age", "half=0"))[1]


def from_weights(overrides: Overrides, weights: object, *more: str) -> list[str]:
    return overrides(*SHORT, f"transfer.weights='{weights}'", "half=1", *more)


def test_a_frozen_backbone_ends_as_it_began_and_the_folder_tells(
    overrides: Overrides, pretrained: RunFolder, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="agegender")
    pattern = pretrained.path.parent / "lmtcnn_1_1_age-*"
    _, folder = run(from_weights(overrides, pattern, "transfer=frozen"))
    old, new = load_file(pretrained.weights), load_file(folder.weights)
    changed = {name for name in old.keys() & new.keys() if not np.array_equal(old[name], new[name])}
    assert changed == {"heads.age.weight", "heads.age.bias"}, "batch norm's statistics are those of pre-training"
    told = folder.read("transfer")
    assert told["run"] == pretrained.identity and told["policy"] == "frozen"
    assert told["sha256"] == pretrained.read("weights")["sha256"] == folder.read("identity")["keys"]["weights"]
    assert set(told["loaded"]) == old.keys()
    assert told["fresh"] == ["heads.gender.weight", "heads.gender.bias"] and told["left_over"] == []
    assert "tensors loaded from run lmtcnn_1_1_age" in folder.log.read_text()


def test_an_svm_on_features_is_a_run_like_any_other(overrides: Overrides, pretrained: RunFolder) -> None:
    """Its answers are those of scikit-learn's own pipeline on features computed here."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    words = from_weights(overrides, pretrained.path, "transfer=svm", "transfer.C=[0.01]")
    config, folder = run(words)
    faces = faces_in(config)
    network = build_network(resolve_run(config))
    network.load_state_dict(load_file(folder.weights))
    x = {part: features(network, faces[part]) for part in ("train", "test")}
    predictions, metrics = read_predictions(folder.predictions), folder.read("metrics")
    for task, column in (("age", "age_group"), ("gender", "gender")):
        svm = make_pipeline(StandardScaler(), LinearSVC(C=0.01, dual="auto", random_state=0, max_iter=10_000))
        svm.fit(x["train"], faces["train"].table[column].astype(int))
        assert predictions[f"{task}_pred"].tolist() == svm.predict(x["test"]).tolist()
        assert f"validation/{task}" in metrics
        posterior = predictions.filter(regex=rf"{task}_p\d").to_numpy(float)
        np.testing.assert_allclose(posterior.sum(1), 1, atol=1e-5)
    d = svm.decision_function(x["test"])
    # The head computes in float32 what scikit-learn computes in float64, of features that hardly vary here.
    np.testing.assert_allclose(predictions["gender_p1"].to_numpy(float), 1 / (1 + np.exp(-d)), atol=5e-3)
    assert folder.read("transfer")["C"] == {"age": 0.01, "gender": 0.01}
    _, flipped = run([*words, "evaluation=flip"])
    assert flipped.read("weights") == {"trained_by": folder.identity}


def features(network, faces):
    import torch

    from agegender.data.batches import EvaluationBatches

    (batch,) = EvaluationBatches(faces, size=227, batch_size=1000)
    with torch.no_grad():
        return network.eval().backbone(batch["images"]).double().numpy()


def test_the_weights_and_not_their_place_are_in_the_identity(
    overrides: Overrides, pretrained: RunFolder, tmp_path: Path
) -> None:
    save_file(load_file(pretrained.weights), tmp_path / "copy.safetensors")
    save_file({k: v + 1 for k, v in load_file(pretrained.weights).items()}, tmp_path / "other.safetensors")

    def name(weights: object, *more: str) -> str:
        config = compose("train", overrides=from_weights(overrides, weights, "transfer=whole", *more))
        return folder_of(config).identity

    same = name(pretrained.path)
    assert name(tmp_path / "copy.safetensors") == same == name(pretrained.path.parent / "lmtcnn_1_1_age-*")
    others = [name(tmp_path / "other.safetensors"), name(pretrained.path, "transfer.old_rate=0.2")]
    assert len({same, *others}) == 3
    pretrained.weights.unlink()
    assert name(pretrained.path) == same, "the run remembers the checksum of weights that stayed elsewhere"


def test_runs_from_scratch_keep_their_identity(overrides: Overrides) -> None:
    config = compose("train", overrides=overrides(*SHORT))
    keys = identity_keys(resolve_run(config), "digest")
    assert not {"weights", "half", "test"} & keys.keys() and keys["transfer"] == {"name": "none"}
    half = identity_keys(resolve_run(compose("train", overrides=overrides(*SHORT, "half=0"))), "digest")
    assert half["half"] == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["transfer=frozen"], "starts from weights: say transfer.weights"),
        (["transfer.weights=a.pt"], "transfer=none starts from scratch"),
        (["transfer=last_blocks", "transfer.weights=a.pt", "transfer.blocks=0"], "transfer.blocks=0 must be"),
        (
            ["transfer=whole", "transfer.weights=a.pt", "transfer.old_rate=2"],
            "transfer.old_rate=2 must be less than or equal to 1",
        ),
        (["transfer=svm", "transfer.weights=a.pt", "transfer.C=[]"], "transfer.C=[] must have at least 1 item"),
        (
            ["transfer=whole", "transfer.weights=a.pt", "transfer.name=half"],
            "transfer.name=half must be 'none', 'frozen'",
        ),
        (["half=2"], "half=2 must be less than or equal to 1"),
        (["training_share=0"], "training_share=0 must be greater than 0"),
    ],
)
def test_what_no_run_can_start_from_is_refused(words: list[str], sentence: str, overrides: Overrides) -> None:
    with pytest.raises(UserError, match=sentence.replace("[", r"\[")):
        resolve_run(compose("train", overrides=overrides(*words)))


def test_a_pattern_means_exactly_one_finished_run_of_this_fold(overrides: Overrides, pretrained: RunFolder) -> None:
    pattern = pretrained.path.parent / "lmtcnn_1_1*"
    words = from_weights(overrides, pattern, "transfer=frozen")
    with pytest.raises(UserError, match="fits no finished run, or none of this data, fold 1, seed 0, half 0"):
        train(compose("train", overrides=[*words, "fold=1"]))
    (job,) = list_jobs([*words, "fold=1"], None)
    assert "weights" not in job.keys, "a table shows such a run as missing"
    run(overrides(*SHORT, "half=0"))
    with pytest.raises(UserError, match="fits 2 finished runs of this data, fold 0, seed 0, half 0"):
        train(compose("train", overrides=words))


def test_a_run_that_has_seen_our_test_faces_lends_no_weights(overrides: Overrides, pretrained: RunFolder) -> None:
    with pytest.raises(UserError, match=r"of this run's test faces was among .* choose a run of the same fold"):
        train(compose("train", overrides=from_weights(overrides, pretrained.path, "transfer=frozen", "fold=1")))
    with pytest.raises(UserError, match=r"of this run's train faces was among .* the other half"):
        train(compose("train", overrides=from_weights(overrides, pretrained.path, "transfer=frozen", "half=0")))


def test_what_the_pretraining_of_the_pretraining_saw_counts_too(overrides: Overrides, pretrained: RunFolder) -> None:
    first = from_weights(overrides, pretrained.path, "transfer=frozen", "system=lmtcnn_1_1_gender", "recipe.steps=1")
    _, second = run(first)
    with pytest.raises(UserError, match=f"of the run {pretrained.identity}"):
        third = from_weights(overrides, second.path, "transfer=frozen", "half=0", "system=lmtcnn_1_1_gender")
        train(compose("train", overrides=third))


def splits(overrides: Overrides, *words: str) -> dict[str, pd.DataFrame]:
    config = compose("train", overrides=overrides(*SHORT, *words))
    return {part: faces.table for part, faces in faces_in(config).items()}


def test_halves_are_disjoint_and_leave_the_test_fold(overrides: Overrides) -> None:
    whole, first, second = (splits(overrides, f"half={half}") for half in ("null", 0, 1))
    seen = [set(pd.concat([half["train"], half["validation"]])["subject"]) for half in (first, second)]
    assert not seen[0] & seen[1] and all(seen)
    assert seen[0] | seen[1] == set(pd.concat([whole["train"], whole["validation"]])["subject"])
    for half in (first, second):
        pd.testing.assert_frame_equal(half["test"], whole["test"])


def test_training_shares_are_nested_and_touch_training_only(overrides: Overrides) -> None:
    found = {share: splits(overrides, f"training_share={share}") for share in (0.2, 0.5, 1.0)}
    images = [set(tables["train"]["image"]) for tables in found.values()]
    assert images[0] < images[1] < images[2]
    for part in ("validation", "test"):
        pd.testing.assert_frame_equal(found[0.2][part], found[1.0][part])


def manifest(count: int = 4000) -> pd.DataFrame:
    """Faces without known subjects, with ages in years."""
    draw = np.random.default_rng(3)
    years = pd.Series(draw.integers(0, 100, count), dtype="Int64")
    return pd.DataFrame(
        {
            "image": [f"{number}.jpg" for number in range(count)],
            "subject": pd.array([pd.NA] * count, dtype="string"),
            "fold": pd.array(draw.integers(0, 5, count), dtype="Int64"),
            "age_years": years,
            "age_group": (years // 13).clip(0, 7),
            "gender": pd.array(draw.integers(0, 2, count), dtype="Int64"),
        }
    )


def test_a_face_has_its_half_whatever_the_protocol_keeps_of_the_others() -> None:
    """Pre-training on years and the target on groups keep different faces, and may not take each other's."""
    faces = manifest()
    few = faces.iloc[::3].assign(age_group=0)
    halves = [keep_half(rows, faces, 2, half) for rows in (faces, few) for half in (0, 1)]
    outside = [set(half.loc[half["fold"] != 2, "image"]) for half in halves]
    assert outside[2] == outside[0] & set(few["image"]) and outside[3] == outside[1] & set(few["image"])
    assert not outside[0] & outside[3] and not outside[2] & outside[1]
    strata = [faces["fold"], faces["age_years"] // 10, faces["gender"]]
    shares = faces["image"].isin(outside[0])[faces["fold"] != 2].groupby(strata).agg(["sum", "size"])
    assert ((shares["sum"] - shares["size"] / 2).abs() <= 1).all(), "half of every stratum"


def test_a_share_holds_of_every_stratum() -> None:
    parted = split(manifest(), 0)
    thin = thin_training(parted, 0.1)
    counts = [rows[rows["split"] == "train"].groupby(["age_group", "gender"]).size() for rows in (parted, thin)]
    assert (counts[1] == np.ceil(counts[0] / 10)).all()
    assert (thin["split"] != "train").sum() == (parted["split"] != "train").sum()


def test_a_table_has_a_row_for_each_start_and_share_and_draws_them(overrides: Overrides, pretrained: RunFolder) -> None:
    words = overrides(*SHORT, "+pretrained='" + str(pretrained.path.parent / "lmtcnn_1_1_age-*") + "'", "fold=0")
    swept = {"transfer": "none,svm", "half": "1", "training_share": "0.3,1"}
    jobs = list_jobs(words, swept)
    for each in jobs:
        train(compose("train", overrides=list(each.overrides)))
    table = build_table(load_records(jobs), (), {})
    assert [row.title for row in table.rows] == [
        "LMTCNN-1-1, training share 0.3", "LMTCNN-1-1",
        "LMTCNN-1-1, transfer svm, training share 0.3", "LMTCNN-1-1, transfer svm",
    ]  # fmt: skip
    assert not any(row.differences for row in table.rows), "these are other weights, not other evaluations"
    assert len({row.key for row in table.rows}) == 4
    few, many = table.rows[0].training_faces[0], table.rows[1].training_faces[0]
    assert 0 < few < many
    figures = draw_figures(table)
    _, figure = figures["training_faces.png"]
    ages = {line.get_label(): line for line in figure.axes[0].get_lines()}
    scratch = ages["LMTCNN-1-1, from scratch"]
    assert list(scratch.get_xdata()) == [few, many]
    assert list(scratch.get_ydata()) == pytest.approx([100 * row.cells["age_exact"].mean for row in table.rows[:2]])
    assert "LMTCNN-1-1, transfer svm" in ages
    assert [name for name in figures if name.startswith("confusion") and "0.3" in name] == []


def test_rows_are_compared_with_scratch_on_as_many_faces_and_may_start_from_the_weights_of_their_fold(
    tmp_path: Path,
) -> None:
    def one(fold: int, share: float, wrong: list[int], policy: Literal["none", "whole"] = "none") -> Job:
        scratch = job(tmp_path, "tiny", ("age",), fold)
        run = scratch.run.model_copy(update={"training_share": share, "transfer": Transfer(name=policy)})
        keys = {} if policy == "none" else {"transfer": {"name": policy}, "weights": f"sha{fold}"}
        folder = RunFolder(tmp_path / f"tiny-f{fold}-{policy}-{share}")
        return finish(replace(scratch, run=run, keys=keys, folder=folder), wrong=wrong)

    jobs = [
        *(one(fold, 0.2, [1, 2, 3, 4]) for fold in (0, 1)),
        *(one(fold, 1.0, [1, 2]) for fold in (0, 1)),
        *(one(fold, 0.2, [1], "whole") for fold in (0, 1)),
        *(one(fold, 1.0, [1], "whole") for fold in (0, 1)),
    ]
    table = build_table(load_records(jobs), (), {}, reference="tiny")
    scratch_few, scratch, whole_few, whole = table.rows
    assert not scratch.differences and not scratch_few.differences
    assert whole_few.differences["age_exact"].mean == pytest.approx(3 / 16)
    assert whole.differences["age_exact"].mean == pytest.approx(1 / 16)
    assert table.reference_title == "TINY, from scratch, on as many training faces"
    mixed = replace(jobs[-1], keys={"transfer": {"name": "svm"}, "weights": "sha1"})
    with pytest.raises(UserError, match="different transfer must not share the row"):
        build_table(load_records([*jobs[:-1], mixed]), (), {})
