"""What a resume starts from: never other weights than the validation stated of them, and no work is thrown away."""

import errno
import json
import os
import shutil
from collections.abc import Mapping
from math import nan
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from agegender.errors import UserError
from agegender.runs.folder import RunFolder
from agegender.runs.history import forget_after, selected_validation
from agegender.training.checkpoints import best_weights, newest_checkpoint, resume_point
from agegender.training.module import FaceModule
from short_runs import SHORT, Overrides, cut_before, run

SCORES = {2: 0.9, 4: 0.2, 6: 0.5}


@pytest.mark.usefixtures("hydra")
def test_a_run_whose_folder_was_moved_selects_the_same_weights(
    overrides: Overrides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[int, dict[str, torch.Tensor]] = {}

    def score(self: FaceModule) -> None:
        self.log("val/score", SCORES[self.global_step])
        self.log("val/age", self.global_step / 10)
        seen[self.global_step] = {name: x.clone() for name, x in self.network.state_dict().items()}
        self._validation.clear()

    monkeypatch.setattr(FaceModule, "on_validation_epoch_end", score)
    words = (*SHORT, "recipe.steps=6")
    with cut_before(5):
        run(overrides(*words))
    shutil.move(tmp_path / "runs", tmp_path / "moved")
    (tmp_path / "link").symlink_to("moved")
    _, folder = run(overrides(*words, f"paths.runs={tmp_path}/link"))
    weights = load_file(folder.weights)
    assert all(torch.equal(weights[name], x) for name, x in seen[2].items())
    assert folder.read("metrics")["validation/age"] == pytest.approx(0.2)


def unfinished(path: Path, scores: Mapping[int, float] = SCORES) -> RunFolder:
    """A run that was stopped after these validations; the weights of each are its step."""
    folder = RunFolder(path / "run")
    folder.checkpoints.mkdir(parents=True)
    lines = [{"step": step - 1, "time": 0, "values": {"val/score": score}} for step, score in scores.items()]
    folder.history.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for step in [*scores][-2:]:
        checkpoint(folder, f"step={step}", step)
    checkpoint(folder, "best", max(scores, key=lambda step: scores[step]))
    return folder


def checkpoint(folder: RunFolder, name: str, step: int) -> Path:
    file = folder.checkpoints / f"{name}.ckpt"
    torch.save({"global_step": step, "state_dict": {"w": torch.full((100,), float(step))}}, file)
    return file


def names(folder: RunFolder) -> list[str]:
    return sorted(file.name for file in folder.checkpoints.iterdir())


def test_a_whole_folder_goes_on_from_its_newest_state_with_its_best_weights(tmp_path: Path) -> None:
    folder = unfinished(tmp_path)
    assert resume_point(folder, "best") == (str(folder.checkpoints / "step=6.ckpt"), 6)
    assert best_weights(folder)["w"][0] == 2


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:500])


