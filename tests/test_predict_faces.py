"""Faces in photographs: where they are found, how far their crops reach, how the answers are drawn on a copy."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agegender.prediction.answers import Answer, TaskAnswer
from agegender.prediction.detector import crop_box, find_faces, load_detector
from agegender.prediction.drawing import annotated, draw_copies
from asked_runs import ask, one_step_run

FAIRFACE = Path(__file__).parents[2] / "shared" / "data" / "fairface" / "fairface-224px-jpeg.zip"


def test_crops_reach_as_far_as_the_data_sets_do() -> None:
    assert crop_box((100, 100, 180, 200), "adience") == (64, 77, 216, 229)
    assert crop_box((100, 100, 180, 200), "generated") == crop_box((100, 100, 180, 200), "adience")
    left, top, right, bottom = crop_box((100, 100, 180, 200), "utkface")
    assert right - left == bottom - top == 93


def test_answers_are_drawn_on_a_copy(tmp_path: Path) -> None:
    album = tmp_path / "album"
    tasks = {"gender": TaskAnswer(np.array([0.25, 0.75], np.float32), 1, ("m", "f"))}
    answers = []
    for name in ("a/x.png", "b/x.png"):
        (album / name).parent.mkdir(parents=True)
        Image.new("RGB", (300, 200), "navy").save(album / name)
        answers.append(Answer(album / name, (100, 80, 160, 150), tasks))
    before = [file.file.read_bytes() for file in answers]
    copies = list(draw_copies(answers, tmp_path / "copies"))
    assert [copy.relative_to(tmp_path / "copies").as_posix() for copy in copies] == [
        "a/x.png.faces.png",
        "b/x.png.faces.png",
    ]
    assert [file.file.read_bytes() for file in answers] == before
    copy = np.asarray(Image.open(copies[0]))
    assert (copy[120, 100] == (255, 235, 120)).all() and (copy[120, 130] == (0, 0, 128)).all()
    assert (copy[:78] != (0, 0, 128)).any(), "the answer stands above the box"


def test_answers_at_the_border_stay_in_the_picture() -> None:
    tasks = {"gender": TaskAnswer(np.array([0.25, 0.75], np.float32), 1, ("m", "f"))}
    picture = Image.new("RGB", (120, 90), "navy")
    copy = annotated(picture, [Answer(Path("x.png"), (100, -10, 130, 40), tasks)])
    assert copy.size == picture.size
    assert (np.asarray(copy)[:30, :, 2] < 80).any(), "letters, as nothing else, have little blue"


def drawn_six(drawn: Path) -> list[Image.Image]:
    return [Image.open(file).convert("RGB") for file in sorted(drawn.glob("aligned/*/*.jpg"))[::20]]


def real_six(_: Path) -> list[Image.Image]:
    if not FAIRFACE.exists():
        pytest.skip("the shared FairFace faces are not here")
    with zipfile.ZipFile(FAIRFACE) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))[:6]
        return [Image.open(io.BytesIO(archive.read(name))).convert("RGB") for name in names]


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize("six", [drawn_six, real_six])
def test_faces_of_a_photograph_are_found_and_answered(
    packs: Path,
    drawn: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
    six: Callable[[Path], list[Image.Image]],
) -> None:
    pytest.importorskip("facenet_pytorch", reason="the extra `faces` is not installed")
    load_detector.cache_clear()
    places = [(40 + 180 * column, 40 + 180 * row) for row in range(2) for column in range(3)]
    canvas = Image.new("RGB", (580, 400), (127, 127, 127))
    for face, place in zip(six(drawn), places, strict=True):
        canvas.paste(face.resize((140, 140)), place)
    canvas.save(tmp_path / "six.png")
    before = (tmp_path / "six.png").read_bytes()
    folder = one_step_run(tmp_path_factory, packs)
    assert ask(folder, tmp_path / "six.png", "faces=true", "format=json", f"folder='{tmp_path}'") == 0
    boxes = [entry["box"] for entry in json.loads(capsys.readouterr().out)]
    middles = [((left + right) / 2, (top + bottom) / 2) for left, top, right, bottom in boxes]
    hits = sum(any(x < u < x + 140 and y < v < y + 140 for u, v in middles) for x, y in places)
    assert hits >= 4 and len(boxes) <= 7
    with Image.open(tmp_path / "six.png.faces.png") as copy:
        assert copy.size == canvas.size and copy.tobytes() != canvas.tobytes()
    assert (tmp_path / "six.png").read_bytes() == before


def test_where_there_is_no_face_none_is_found() -> None:
    pytest.importorskip("facenet_pytorch", reason="the extra `faces` is not installed")
    load_detector.cache_clear()
    assert find_faces(Image.new("RGB", (200, 200), "grey")) == find_faces(Image.new("RGB", (16, 16))) == []
