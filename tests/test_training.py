"""Training end to end on drawn faces: repeatable, resumable, selected as the mode says, told by what it leaves."""

import json
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Timer
from safetensors.torch import load_file

from agegender.data.batches import EvaluationBatches, TrainingBatches
from agegender.errors import UserError
from agegender.experiments import pack_of
from agegender.predictions import read_predictions
from agegender.runs import RunFolder
from agegender.settings import check, config_folder, identity_keys, plain, run_folder
from agegender.training.checkpoints import newest_checkpoint
from agegender.training.evaluate import order_of
from agegender.training.fit import _train, build_network, faces_of, fit, quiet_lightning
from agegender.training.history import selected_validation
from agegender.training.module import FaceModule
from agegender.training.setup import set_up
from agegender.verbs.train import train

SHORT = (
    "recipe.steps=4",
    "recipe.batch_size=4",
    "recipe.validate_every=2",
    "tracking=none",
)
Overrides = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def hydra() -> Iterator[None]:
    with initialize_config_dir(config_folder(), version_base="1.3"):
        yield


def run(overrides: list[str]) -> tuple[DictConfig, RunFolder]:
    config = compose("train", overrides=overrides)
    train(config)
    return config, run_folder(config, pack_of(config).digest)


def test_the_same_command_twice_gives_bit_identical_predictions(overrides: Overrides, tmp_path: Path) -> None:
    _, first = run(overrides(*SHORT))
    _, second = run(overrides(*SHORT, f"paths.runs={tmp_path}/again"))
    assert first.identity == second.identity
    assert first.predictions.read_bytes() == second.predictions.read_bytes()


