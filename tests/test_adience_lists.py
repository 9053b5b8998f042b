import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from agegender.data.manifest import digest
from agegender.data.splits import split
from agegender.datasets.adience import read_adience
from agegender.datasets.adience_lists import KINDS
from agegender.datasets.protocols import PROTOCOLS, apply_protocol, count, fitting
from agegender.errors import UserError

ADIENCE = Path(__file__).parents[2] / "shared" / "data" / "adience"
needs_adience = pytest.mark.skipif(not ADIENCE.is_dir(), reason="the real Adience lists are not in ../shared")

LISTS_OF = {"agegender": "lmtcnn_lists", "age": "age_lists", "gender": "gender_lists"}
SIZES = PROTOCOLS["lmtcnn_lists"].counts


def write_lists(folder: Path, rows: pd.DataFrame, kind: str, validation: tuple[int, ...] | None = None) -> None:
    """Write lists as the authors' scripts do: a draw of images, of which the one after validation is lost."""
    rows = rows[rows[list(KINDS[kind])].notna().all(axis=1)]
    lines = rows["image"].str.split("/", n=1).str[1].str.replace("coarse_tilt", "landmark")
    for label in KINDS[kind]:
        lines = lines + " " + rows[label].astype("string")
    for fold in range(5):
        here = folder / f"test_fold_is_{fold}"
        here.mkdir(parents=True, exist_ok=True)
        rest = lines[rows["fold"] != fold].sample(frac=1, random_state=fold)
        held = validation[fold] if validation else len(rest) // 10
        lost = len(rest) - held - SIZES["train"][fold] if validation else 1
        test = lines[rows["fold"] == fold].sample(frac=1, random_state=fold)
        for part, chosen in (("val", rest[:held]), ("train", rest[held + lost :]), ("test", test)):
            (here / f"{kind}_{part}.txt").write_text("".join(f"{line}\n" for line in chosen))


@pytest.fixture(scope="module")
def fold_files(drawn: Path) -> pd.DataFrame:
    return read_adience(drawn, official=False)


@pytest.fixture
def lists(fold_files: pd.DataFrame, tmp_path: Path) -> Path:
    for kind in KINDS:
        write_lists(tmp_path / "the lists", fold_files, kind)
    return tmp_path / "the lists"


def read(drawn: Path, lists: Path) -> pd.DataFrame:
    return read_adience(drawn, official=False, lists=lists)


@pytest.mark.parametrize("kind", KINDS)
def test_every_part_is_the_very_list(kind: str, drawn: Path, lists: Path) -> None:
    rows = apply_protocol(read(drawn, lists), LISTS_OF[kind], "generated")
    for fold in range(5):
        splits = split(rows, fold, rule="listed_leaky")
        for part, name in (("validation", "val"), ("train", "train"), ("test", "test")):
            lines = (lists / f"test_fold_is_{fold}" / f"{kind}_{name}.txt").read_text().splitlines()
            have = splits[splits["split"] == part]
            assert sorted(have["image"]) == sorted(f"aligned/{line.split(' ')[0]}" for line in lines)
        assert len(splits) == len(rows) - 1, "one row of each fold is in no list"
    assert rows["image"].duplicated().any(), "copies of an image are listed one by one"


def test_the_manifest_gains_columns_and_changes_in_nothing_else(drawn: Path, lists: Path) -> None:
    plain, listed = read_adience(drawn, official=False), read(drawn, lists)
    pd.testing.assert_frame_equal(listed[plain.columns], plain)
    column = listed["lists_agegender"]
    unlisted = plain[["age_group", "gender"]].isna().any(axis=1)
    assert column.eq("").tolist() == unlisted.tolist()
    words = column[~unlisted].str.split(" ")
    assert {len(splits) for splits in words} == {5}
    own = [splits[fold] for splits, fold in zip(words, plain.loc[~unlisted, "fold"], strict=True)]
    assert set(own) == {"test"}
    assert digest(listed) != digest(plain)


def test_which_lists_are_there_decides_which_protocols_fit(drawn: Path, lists: Path) -> None:
    everything = set(LISTS_OF.values())
    assert everything <= set(fitting(read(drawn, lists), "generated"))
    for path in lists.glob("*/age*_*.txt"):
        path.unlink()
    rows = read(drawn, lists)
    assert everything & set(fitting(rows, "generated")) == {"gender_lists"}
    with pytest.raises(UserError, match=r"protocol age_lists needs the authors' lists, test_fold_is_0/age_train.txt"):
        apply_protocol(rows, "age_lists", "generated")


def test_lists_may_be_zipped_and_name_the_faces_of_either_variant(drawn: Path, lists: Path, tmp_path: Path) -> None:
    expected = read(drawn, lists)
    archive = shutil.make_archive(str(tmp_path / "zipped"), "zip", lists)
    pd.testing.assert_frame_equal(read(drawn, Path(archive)), expected)
    faces = read_adience(drawn, official=False, variant="faces", lists=lists)
    assert faces["image"].str.startswith("faces/").all()
    pd.testing.assert_frame_equal(faces.drop(columns="image"), expected.drop(columns="image"))


