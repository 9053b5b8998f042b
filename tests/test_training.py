"""Training end to end on drawn faces: repeatable, told by what it leaves, refused where no run can come of it."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from hydra import compose
from safetensors.torch import load_file

from agegender.commands.train import train
from agegender.config.resolve import resolve_run
from agegender.data.batches import EvaluationBatches
from agegender.data.datamodule import order_of
from agegender.errors import UserError
from agegender.runs.folder import RunFolder
from agegender.runs.predictions import read_predictions
from agegender.training.fit import build_network, fit
from agegender.training.run_data import pack_of
from short_runs import SHORT, Overrides, faces_in, folder_of, run

pytestmark = pytest.mark.usefixtures("hydra")


def test_the_same_command_twice_gives_bit_identical_predictions(overrides: Overrides, tmp_path: Path) -> None:
    _, first = run(overrides(*SHORT))
    _, second = run(overrides(*SHORT, f"paths.runs={tmp_path}/again"))
    assert first.identity == second.identity
    assert first.predictions.read_bytes() == second.predictions.read_bytes()


def test_compiled_steps_train_the_same_networks(
    overrides: Overrides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two systems in one process, through Lightning, with the front end that all backends of torch.compile share."""
    compilation, compiled = torch.compile, list[object]()

    def front_end(function: object, **_: object) -> object:
        compiled.append(function)
        return compilation(function, backend="aot_eager")

    monkeypatch.setattr(torch, "compile", front_end)
    for system in ("lmtcnn_1_1", "lmtcnn_2_1"):
        words = overrides(*SHORT, f"system={system}")
        _, plain = run(words)
        _, other = run([*words, "trainer.compile=true", f"paths.runs={tmp_path}/compiled"])
        tables = [read_predictions(folder.predictions).filter(regex="_p[0-9]") for folder in (plain, other)]
        pd.testing.assert_frame_equal(*tables, atol=1e-4, rtol=0)
    assert len(compiled) == 2


def test_a_run_folder_tells_the_whole_story(overrides: Overrides) -> None:
    config, folder = run(overrides(*SHORT))
    assert folder.state == "done"
    assert not folder.checkpoints.exists()
    predictions = read_predictions(folder.predictions)
    rows = faces_in(config)["test"].table
    assert predictions["image"].tolist() == rows["image"].tolist()
    assert set(predictions["fold"]) == {0}
    posterior = predictions.filter(like="age_p").drop(columns="age_pred")
    assert posterior.shape[1] == 8 and (posterior.sum(axis=1) - 1).abs().max() < 1e-6
    assert (posterior.to_numpy().argmax(1) == predictions["age_pred"]).all()
    exact = (predictions["age_true"] == predictions["age_pred"]).mean()
    assert folder.read("metrics")["test/age_exact"] == pytest.approx(exact)
    assert folder.read("metrics")["parameters"] == 7_488_426
    assert folder.read("environment")["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    build_network(resolve_run(config)).load_state_dict(load_file(folder.weights))


def test_faithful_mode_predicts_in_full_batches_and_scores_each_face_once(overrides: Overrides) -> None:
    config, folder = run(overrides(*SHORT, "mode=faithful"))
    network = build_network(resolve_run(config))
    network.load_state_dict(load_file(folder.weights))
    test = faces_in(config)["test"]
    order = order_of(test, "shuffled", config.seed)
    batches = {
        wrap: EvaluationBatches(test, size=227, batch_size=128, wrap=wrap, order=order)[0] for wrap in (True, False)
    }
    assert len(batches[True]["rows"]) == 128 > len(batches[False]["rows"]) == len(test.table)
    with torch.inference_mode():
        posterior = {wrap: network.eval()(b["images"])["age"].softmax(1) for wrap, b in batches.items()}
    saved = torch.from_numpy(read_predictions(folder.predictions)[[f"age_p{k}" for k in range(8)]].to_numpy())
    saved = saved[order]
    torch.testing.assert_close(saved, posterior[True][: len(saved)], rtol=1e-4, atol=1e-6)
    assert not torch.allclose(saved, posterior[False], rtol=1e-4, atol=1e-6)


def test_bf16_is_trained_and_clipped_like_float32(overrides: Overrides) -> None:
    """Lightning refuses to clip what a fused optimiser might unscale, in bf16 as well, where nothing is scaled."""
    config, folder = run(overrides(*SHORT, "precision=bf16-mixed"))
    assert config.recipe.clip_norm > 0
    assert folder.state == "done"


def test_a_run_is_trained_by_one_process(overrides: Overrides) -> None:
    config = compose("train", overrides=overrides(*SHORT))
    folder = folder_of(config)
    with folder.claimed(), pytest.raises(UserError, match="being trained by another process"):
        train(config)
    train(config)
    assert folder.state == "done"


def test_faces_without_a_label_count_for_the_other_task_only(overrides: Overrides) -> None:
    splits = {}
    for system in ("lmtcnn_2_1", "lmtcnn_2_1_age", "lmtcnn_2_1_gender"):
        config = compose("train", overrides=overrides(f"system={system}", "protocol=subject_exclusive"))
        splits[system] = pd.concat([part.table for part in faces_in(config).values()])
    assert splits["lmtcnn_2_1"]["gender"].isna().any()
    assert splits["lmtcnn_2_1_gender"]["gender"].notna().all()
    assert len(splits["lmtcnn_2_1_gender"]) < len(splits["lmtcnn_2_1"])
    assert splits["lmtcnn_2_1_age"]["age_group"].notna().all()


def test_what_can_change_a_result_changes_the_identity_and_nothing_else_does(overrides: Overrides, packs: Path) -> None:
    def identity(*more: str) -> str:
        config = compose("train", overrides=overrides(*more))
        return folder_of(config).identity

    base = identity()
    for more in (
        "fold=1",
        "seed=1",
        "mode=faithful",
        "recipe.steps=7",
        "system=lmtcnn_2_1_age",
        "precision=bf16-mixed",
    ):
        assert identity(more) != base, more
    assert identity("protocol=subject_exclusive") != base != identity("protocol.validation=0.2")
    for more in ("trainer.workers=2", "tracking=none", "trainer.threads=2", "trainer.accelerator=auto"):
        assert identity(more) == base, more
    assert identity("system=lmtcnn_2_1_gender") == identity("system=lmtcnn_2_1_gender", "system.title=Other")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("fold=5", "fold=5"),
        ("recipe.steps=-1", "recipe.steps=-1"),
        ("recipe.batch_size=0", "recipe.batch_size=0"),
        ("mode=quick", "mode=quick"),
        ("data.size=200", "data.size=200 is smaller than the 227"),
        ("seed=-1", "seed=-1"),
        ("seed=x", "seed=x"),
    ],
)
def test_values_no_run_can_have_are_refused(overrides: Overrides, more: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve_run(compose("train", overrides=overrides(more)))


def test_fit_needs_labels_for_its_parts(overrides: Overrides, packs: Path) -> None:
    config = compose("train", overrides=overrides("protocol=utkface_exact"))
    with pytest.raises(UserError, match="utkface_exact"):
        fit(config, pack_of(resolve_run(config).data), RunFolder(packs / "never"))