def change_a_weight(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[content.index(b"\x00\x00\x00@" * 4)] ^= 1  # one bit of the number 2: torch itself would read it
    file.write_bytes(content)


def empty(file: Path) -> None:
    file.write_bytes(b"")


DAMAGES = [cut, change_a_weight, empty, Path.unlink]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_without_its_best_weights_a_run_goes_back_to_the_state_that_holds_them(
    tmp_path: Path, damage: object, caplog: pytest.LogCaptureFixture
) -> None:
    folder = unfinished(tmp_path, {2: 0.9, 4: 0.5})
    assert callable(damage)
    damage(folder.checkpoints / "best.ckpt")
    with pytest.raises(UserError, match=r"best.ckpt does not hold the best weights .* are those of step 2: run the"):
        best_weights(folder)
    assert resume_point(folder, "best") == (str(folder.checkpoints / "step=2.ckpt"), 2)
    assert names(folder) == ["best.ckpt", "step=2.ckpt", "step=4.ckpt.aside"]
    assert "step=4.ckpt is set aside" in caplog.text and "they are taken from" in caplog.text
    forget_after(folder.history, 2)
    assert best_weights(folder)["w"][0] == 2


def test_a_run_that_was_killed_before_it_wrote_its_best_weights_takes_them_from_its_state(tmp_path: Path) -> None:
    folder = unfinished(tmp_path, {2: 0.2, 4: 0.5})
    checkpoint(folder, "best", 2)
    assert resume_point(folder, "best") == (str(folder.checkpoints / "step=4.ckpt"), 4)
    assert best_weights(folder)["w"][0] == 4


def test_a_run_whose_best_weights_are_nowhere_begins_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = unfinished(tmp_path)
    checkpoint(folder, "best", 6)
    assert resume_point(folder, "last") == (str(folder.checkpoints / "step=6.ckpt"), 6)
    assert resume_point(folder, "best") == (None, 0)
    assert names(folder) == ["best.ckpt.aside", "step=4.ckpt.aside", "step=6.ckpt.aside"]
    assert "of step 2, are not in" in caplog.text and "training begins anew" in caplog.text


def test_a_run_without_its_history_begins_anew(tmp_path: Path) -> None:
    folder = unfinished(tmp_path)
    folder.history.unlink()
    assert resume_point(folder, "best") == (None, 0)
    assert selected_validation(folder.history, "last", 6) == {}


def test_a_score_that_is_no_number_is_not_the_best(tmp_path: Path) -> None:
    folder = unfinished(tmp_path, {2: nan, 4: 0.5, 6: nan})
    checkpoint(folder, "best", 4)
    assert resume_point(folder, "best") == (str(folder.checkpoints / "step=6.ckpt"), 6)
    assert best_weights(folder)["w"][0] == 4


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EIO, os.strerror(errno.EIO)), "Input/output error"),
        (OSError(errno.ESTALE, os.strerror(errno.ESTALE)), "Stale file handle"),
        (PermissionError(errno.EACCES, "Permission denied"), "Permission denied"),
        (MemoryError(), "out of memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "can't allocate memory"),
    ],
    ids=str,
)
@pytest.mark.parametrize("where", ["pathlib.Path.open", "torch.load"])
def test_a_checkpoint_that_cannot_be_read_now_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, error: Exception, said: str
) -> None:
    folder = unfinished(tmp_path)
    before = names(folder)

    def fail(*arguments: object, **words: object) -> None:
        raise error

    monkeypatch.setattr(where, fail)
    with pytest.raises(UserError, match=rf"step=6.ckpt cannot be read \(.*{said}"):
        newest_checkpoint(folder.checkpoints)
    assert names(folder) == before


def test_files_with_other_names_are_no_states_of_the_run(tmp_path: Path) -> None:
    folder = unfinished(tmp_path)
    for name in ("step=20-v1", "step=20 (copy)", "step=", "step=-1", "step=2x", "step=20.ckpt"):
        shutil.copy(folder.checkpoints / "step=6.ckpt", folder.checkpoints / f"{name}.ckpt")
    assert resume_point(folder, "best") == (str(folder.checkpoints / "step=6.ckpt"), 6)
    shutil.copy(folder.checkpoints / "step=6.ckpt", folder.checkpoints / "step=20.ckpt")
    assert resume_point(folder, "best") == (str(folder.checkpoints / "step=6.ckpt"), 6)
    assert "step=20.ckpt.aside" in names(folder), "its step is another than its name says"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\xff\xfe",
        b"[1, 2]",
        b'"step"',
        b'{"step": 1}',
        b'{"step": "1", "values": {}}',
        b'{"step": true, "values": {}}',
        b'{"step": 1, "values": [0.5]}',
        b'{"step": 1, "values": {"val/score": "0.5"}}',
        b'{"step": 1, "values": {"val/score": null}}',
        b"[" * 100_000,
    ],
    ids=lambda line: line[:50].decode(errors="replace"),
)
def test_a_damaged_history_is_one_sentence_and_stays_as_it_is(tmp_path: Path, line: bytes) -> None:
    folder = unfinished(tmp_path)
    damaged = folder.history.read_bytes() + line + b"\n"
    folder.history.write_bytes(damaged)
    sentence = r"history.jsonl, line 4, is not a logged step: remove that line"
    for read in (
        lambda: resume_point(folder, "best"),
        lambda: forget_after(folder.history, 2),
        lambda: selected_validation(folder.history, "best", 6),
    ):
        with pytest.raises(UserError, match=sentence):
            read()
    assert folder.history.read_bytes() == damaged


def test_a_half_written_last_line_of_the_history_is_nothing(tmp_path: Path) -> None:
    folder = unfinished(tmp_path)
    whole = folder.history.read_bytes()
    folder.history.write_bytes(whole + b'{"step": 7, "time": 0, "val')
    assert resume_point(folder, "best")[1] == 6
    forget_after(folder.history, 6)
    assert folder.history.read_bytes() == whole
