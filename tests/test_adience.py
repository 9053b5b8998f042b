"""Reading Adience's fold files: every column, every malformed line refused, and only the published rows accepted."""

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from agegender.data.manifest import missing_images
from agegender.datasets.adience import HEADER, read_adience
from agegender.datasets.source import open_source
from agegender.errors import UserError
from small_adience import row, write_copy, write_fold

ADIENCE = Path(__file__).parents[2] / "shared" / "data" / "adience"
needs_adience = pytest.mark.skipif(not ADIENCE.is_dir(), reason="the real Adience lists are not in ../shared")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy whose root has a space in its name."""
    return write_copy(tmp_path / "my adience")


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
            r"fold_3_data.txt line 3: 4 columns, expected 12: the line is damaged",
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


@pytest.mark.parametrize(
    ("header", "missing"), [("", "user_id"), ("user_id\timage", "original_image"), ("\t".join(HEADER[:-1]), HEADER[-1])]
)
def test_refuses_another_header(root: Path, header: str, missing: str) -> None:
    write_fold(root, 1, row("5@N01"), header=header)
    with pytest.raises(
        UserError, match=rf"fold_1_data.txt has no column {missing}, its first line is .*: expected user_id"
    ):
        read_adience(root, official=False)


def test_refuses_a_file_that_is_not_text(root: Path) -> None:
    (root / "fold_2_data.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"fold_2_data.txt is not in UTF-8, as line 1 shows"):
        read_adience(root, official=False)


def test_names_a_missing_fold_file_and_a_missing_root(root: Path) -> None:
    (root / "fold_4_data.txt").unlink()
    with pytest.raises(
        UserError, match=r"my adience has no fold_4_data.txt: expected Adience's folder, holding aligned/"
    ):
        read_adience(root, official=False)
    with pytest.raises(UserError, match=r"nowhere does not exist: expected Adience's folder"):
        read_adience(root / "nowhere", official=False)


def test_copies_of_a_row_with_conflicting_labels_are_refused_with_both_places(root: Path) -> None:
    write_fold(root, 3, row("5@N01"), row("6@N01"), row("5@N01"))
    assert len(read_adience(root, official=False)) == 11, "copies that agree are as published"
    for other, named in ((row("5@N01", "(38, 43)"), r"age \(38, 43\), gender f"), (row("5@N01", gender=""), "empty")):
        write_fold(root, 3, row("5@N01"), row("6@N01"), other)
        with pytest.raises(
            UserError,
            match=r"faces/5@N01/\S+ has conflicting labels, in fold_3_data.txt:2 \(age \(25, 32\), gender f\) and in "
            rf"fold_3_data.txt:4 \(.*{named}\)",
        ):
            read_adience(root, official=False)


def test_fold_files_of_another_length_differ_in_the_split(root: Path) -> None:
    with pytest.raises(
        UserError,
        match=r"fold files of .*my adience are not the published ones, they differ in the split "
        r"\(2, 2, 2, 2, 2 rows in fold 0 to 4, expected 4496, 3745, 3953, 3459, 3834; .*17 November 2014\): fetch",
    ):
        read_adience(root)


def copy_fold_files(root: Path, edit: Callable[[dict[int, list[str]]], None]) -> Path:
    """Copy the published fold files, their lines without the header edited."""
    lines = {fold: (ADIENCE / "folds" / f"fold_{fold}_data.txt").read_text().split("\n")[1:-1] for fold in range(5)}
    edit(lines)
    for fold, rows in lines.items():
        write_fold(root, fold, *rows)
    return root


@needs_adience
def test_gender_labels_from_before_the_correction_are_told_from_the_split(tmp_path: Path) -> None:
    def relabel(lines: dict[int, list[str]]) -> None:
        number = next(i for i, line in enumerate(lines[2]) if line.split("\t")[4] == "f" and lines[2].count(line) == 1)
        lines[2][number] = lines[2][number].replace("\tf\t", "\tm\t", 1)

    with pytest.raises(UserError) as refused:
        read_adience(copy_fold_files(tmp_path / "a", relabel))
    sentence = str(refused.value)
    assert "they differ in the gender labels (f 9,410, m 8,193, u 1,100, empty 784, expected f 9,411, m" in sentence
    assert "15 December 2014" in sentence
    assert "the split" not in sentence


@needs_adience
def test_conflicting_copies_are_named_also_where_they_change_the_published_counts(tmp_path: Path) -> None:
    def repeat(lines: dict[int, list[str]]) -> None:
        assert "\tm\t" in lines[4][9]
        lines[4].append(lines[4][9].replace("\tm\t", "\tf\t"))

    with pytest.raises(UserError, match=r"conflicting labels, in fold_4_data.txt:11 .* and in fold_4_data.txt:3836"):
        read_adience(copy_fold_files(tmp_path / "a", repeat))


@needs_adience
def test_users_in_another_fold_than_since_the_correction_differ_in_the_split(tmp_path: Path) -> None:
    def move(lines: dict[int, list[str]]) -> None:
        user = lines[0][0].split("\t")[0]
        lines[1] += [line for line in lines[0] if line.startswith(user)]
        lines[0] = [line for line in lines[0] if not line.startswith(user)]

    with pytest.raises(UserError) as refused:
        read_adience(copy_fold_files(tmp_path / "a", move))
    assert re.search(r"they differ in the split \(\d+, \d+, 3953, 3459, 3834 rows in fold 0 to 4", str(refused.value))
    assert "the gender labels" not in str(refused.value), "the same rows, in other folds"


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
