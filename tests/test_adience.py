from pathlib import Path

import pandas as pd
import pytest

from agegender.data.adience import HEADER, read_adience
from agegender.data.manifest import missing_images, read_manifest
from agegender.data.source import open_source
from agegender.errors import UserError

ADIENCE = Path(__file__).parents[2] / "shared" / "data" / "adience"
needs_adience = pytest.mark.skipif(not ADIENCE.is_dir(), reason="the real Adience lists are not in ../shared")


def row(user: str, age: str = "(25, 32)", gender: str = "f", face: int = 1, image: str = "a_o.jpg") -> str:
    return "\t".join([user, image, str(face), age, gender, "0", "0", "9", "9", "0", "0", "50"])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy with two users per fold, its root with a space in the name, the fold files beside faces/."""
    root = tmp_path / "my adience"
    for fold in range(5):
        write_fold(root, fold, row(f"{fold}1@N01"), row(f"{fold}2@N01", "None", "u", 7))
    return root


def write_fold(root: Path, fold: int, *rows: str, header: str = "\t".join(HEADER)) -> Path:
    root.mkdir(exist_ok=True)
    path = root / f"fold_{fold}_data.txt"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_reads_every_column(root: Path) -> None:
    rows = read_adience(root, official=False)
    assert len(rows) == 10
    assert rows.iloc[2].drop("age_years").to_dict() == {
        "image": "faces/11@N01/coarse_tilt_aligned_face.1.a_o.jpg",
        "subject": "11@N01",
        "fold": 1,
        "age_group": 4,
        "gender": 1,
        "row": "fold_1_data.txt:2",
        "face_id": "1",
        "age_label": "(25, 32)",
        "gender_label": "f",
    }
    assert rows.loc[3, ["age_group", "gender"]].isna().all()
    assert rows["age_years"].isna().all()
    assert rows.dtypes[["fold", "age_group", "age_years", "gender"]].eq("Int64").all()


def test_images_are_named_by_the_variant_that_is_there(root: Path) -> None:
    (root / "aligned" / "01@N01").mkdir(parents=True)
    (root / "aligned" / "01@N01" / "landmark_aligned_face.1.a_o.jpg").write_bytes(b"")
    assert read_adience(root, official=False)["image"][0] == "aligned/01@N01/landmark_aligned_face.1.a_o.jpg"
    assert read_adience(root, official=False, variant="faces")["image"][0].startswith("faces/01@N01/coarse_tilt")
    with pytest.raises(UserError, match="no variant 'cropped': choose from aligned, faces"):
        read_adience(root, official=False, variant="cropped")


def test_fold_files_may_lie_in_folds(root: Path) -> None:
    expected = read_adience(root, official=False)
    (root / "folds").mkdir()
    for path in root.glob("fold_*_data.txt"):
        path.rename(root / "folds" / path.name)
    pd.testing.assert_frame_equal(read_adience(root, official=False), expected)


def test_windows_line_ends_and_a_byte_order_mark_change_nothing(root: Path) -> None:
    expected = read_adience(root, official=False)
    path = root / "fold_0_data.txt"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    pd.testing.assert_frame_equal(read_adience(root, official=False), expected)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (
            row("5@N01") + "\n" + row("5@N01")[:20],
            r"fold_3_data.txt line 3: 4 columns, expected 12: the file is cut off",
        ),
        (
            row("5@N01") + "\t9\n" + row("5@N01"),
            r"fold_3_data.txt line 2: 13 columns, expected 12: the line is damaged",
        ),
        (row("5@N01", "25-32"), r"fold_3_data.txt line 2: age is '25-32', expected a range as in"),
        (row("5@N01", "13 years"), r"line 2: age is '13 years'"),
        (row("5@N01", "(25,32)"), r"line 2: age is '\(25,32\)'"),
        (row("5@N01", gender="x"), r"line 2: gender is 'x', expected m, f, u or nothing"),
        (row("5@N01", gender="mf"), r"line 2: gender is 'mf'"),
        (row("../5@N01"), r"line 2: user_id is '../5@N01', expected a Flickr user id"),
        (row("5@N01", image=""), r"line 2: original_image is '', expected a file name"),
        (row("01@N01"), r"user 01@N01 stands in two folds, fold_0_data.txt:2 and fold_3_data.txt:2"),
    ],
)
def test_refuses_a_malformed_line(root: Path, bad: str, message: str) -> None:
    write_fold(root, 3, bad)
    with pytest.raises(UserError, match=message):
        read_adience(root, official=False)


@pytest.mark.parametrize("header", ["", "user_id\timage", "\t".join(HEADER[:-1])])
def test_refuses_another_header(root: Path, header: str) -> None:
    write_fold(root, 1, row("5@N01"), header=header)
    with pytest.raises(UserError, match=r"fold_1_data.txt line 1: the header is"):
        read_adience(root, official=False)


def test_refuses_a_file_that_is_not_text(root: Path) -> None:
    (root / "fold_2_data.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"fold_2_data.txt is not a UTF-8 text file"):
        read_adience(root, official=False)


def test_names_a_missing_fold_file_and_a_missing_root(root: Path) -> None:
    (root / "fold_4_data.txt").unlink()
    with pytest.raises(
        UserError, match=r"my adience has no fold_4_data.txt: expected Adience's folder, holding aligned/"
    ):
        read_adience(root, official=False)
    with pytest.raises(UserError, match=r"nowhere does not exist: expected Adience's folder"):
        read_adience(root / "nowhere", official=False)


def test_refuses_lists_of_another_length_as_official(root: Path) -> None:
    with pytest.raises(UserError, match=r"fold_0_data.txt has 2 rows where the published list has 4496"):
        read_adience(root)


def test_missing_images_are_listed_once_and_refused(root: Path) -> None:
    write_fold(root, 0, row("01@N01"), row("01@N01"))
    folder = root / "faces" / "11@N01"
    folder.mkdir(parents=True)
    (folder / "coarse_tilt_aligned_face.1.a_o.jpg").write_bytes(b"")
    rows = read_adience(root, official=False)
    with open_source(root) as source:
        missing = missing_images(rows, source)
    assert len(missing) == 8
    assert missing[0] == "faces/01@N01/coarse_tilt_aligned_face.1.a_o.jpg"
    with pytest.raises(UserError, match=r"8 of 9 images are missing under .*data.allow_missing=true"):
        read_manifest("generated", root)
    assert len(read_manifest("generated", root, require_images=False)) == 10


@needs_adience
def test_the_published_lists_and_the_faces_beside_them() -> None:
    rows = read_adience(ADIENCE)
    assert len(rows) == 19487
    assert rows["image"].nunique() == 19370
    assert rows.groupby("fold")["subject"].nunique().tolist() == [34, 34, 34, 33, 33]
    assert rows["face_id"].nunique() == 2284
    assert rows["gender_label"].value_counts().to_dict() == {"f": 9411, "m": 8192, "u": 1100, "": 784}
    with open_source(ADIENCE) as source:
        faces = [name for name in source.names() if name.endswith(".jpg")]
        assert set(faces) <= set(rows["image"])
        assert len(missing_images(rows, source)) == 19370 - len(faces)
    assert len(faces) == 183