def first(path: Path) -> str:
    return path.read_text().split("\n")[0]


def append(line: str) -> Callable[[str], str]:
    return lambda text: f"{text}{line}\n"


@pytest.mark.parametrize(
    ("name", "edit", "message"),
    [
        (
            "2/agegender_train.txt",
            lambda text: text[:-3],
            r"agegender_train.txt line \d+ is '.*jpg \d', expected .*cut off",
        ),
        (
            "2/agegender_val.txt",
            lambda text: text.replace(" 0\n", " 2\n", 1),
            r"agegender_val.txt line \d+ is '.* 2', expected .*an age group 0 to 7 and a gender 0 or 1",
        ),
        ("0/age_val.txt", append("1@N01/landmark_aligned_face.1.1_o.jpg 8"), r"jpg 8', expected .*an age group 0 to 7"),
        ("0/gender_val.txt", append("1@N01/landmark_aligned_face.1.1_o.jpg m"), r"jpg m', expected .*a gender 0 or 1"),
        ("1/age_test.txt", append("coarse_tilt_aligned_face.1.1_o.jpg 3"), r"expected user/landmark_aligned_face"),
        ("4/age_train.txt", lambda text: "", r"test_fold_is_4/age_train.txt line 1 is ''"),
        (
            "3/gender_train.txt",
            append("1@N01/landmark_aligned_face.1.1_o.jpg 0"),
            r"gender_train.txt:\d+ lists 1@N01/.*, which the fold files do not hold",
        ),
        (
            "3/gender_train.txt",
            lambda text: text + text.split("\n")[0] + "\n",
            r"gender_train.txt:\d+ lists .*, which the fold files do not hold that often",
        ),
        ("1/age_test.txt", lambda text: text[text.index("\n") + 1 :], r"age_test.txt lack 1 faces that the lists of"),
        (
            "1/age_train.txt",
            lambda text: "\n".join(text.split("\n")[:-4]),
            r"test_fold_is_1/age_train.txt and test_fold_is_1/age_val.txt lack 4 faces .*lack at most 1",
        ),
    ],
)
def test_refuses_edited_lists(drawn: Path, lists: Path, name: str, edit: Callable[[str], str], message: str) -> None:
    path = lists / f"test_fold_is_{name}"
    path.write_text(edit(path.read_text()))
    with pytest.raises(UserError, match=message):
        read(drawn, lists)


@pytest.mark.parametrize("part", ["train", "val"])
def test_refuses_a_test_face_that_is_also_in_training_or_validation(part: str, drawn: Path, lists: Path) -> None:
    here = lists / "test_fold_is_2"
    path = here / f"age_{part}.txt"
    path.write_text(path.read_text() + first(here / "age_test.txt") + "\n")
    with pytest.raises(
        UserError, match=rf"age_{part}.txt:\d+ lists .*fold_2_data.txt:\d+ .*training and test would ov"
    ):
        read(drawn, lists)


def test_refuses_a_face_tested_in_two_folds_and_another_label(drawn: Path, lists: Path) -> None:
    path = lists / "test_fold_is_3" / "gender_test.txt"
    before = path.read_text()
    path.write_text(before + first(lists / "test_fold_is_1" / "gender_test.txt") + "\n")
    with pytest.raises(UserError, match=r"gender_test.txt:\d+ lists .*fold_1_data.txt:\d+ has it"):
        read(drawn, lists)
    line = first(path)
    path.write_text(before.replace(line, f"{line[:-1]}{1 - int(line[-1])}", 1))
    with pytest.raises(UserError, match=r"gender_test.txt:1 lists .*, with gender \d where fold_3_data.txt:\d+ has \d"):
        read(drawn, lists)


def test_refuses_a_folder_without_lists_and_a_list_that_is_missing(drawn: Path, lists: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere does not exist: expected the authors' lists"):
        read(drawn, tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"has no test_fold_is_0/agegender_test.txt: expected the authors' lists"):
        read(drawn, drawn)
    (lists / "test_fold_is_3" / "agegender_val.txt").unlink()
    with pytest.raises(UserError, match=r"test_fold_is_3/agegender_val.txt"):
        read(drawn, lists)


@needs_adience
def test_lists_of_the_published_sizes_are_taken_and_others_refused(tmp_path: Path) -> None:
    write_lists(tmp_path, read_adience(ADIENCE), "agegender", SIZES["validation"])
    rows = read_adience(ADIENCE, lists=tmp_path)
    counts = count(apply_protocol(rows, "lmtcnn_lists", "adience"))
    assert counts["rows"] == (3879, 3005, 3121, 2866, 3387)
    assert counts["train"] == (11136, 11905, 11814, 12056, 11593)
    assert counts["validation"] == (1242, 1348, 1323, 1335, 1277)

    moved = rows["lists_agegender"].eq("train test train train train").idxmax()
    rows.loc[moved, "lists_agegender"] = "validation test train train train"
    with pytest.raises(UserError, match=r"lmtcnn_lists: 11135 training rows in the lists of test fold 0, but 11136 in"):
        apply_protocol(rows, "lmtcnn_lists", "adience")
