"""Runs that are stopped go on where they were, and end with the weights that the mode selects."""

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from hydra import compose
from pytorch_lightning.callbacks import Timer
from safetensors.torch import load_file

from agegender.commands.train import train
from agegender.config.resolve import resolve_run
from agegender.data.batches import EvaluationBatches, TrainingBatches
from agegender.errors import UserError
from agegender.runs.history import selected_validation
from agegender.training.checkpoints import newest_checkpoint
from agegender.training.fit import _train, build_network, quiet_lightning
from agegender.training.module import FaceModule
from agegender.training.run_data import data_of, pack_of
from agegender.training.run_identity import identity_keys
from agegender.training.setup import set_up
from short_runs import SHORT, Overrides, cut_before, faces_in, folder_of, run

pytestmark = pytest.mark.usefixtures("hydra")


@pytest.mark.parametrize("mode", ["sound", "faithful"])
def test_an_interrupted_run_ends_as_if_it_had_not_been(overrides: Overrides, tmp_path: Path, mode: str) -> None:
    # Each face is asked once: the 128 of a faithful batch say no more about where training went on.
    words = (*SHORT, f"mode={mode}", "recipe.dropout=0.5", "recipe.steps=6", "evaluation.repeats=none")
    _, whole = run(overrides(*words))
    config = compose("train", overrides=overrides(*words, f"paths.runs={tmp_path}/cut"))
    folder = folder_of(config)

    with cut_before(5):
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
    with no_room_for_files_over(1_000_000), pytest.raises(UserError, match=r"step=2.ckpt has no room on its disk"):
        run(words)
    _, folder = run(words)
    assert folder.state == "done"


def test_the_last_two_checkpoints_are_kept_so_that_one_can_be_broken(overrides: Overrides) -> None:
    config = compose("train", overrides=overrides(*SHORT, "recipe.steps=6"))
    folder = folder_of(config)
    set_up(folder, resolve_run(config), identity_keys(resolve_run(config), pack_of(resolve_run(config).data).digest))
    module = FaceModule(build_network(resolve_run(config)), resolve_run(config).recipe.model_dump(), 0)
    with quiet_lightning():
        _train(resolve_run(config), module, data_of(resolve_run(config), faces_in(config)), folder, None, Timer())
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
    words = overrides(*SHORT, "recipe.steps=6", f"mode={mode}", "system=lmtcnn_1_1_gender", "evaluation.repeats=none")
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
