"""A disk that is full, at whatever file of a run, is one sentence, and the same command goes on later."""

import logging
import re
from pathlib import Path

import pytest
from hydra import compose

from agegender.commands.train import train
from agegender.errors import UserError, disk_explained
from agegender.training.logger import History
from short_runs import SHORT, Overrides, folder_of

FULL = Path("/dev/full")  # every write to it fails as on a full disk
pytestmark = [
    pytest.mark.usefixtures("hydra"),
    pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full"),
]
FILES = [
    "config.yaml",
    "checkpoints/step=2.ckpt",
    "checkpoints/best.ckpt",
    "predictions.csv",
    "metrics.json",
    "weights.safetensors",
    "weights.json",
]


def test_each_file_that_finds_no_room_is_one_sentence_and_the_run_goes_on_later(
    overrides: Overrides, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    config = compose("train", overrides=overrides(*SHORT))
    folder = folder_of(config)
    for name in FILES:
        partial = folder.path / f"{name}.partial"
        partial.parent.mkdir(parents=True, exist_ok=True)
        partial.symlink_to(FULL)
        sentence = (
            rf"{re.escape(str(folder.path / name))} has no room on its disk \(No space left on device\): make room"
        )
        with pytest.raises(UserError, match=sentence):
            train(config)
        if name != "config.yaml":
            assert re.match(sentence, folder.read("failed")["error"])
    (folder.path / "metrics.json.partial").symlink_to(FULL)
    (folder.path / "failed.json.partial").symlink_to(FULL)
    with pytest.raises(UserError, match=r"metrics.json has no room"):
        train(config)
    assert "failed.json cannot be written" in caplog.text
    folder.log.unlink()
    folder.log.symlink_to(FULL)
    with caplog.at_level(logging.INFO, "agegender.commands.train"):
        train(config)
    assert folder.state == "done"
    assert caplog.text.count("train.log is written no further") == 1
    assert "Logging error" not in capsys.readouterr().err


def test_a_curve_that_finds_no_room_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").symlink_to(FULL)
    with (
        pytest.raises(UserError, match=rf"{re.escape(str(tmp_path))} has no room on its disk"),
        disk_explained(tmp_path),
    ):
        History(tmp_path / "history.jsonl").log_metrics({"val/score": 0.5}, step=1)


@pytest.mark.parametrize("error", [ConnectionResetError(104, "gone"), TimeoutError(110, "late"), OSError("no number")])
def test_an_error_of_the_network_is_none_of_the_disk(tmp_path: Path, error: OSError) -> None:
    with pytest.raises(type(error)), disk_explained(tmp_path):
        raise error
