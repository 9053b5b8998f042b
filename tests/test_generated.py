import csv
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from agegender.datasets.generated import generate, is_generated
from agegender.datasets.synthetic.casting import GROUP_ROWS, plan_faces
from agegender.datasets.synthetic.face import draw_face
from agegender.datasets.synthetic.traits import draw_nuisance, draw_traits
from agegender.errors import UserError
from test_pack_stopped import wait_for

FACES, USERS, SIZE = 400, 40, 32
ADIENCE = Path(__file__).parents[2] / "shared" / "data" / "adience" / "folds"
FIELDS = {
    "user_id": r"\d+@N\d\d",
    "original_image": r"\d+_[0-9a-f]{10}_o\.jpg",
    "face_id": r"\d+",
    "age": r"\(\d+, \d+\)|\d+|None",
    "gender": r"[mfu]?",
    "x": r"\d+",
    "y": r"\d+",
    "dx": r"\d+",
    "dy": r"\d+",
    "tilt_ang": r"-?\d+",
    "fiducial_yaw_angle": r"-?(0|15|30|45)",
    "fiducial_score": r"\d+",
}


def read_rows(folds: Path) -> list[dict[str, str]]:
    """Return the rows of the five fold files, with their fold."""
    rows = []
    for fold in range(5):
        with (folds / f"fold_{fold}_data.txt").open(encoding="utf-8", newline="") as lines:
            rows += [row | {"fold": str(fold)} for row in csv.DictReader(lines, delimiter="\t")]
    return rows


def image_of(row: dict[str, str]) -> str:
    return f"aligned/{row['user_id']}/landmark_aligned_face.{row['face_id']}.{row['original_image']}"


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("with space") / "set"
    generate(root, faces=FACES, users=USERS, size=SIZE, workers=1, progress=False)
    return root


@pytest.fixture(scope="module")
def rows(root: Path) -> list[dict[str, str]]:
    return read_rows(root / "folds")


@pytest.mark.parametrize("source", ["generated", "adience"])
def test_fold_files_have_adiences_format(source: str, root: Path) -> None:
    folds = root / "folds" if source == "generated" else ADIENCE
    if not folds.is_dir():
        pytest.skip(f"no Adience fold files at {folds}")
    for fold in range(5):
        lines = (folds / f"fold_{fold}_data.txt").read_bytes().decode("ascii")
        assert lines.endswith("\n") and "\r" not in lines
        assert lines.split("\n")[0].split("\t") == list(FIELDS)
        for line in lines.splitlines()[1:]:
            for value, pattern in zip(line.split("\t"), FIELDS.values(), strict=True):
                assert re.fullmatch(pattern, value), line


def test_each_face_has_one_image_of_the_asked_size(root: Path, rows: list[dict[str, str]]) -> None:
    named = {image_of(row) for row in rows}
    assert named == {name for name in contents(root) if name.endswith(".jpg")}
    assert len(named) == FACES
    for name in sorted(named)[:20]:
        with Image.open(root / name) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (SIZE, SIZE))


def test_users_and_subjects_stand_in_one_fold_and_keep_their_labels(rows: list[dict[str, str]]) -> None:
    assert len({row["user_id"] for row in rows}) == len({(row["user_id"], row["fold"]) for row in rows}) == USERS
    subjects = {row["face_id"] for row in rows}
    kept = {(row["face_id"], row["user_id"], row["fold"], row["age"], row["gender"]) for row in rows}
    assert len(subjects) == len(kept)
    assert len(subjects) < FACES / 2, "a subject has several photographs"


def test_folds_are_of_equal_size_and_hold_every_age_group(rows: list[dict[str, str]]) -> None:
    for fold in "01234":
        here = [row for row in rows if row["fold"] == fold]
        assert len({image_of(row) for row in here}) == FACES // 5
        assert len({row["user_id"] for row in here}) == USERS // 5
        assert set(GROUP_ROWS) <= {row["age"] for row in here}


def test_odd_labels_of_adience_occur(rows: list[dict[str, str]]) -> None:
    ages = Counter(row["age"] for row in rows)
    assert {"None", "35", "13", "(38, 42)", "(25, 23)"} <= set(ages)
    assert {row["fold"] for row in rows if row["age"] == "(25, 23)"} == {"0"}
    assert {row["age"] for row in rows if row["gender"] == "u"} == {"(0, 2)"}
    assert {row["age"] for row in rows if row["gender"] == ""} == {"None"}
    repeated = [row for row, count in Counter(tuple(row.values()) for row in rows).items() if count > 1]
    assert len(repeated) == len(rows) - FACES == 5
    photographs = {(row["user_id"], row["original_image"]) for row in rows}
    assert len(photographs) < FACES, "some photographs show several subjects"


def test_label_shares_are_near_adiences() -> None:
    labels = Counter(face.subject.age_label for face in plan_faces(10_000, 100, seed=3))
    usual = sum(labels[label] for label in GROUP_ROWS)
    assert usual / 10_000 == pytest.approx(17_424 / 19_487, abs=0.03)
    for label, count in GROUP_ROWS.items():
        assert labels[label] / usual == pytest.approx(count / 17_424, abs=0.03)


