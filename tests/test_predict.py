"""Predicting image files: the very answers of the run's own evaluation, from whatever names the run and the images."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose

from agegender.commands.predict import answers_to, predict
from agegender.config.settings import PredictSettings, settings_of
from agegender.datasets.source import MAX_BYTES
from agegender.errors import UserError
from agegender.prediction.answers import Answer, TaskAnswer
from agegender.prediction.detector import load_detector
from agegender.prediction.output import render
from agegender.prediction.pictures import as_given, find_images
from agegender.prediction.trained import find_run, load
from agegender.runs.folder import RunFolder, identity
from agegender.runs.predictions import read_predictions
from asked_runs import ask, one_step_run
from commands import agegender

Run = Callable[..., RunFolder]
pytestmark = pytest.mark.usefixtures("hydra")


@pytest.fixture
def run(packs: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return partial(one_step_run, tmp_path_factory, packs)


@pytest.mark.parametrize(
    "words",
    [
        ("mode=sound",),
        ("mode=faithful", "evaluation.batch_size=16"),
        ("evaluation=flip",),
        ("mode=faithful", "evaluation=reestimated", "runs=alone"),
    ],
    ids=" ".join,
)
def test_image_files_get_the_answers_of_the_runs_own_predictions(
    run: Run, drawn: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    runs = "alone" if "runs=alone" in words else "runs"
    folder = run(*(word for word in words if word != "runs=alone"), runs=runs)
    own = read_predictions(folder.predictions)
    unreadable: dict[Path, str] = {}
    files = [tmp_path / f"{number}.jpg" for number in range(len(own))]  # the list may name a face twice
    for file, name in zip(files, own["image"], strict=True):
        shutil.copy(drawn / name, file)
    answers = answers_to(files, load(folder), False, unreadable)
    assert [said.file for said in answers] == files
    assert len(answers) == len(own) > 10 and not unreadable
    for task, count in (("age", 8), ("gender", 2)):
        saved = own[[f"{task}_p{k}" for k in range(count)]].to_numpy()
        tolerance = min(1e-5, 0.01 * np.ptp(saved, axis=0).max())  # far below what tells the faces apart
        np.testing.assert_allclose([x.tasks[task].posterior for x in answers], saved, rtol=0, atol=tolerance)
        assert [x.tasks[task].choice for x in answers] == own[f"{task}_pred"].tolist()


def test_a_run_has_three_names(run: Run) -> None:
    folder = run()
    runs = folder.path.parent
    run("mode=faithful", "evaluation.batch_size=16")
    folder.write("mlflow", {"key": "a1" * 16, "runs": {"sqlite": "5f" * 16}})
    for name in (str(folder.path), folder.identity, folder.identity[:-3], "5f" * 16):
        assert find_run(name, runs).path.resolve() == folder.path.resolve()
    with pytest.raises(UserError, match="give more of the name"):
        find_run("lmtcnn", runs)
    with pytest.raises(UserError, match="run=levi is neither"):
        find_run("levi", runs)


def test_weights_are_found_beside_or_missed_in_one_sentence(run: Run, tmp_path: Path) -> None:
    sound, flipped = run(), run("evaluation=flip")
    alone = RunFolder(tmp_path / flipped.identity)
    shutil.copytree(flipped.path, alone.path)
    alone.weights.unlink(missing_ok=True)
    alone.write("weights", {"trained_by": sound.identity})
    alone.finish()
    shutil.copytree(sound.path, tmp_path / sound.identity)
    theirs = load(sound).network.state_dict()
    assert all(torch.equal(weight, theirs[name]) for name, weight in load(alone).network.state_dict().items())
    usual, keys = alone.config.read_text(), alone.keys
    reestimated = keys | {"evaluation": keys["evaluation"] | {"statistics": "reestimated"}}
    alone.config.write_text(usual.replace("statistics: network", "statistics: reestimated"))
    alone.write("identity", {"identity": identity("lmtcnn_1_1", reestimated), "keys": reestimated})
    alone.finish()
    with pytest.raises(UserError, match="re-estimated from training faces"):
        load(alone)
    alone.config.write_text(usual)
    alone.write("identity", {"identity": identity("lmtcnn_1_1", keys), "keys": keys})
    alone.finish()
    shutil.rmtree(tmp_path / sound.identity)
    with pytest.raises(UserError, match="copy its folder beside it"):
        load(alone)
    (alone.path / "weights.json").unlink()
    alone.finish()
    with pytest.raises(UserError, match="holds no weights: copy"):
        load(alone)
    (alone.path / "done").unlink()
    with pytest.raises(UserError, match="holds no weights: finish the run"):
        load(alone)
    alone.weights.write_bytes(b"x" * 100)
    with pytest.raises(UserError, match="is damaged"):
        load(alone)


@pytest.fixture
def album(drawn: Path, tmp_path: Path) -> Path:
    """Three faces, in a folder of folders, and three files that are none."""
    album = tmp_path / "an album"
    (album / "more").mkdir(parents=True)
    for number, file in enumerate(sorted(drawn.glob("aligned/*/*.jpg"))[:3]):
        shutil.copy(file, album / ("more" if number else ".") / f"{number}.jpg")
    (album / "empty.jpg").touch()
    (album / "cut.JPG").write_bytes((album / "0.jpg").read_bytes()[:400])
    (album / "notes.txt").write_text("no image")
    return album


def test_the_rest_is_answered_when_images_are_unreadable(
    run: Run, album: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "out" / "answers.csv"
    assert ask(run(), album, "format=csv", f"output='{file}'") == 2
    rows = list(csv.DictReader(io.StringIO(file.read_text())))
    assert [row["image"] for row in rows] == [str(album / name) for name in ("0.jpg", "more/1.jpg", "more/2.jpg")]
    for row in rows:
        probabilities = [float(row[f"age_p{k}"]) for k in range(8)]
        assert sum(probabilities) == pytest.approx(1, abs=1e-6)
        assert int(row["age_pred"]) == int(np.argmax(probabilities))
    said = [line for line in caplog.messages if "jpg: " in line.lower()]
    assert len(said) == 2 and any("empty.jpg: empty file" in line for line in said)
    assert "2 of 5 images could not be read" in caplog.messages


def test_answers_are_printed_as_asked(run: Run, album: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(run(), album / "more" / "*.jpg", "format=json") == 0
    entries = json.loads(capsys.readouterr().out)
    assert [Path(entry["image"]).name for entry in entries] == ["1.jpg", "2.jpg"]
    assert list(entries[0]["age"]["probabilities"])[3] == "15-20"
    assert entries[0]["gender"]["probability"] == entries[0]["gender"]["probabilities"][entries[0]["gender"]["label"]]
    assert ask(run(), album / "0.jpg") == 0
    table = capsys.readouterr().out
    assert "annotated age group" in table and "annotated gender" in table and "not facts about a person" in table


def test_a_table_keeps_long_names_and_brackets_whole() -> None:
    tasks = {"gender": TaskAnswer(np.array([0.25, 0.75], np.float32), 1, ("m", "f"))}
    names = ("z" * 90 + ".jpg", "[red]face.jpg")
    text = render([Answer(Path(name), None, tasks) for name in names], ["gender"], "table", "a run", 60)
    assert text.count("f 75 %") == 2
    assert text.count("z") == 90 and "[red]face.jpg" in text


def test_batch_statistics_are_warned_of(run: Run, album: Path, caplog: pytest.LogCaptureFixture) -> None:
    sentence = "its answers depend on which images are given together (batches of 16"
    ask(run(), album / "0.jpg")
    assert not any(sentence in line for line in caplog.messages)
    ask(run("mode=faithful", "evaluation.batch_size=16"), album / "0.jpg")
    assert sum(sentence in line for line in caplog.messages) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["images=x"], "run is not set"),
        (["run=x"], "images is not set"),
        (["run=x", "images=nowhere/*.jpg"], "images=nowhere/.* names no image"),
        (["run=x", "images=x", "format=xml"], "format=xml must be 'table', 'csv' or 'json'"),
    ],
)
def test_mistakes_end_in_one_sentence(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        predict(settings_of(PredictSettings, compose("predict", overrides=words)))


def test_what_never_ends_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "album").mkdir()
    for pipe in (tmp_path / "pipe.jpg", tmp_path / "album" / "pipe.jpg"):
        os.mkfifo(pipe)
    huge = tmp_path / "huge.jpg"
    with huge.open("wb") as file:
        file.truncate(MAX_BYTES + 1)  # takes no room on the disk
    for images in ("/dev/zero", tmp_path / "pipe.jpg"):
        with pytest.raises(UserError, match=f"^images={images} is no regular file"):
            find_images(str(images))
    with pytest.raises(UserError, match="names no image"):
        find_images(str(tmp_path / "p*.jpg"))
    with pytest.raises(UserError, match=r"pipe.jpg is a link to nothing or no regular file: mend or remove it"):
        find_images(str(tmp_path / "album"))
    unreadable: dict[Path, str] = {}
    assert not list(as_given([*find_images(str(huge)), tmp_path / "pipe.jpg", Path("/dev/zero")], 64, unreadable))
    assert [reason.split(": ")[0].split(" has ")[-1] for reason in unreadable.values()] == [
        "400,000,001 bytes, above the limit of 400,000,000",
        f"{tmp_path}/pipe.jpg is no regular file",
        "/dev/zero is no regular file",
    ]


def test_copies_with_answers_are_no_images_to_ask_about(album: Path) -> None:
    shutil.copy(album / "0.jpg", album / "0.jpg.faces.png")
    assert album / "0.jpg.faces.png" not in find_images(str(album))


def test_a_missing_detector_is_named(run: Run, album: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "facenet_pytorch", None)
    load_detector.cache_clear()
    with pytest.raises(UserError, match=r"pip install 'agegender-bench\[faces\]'"):
        ask(run(), album, "faces=true", f"folder='{tmp_path}'")


def test_the_command_answers_on_standard_output_and_ends_with_a_status(run: Run, album: Path) -> None:
    words = ["predict", f"run='{run().path}'", f"images='{album}'", "format=csv"]
    command = [sys.executable, "-c", "from agegender.cli import main; main()", *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=album)
    assert done.returncode == 1, done.stderr
    assert len(list(csv.DictReader(io.StringIO(done.stdout)))) == 3
    assert "2 of 5 images could not be read" in done.stderr and "Traceback" not in done.stderr
    said = agegender(*words, cwd=album, status=141, unread=True)
    assert "2 of 5 images could not be read" in said and "Traceback" not in said and "Broken" not in said


def test_help_states_use_and_limits(tmp_path: Path) -> None:
    command = "import sys; sys.argv = ['agegender', 'predict', '--help']\nfrom agegender.cli import main\n"
    check = "try:\n    main()\nfinally:\n    print('LOADED', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", command + check], capture_output=True, text=True, cwd=tmp_path)
    text, _, modules = done.stdout.partition("LOADED")
    for words in ("guess at the label an annotator gave", "Not for decisions about people", "No image leaves this"):
        assert words in text
    assert not {"torch", "pandas", "mlflow", "PIL"} & set(modules.split())