@pytest.mark.parametrize("mode", ["sound", "faithful"])
def test_an_interrupted_run_ends_as_if_it_had_not_been(
    overrides: Overrides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    words = (*SHORT, f"mode={mode}", "recipe.dropout=0.5", "recipe.steps=6")
    _, whole = run(overrides(*words))
    config = compose("train", overrides=overrides(*words, f"paths.runs={tmp_path}/cut"))
    folder = run_folder(config, pack_of(config).digest)

    class Cut(Exception):
        pass

    def cut_at(step: int) -> Callable[..., object]:
        original = TrainingBatches.step

        def wrapped(self: TrainingBatches, number: int) -> object:
            if number == step:
                raise Cut
            return original(self, number)

        return wrapped

    with monkeypatch.context() as patch:
        patch.setattr("agegender.data.batches.TrainingBatches.step", cut_at(5))
        with pytest.raises(Cut):
            train(config)
    assert folder.state == "failed"
    newest, step = newest_checkpoint(folder.checkpoints)
    assert newest and step == 4
    before = torch.load(newest, weights_only=True)
    elapsed = before["callbacks"]["Timer"]["time_elapsed"]
    assert elapsed["train"] > 0
    elapsed["train"] += 1000
    torch.save(before, newest)
    train(config)
    assert 1000 < folder.read("metrics")["seconds"] < 1000 + 600, "the seconds before the resume count"
    assert folder.state == "done"
    assert folder.predictions.read_bytes() == whole.predictions.read_bytes()
    ours, theirs = ([json.loads(x) for x in f.history.read_text().splitlines()] for f in (folder, whole))
    assert [(x["step"], x["values"]) for x in ours] == [(x["step"], x["values"]) for x in theirs]


def test_a_truncated_checkpoint_is_passed_over(overrides: Overrides, tmp_path: Path) -> None:
    torch.save({"global_step": 2}, tmp_path / "step=2.ckpt")
    (tmp_path / "step=4.ckpt").write_bytes((tmp_path / "step=2.ckpt").read_bytes()[:100])
    assert newest_checkpoint(tmp_path) == (str(tmp_path / "step=2.ckpt"), 2)
    assert newest_checkpoint(tmp_path / "nowhere") == (None, 0)


@contextmanager
def no_room_for_files_over(limit: int) -> Iterator[None]:
    """A limit on the size of files stands for a full disk: both are an error of the write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_without_room_for_a_checkpoint_is_one_sentence_and_nothing_is_lost(overrides: Overrides) -> None:
    words = overrides(*SHORT)
    with no_room_for_files_over(1_000_000), pytest.raises(UserError, match=r"checkpoints has no room for a checkpoint"):
        run(words)
    _, folder = run(words)
    assert folder.state == "done"


def test_the_last_two_checkpoints_are_kept_so_that_one_can_be_broken(overrides: Overrides) -> None:
    config = compose("train", overrides=overrides(*SHORT, "recipe.steps=6"))
    folder = run_folder(config, pack_of(config).digest)
    set_up(folder, config, identity_keys(config, pack_of(config).digest))
    module = FaceModule(build_network(config), plain(config.recipe), 0)
    with quiet_lightning():
        _train(config, module, faces_of(config, pack_of(config)), folder, None, Timer())
    assert sorted(file.name for file in folder.checkpoints.glob("step=*")) == ["step=4.ckpt", "step=6.ckpt"]


def test_validation_of_the_evaluated_weights_is_the_first_best_or_the_last(tmp_path: Path) -> None:
    scores = [(1, 0.4, 0.3), (3, 0.6, 0.7), (5, 0.6, 0.1), (7, 0.5, 0.2)]
    lines = [{"step": s, "time": 0, "values": {"val/score": x, "val/age": age, "val/loss": 1}} for s, x, age in scores]
    history = tmp_path / "history.jsonl"
    history.write_text(
        "".join(json.dumps(line) + "\n" for line in [*lines, {"step": 8, "time": 0, "values": {"x": 1}}])
    )
    assert selected_validation(history, "best", 9) == {"validation/age": 0.7}
    assert selected_validation(history, "last", 8) == {"validation/age": 0.2}
    assert selected_validation(history, "last", 9) == {}


def test_a_run_folder_tells_the_whole_story(overrides: Overrides) -> None:
    config, folder = run(overrides(*SHORT))
    assert folder.state == "done"
    assert not folder.checkpoints.exists()
    predictions = read_predictions(folder.predictions)
    rows = faces_of(config, pack_of(config))["test"].table
    assert predictions["image"].tolist() == rows["image"].tolist()
    assert set(predictions["fold"]) == {0}
    posterior = predictions.filter(like="age_p").drop(columns="age_pred")
    assert posterior.shape[1] == 8 and (posterior.sum(axis=1) - 1).abs().max() < 1e-6
    assert (posterior.to_numpy().argmax(1) == predictions["age_pred"]).all()
    exact = (predictions["age_true"] == predictions["age_pred"]).mean()
    assert folder.read("metrics")["test/age_exact"] == pytest.approx(exact)
    assert folder.read("metrics")["parameters"] == 7_614_634
    assert folder.read("environment")["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    build_network(config).load_state_dict(load_file(folder.weights))


SCORES = {2: 0.2, 4: 0.9, 6: 0.5}


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> dict[int, dict[str, torch.Tensor]]:
    """Validation scores as in SCORES, whatever the network answers; the weights at each of them."""
    seen: dict[int, dict[str, torch.Tensor]] = {}

    def score(self: FaceModule) -> None:
        self.log("val/score", SCORES[self.global_step])
        seen[self.global_step] = {name: x.clone() for name, x in self.network.state_dict().items()}
        self._validation.clear()

    monkeypatch.setattr(FaceModule, "on_validation_epoch_end", score)
    return seen


@pytest.mark.parametrize(("mode", "step"), [("sound", 4), ("faithful", 6)])
@pytest.mark.parametrize("cut", [None, "step 5", "prediction"])
def test_the_weights_evaluated_are_those_the_mode_selects(
    overrides: Overrides,
    scripted: dict[int, dict[str, torch.Tensor]],
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    step: int,
    cut: str | None,
) -> None:
    words = overrides(*SHORT, "recipe.steps=6", f"mode={mode}", "system=lmtcnn_2_1_gender")
    if cut:
        where = {"step 5": (TrainingBatches, "step"), "prediction": (EvaluationBatches, "__len__")}[cut]
        with monkeypatch.context() as patch:
            original = getattr(*where)

            def stop(self: object, *arguments: int) -> object:
                if (cut == "prediction" and 6 not in scripted) or (cut == "step 5" and arguments != (5,)):
                    return original(self, *arguments)
                raise KeyError("cut")

            patch.setattr(*where, stop)
            with pytest.raises(KeyError, match="cut"):
                run(words)
    _, folder = run(words)
    weights = load_file(folder.weights)
    assert weights.keys() == scripted[step].keys()
    assert all(torch.equal(weights[name], x) for name, x in scripted[step].items())


def test_faithful_mode_predicts_in_full_batches_and_scores_each_face_once(overrides: Overrides) -> None:
    config, folder = run(overrides(*SHORT, "mode=faithful"))
    network = build_network(config)
    network.load_state_dict(load_file(folder.weights))
    test = faces_of(config, pack_of(config))["test"]
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


def test_a_run_is_trained_by_one_process(overrides: Overrides) -> None:
    config = compose("train", overrides=overrides(*SHORT))
    folder = run_folder(config, pack_of(config).digest)
    with folder.claimed(), pytest.raises(UserError, match="being trained by another process"):
        train(config)
    train(config)
    assert folder.state == "done"


def test_faces_without_a_label_count_for_the_other_task_only(overrides: Overrides) -> None:
    parts = {}
    for system in ("lmtcnn_2_1", "lmtcnn_2_1_age", "lmtcnn_2_1_gender"):
        config = compose("train", overrides=overrides(f"system={system}", "protocol=subject_exclusive"))
        parts[system] = pd.concat([part.table for part in faces_of(config, pack_of(config)).values()])
    assert parts["lmtcnn_2_1"]["gender"].isna().any()
    assert parts["lmtcnn_2_1_gender"]["gender"].notna().all()
    assert len(parts["lmtcnn_2_1_gender"]) < len(parts["lmtcnn_2_1"])
    assert parts["lmtcnn_2_1_age"]["age_group"].notna().all()


def test_what_can_change_a_result_changes_the_identity_and_nothing_else_does(overrides: Overrides, packs: Path) -> None:
    def identity(*more: str) -> str:
        config = compose("train", overrides=overrides(*more))
        return run_folder(config, pack_of(config).digest).identity

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
        check(compose("train", overrides=overrides(more)))


def test_fit_needs_labels_for_its_parts(overrides: Overrides, packs: Path) -> None:
    config = compose("train", overrides=overrides("protocol=utkface_exact"))
    with pytest.raises(UserError, match="utkface_exact"):
        fit(config, pack_of(config), RunFolder(packs / "never"))