@pytest.mark.parametrize(("faces", "users"), [(5, 5), (37, 7), (300, 300)])
def test_any_number_of_faces_and_users_is_met_exactly(faces: int, users: int) -> None:
    plan = plan_faces(faces, users, seed=1)
    assert len({face.path for face in plan}) == len(plan) == faces
    assert len({face.user for face in plan}) == users
    assert {face.fold for face in plan} == {0, 1, 2, 3, 4}


def test_files_do_not_depend_on_workers_but_on_the_seed(tmp_path: Path) -> None:
    for name, seed, workers in (("one", 4, 1), ("two", 4, 2), ("other", 5, 1)):
        generate(tmp_path / name, faces=34, users=5, size=24, seed=seed, workers=workers, progress=False)
    one, two, other = (contents(tmp_path / name) for name in ("one", "two", "other"))
    assert one == two
    assert not {name for name in one if name.startswith("aligned/")} & set(other)


def test_is_generated_knows_the_arguments(root: Path, tmp_path: Path) -> None:
    asked = {"faces": FACES, "users": USERS, "size": SIZE, "seed": 0}
    assert is_generated(root, **asked)
    for name in asked:
        assert not is_generated(root, **asked | {name: asked[name] + 1})
    assert not is_generated(tmp_path, **asked)
    (tmp_path / "generated.json").write_text("{", encoding="utf-8")
    assert not is_generated(tmp_path, **asked)


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match=re.escape(str(tmp_path))):
        generate(tmp_path, faces=10, users=5, progress=False)
    assert contents(tmp_path) == {"mine.txt": b"mine"}


def test_too_few_faces_or_users_are_refused(tmp_path: Path) -> None:
    for faces, users in ((10, 4), (5, 6)):
        with pytest.raises(UserError, match=f"{faces} faces of {users} users"):
            generate(tmp_path / "set", faces=faces, users=users)


def test_an_interrupted_run_leaves_nothing_at_root_and_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: object, **__: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", full_disk)
        with pytest.raises(UserError, match=r"cannot write .*set.partial \(no space left\): mend that and run"):
            generate(tmp_path / "set", faces=10, users=5, size=24, workers=1, progress=False)
    assert not (tmp_path / "set").exists()
    (tmp_path / "set").mkdir()  # empty: may be filled
    generate(tmp_path / "set", faces=10, users=5, size=24, workers=1, progress=False)
    assert is_generated(tmp_path / "set", faces=10, users=5, size=24, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_face_is_the_same_picture_at_every_size() -> None:
    rng = np.random.default_rng(2)
    traits, nuisance = draw_traits(rng, 30, 1), draw_nuisance(rng)
    large, small = draw_face(traits, nuisance, 816), draw_face(traits, nuisance, 51)
    assert large.size == (816, 816)
    assert np.array_equal(np.asarray(large), np.asarray(draw_face(traits, nuisance, 816)))
    difference = np.asarray(large.reduce(16), float) - np.asarray(small, float)
    assert np.abs(difference).mean() < 12  # grey levels: thin lines and the grain differ


@pytest.mark.parametrize(
    ("column", "labels", "low", "high"), [("age", list(GROUP_ROWS), 0.4, 0.95), ("gender", ["m", "f"], 0.65, 0.97)]
)
def test_labels_can_be_learned_but_not_perfectly(
    root: Path, rows: list[dict[str, str]], column: str, labels: list[str], low: float, high: float
) -> None:
    used = [row for row in rows if row[column] in labels]
    images = np.array([np.asarray(Image.open(root / image_of(row)), np.float32).ravel() for row in used])
    truth = np.array([labels.index(row[column]) for row in used])
    test = np.array([row["fold"] in "01" for row in used])
    model = make_pipeline(StandardScaler(), PCA(40, random_state=0), LogisticRegression(C=0.05, max_iter=2000))
    correct = model.fit(images[~test], truth[~test]).predict(images[test]) == truth[test]
    majority = np.bincount(truth[test]).max() / test.sum()
    assert max(low, majority + 0.05) < correct.mean() < high


def test_a_drawing_that_was_killed_leaves_no_process_and_is_drawn_by_the_same_command(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from agegender.datasets.generated import generate\n"
        "if __name__ == '__main__': generate(Path(sys.argv[1]), faces=3000, users=5, workers=2, progress=False)"
    )
    (tmp_path / "draw.py").write_text(code)
    drawing = subprocess.Popen([sys.executable, str(tmp_path / "draw.py"), str(tmp_path / "set")])
    wait_for(lambda: any((tmp_path / "set.partial/aligned").rglob("*.jpg")))
    workers = psutil.Process(drawing.pid).children(recursive=True)
    drawing.kill()
    drawing.wait()
    assert workers
    wait_for(lambda: not any(worker.is_running() and worker.status() != "zombie" for worker in workers))
    assert not (tmp_path / "set").exists()
    generate(tmp_path / "set", faces=10, users=5, size=24, workers=1, progress=False)
    assert len(list((tmp_path / "set").rglob("*.jpg"))) == 10
