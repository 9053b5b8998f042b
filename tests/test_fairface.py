"""Reading FairFace: its label files and images as published, and copies that spreadsheets and hands have changed."""

import csv
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pytest

from agegender.data.manifest import digest, read_manifest
from agegender.datasets.fairface import read_fairface
from agegender.errors import UserError
from agegender.tasks import TASKS
from small_fairface import AGES, HEADER, RACES, TRAIN, VAL, fairface, images, labels, write

REAL = Path(__file__).parents[2] / "shared" / "data" / "fairface"


def zipped(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_labels_are_read_as_published(tmp_path: Path) -> None:
    rows, dropped = read_fairface(fairface(tmp_path, labels(20)))
    assert dropped == {}
    assert rows["image"].tolist() == [f"train/{i + 1}.jpg" for i in range(20)]
    assert rows["age_decades"].tolist() == [i % 9 for i in range(20)]
    assert rows["gender"].tolist() == [i // 9 % 2 for i in range(20)]
    assert rows["race"].tolist() == [RACES[i % 7] for i in range(20)]
    assert rows["row"].tolist() == [f"{TRAIN}:{line}" for line in range(2, 22)]
    assert rows[["age_group", "age_years", "subject", "repaired"]].isna().all(axis=None)
    assert TASKS["age_decades"].labels == (*AGES[:-1], "70+")
    assert "race" not in {task.column for task in TASKS.values()}


@pytest.mark.parametrize(
    ("place", "options"),
    [
        ("here/set/", {}),
        ("here/set/margin 025/", {}),
        ("here/", {}),
        ("far/", {"labels": "far"}),
        ("far/", {"labels": f"far/{TRAIN}"}),
    ],
)
def test_label_files_are_found(tmp_path: Path, place: str, options: dict[str, str]) -> None:
    faces = {f"margin 025/{name}": content for name, content in images(9).items()}
    folder = write(tmp_path / "here" / "set", faces)
    write(tmp_path, {place + TRAIN: labels(9)})
    inside = {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*.*")}
    given = {name: str(tmp_path / path) for name, path in options.items()}
    for root in (folder, zipped(tmp_path / "here" / "set.zip", inside)):
        rows, dropped = read_fairface(root, **given)
        assert dropped == {}
        assert rows["image"].tolist() == list(faces)
        assert len(read_manifest("fairface", root, labels=given.get("labels", "auto"))) == 9


def test_the_label_file_among_the_images_wins_over_the_one_beside(tmp_path: Path) -> None:
    write(tmp_path, {TRAIN: [HEADER, "train/1.jpg,0-2,Male,White,True"]})
    root = fairface(tmp_path / "set", [HEADER, "train/1.jpg,20-29,Male,White,True"], count=1)
    assert read_fairface(root)[0]["age_decades"].tolist() == [3]


@pytest.mark.parametrize(
    ("label", "date"),
    [
        *(("3-9", text) for text in ("03-Sep", "3-Sep", "Sep-03", "Sep-3", "9-Mar", "09-Mar", "Mar-09", "03. Sep")),
        *(
            ("3-9", text)
            for text in ("3-Sep-24", "09-Mar-2024", "March 9, 2024", "9/3/2024", "03/09/24", "3/9", "9.3.")
        ),
        *(("3-9", text) for text in ("2024-03-09", "2024-09-03 00:00:00", "2024-03-09T00:00:00", "3/9/2024 0:00")),
        *(("10-19", text) for text in ("Oct-19", "19-Oct", "19-Oct-24", "10/19/2024", "19.10.2024", "2024-10-19")),
        *(
            ("10-19", text)
            for text in ("1-Oct-19", "01-Oct", "10-Oct", "Oct-2019", "2019-10-01", "10/1/2019", "1.10.19")
        ),
    ],
)
def test_labels_turned_into_dates_are_repaired_and_kept_in_sight(tmp_path: Path, label: str, date: str) -> None:
    quoted = f'"{date}"'
    root = fairface(tmp_path, [HEADER, f"train/1.jpg,{quoted},Male,White,True", "train/2.jpg,0-2,Male,White,True"], 2)
    rows, dropped = read_fairface(root)
    assert rows["age_decades"].tolist() == [AGES.index(label), 0]
    assert rows["repaired"].tolist()[0] == date
    assert rows["repaired"].isna().tolist() == [False, True]
    assert dropped == {}


def test_a_repaired_copy_is_the_same_data_as_a_whole_one(tmp_path: Path) -> None:
    lines = labels(90)
    dates = [line.replace(",3-9,", ",03-Sep,").replace(",10-19,", ",Oct-19,") for line in lines]
    whole, repaired = (
        read_fairface(fairface(tmp_path / name, content, 90))[0] for name, content in (("a", lines), ("b", dates))
    )
    assert repaired["repaired"].count() == 20
    assert digest(whole) == digest(repaired)


@pytest.mark.parametrize(
    "age", ["3-10", "25-Dec", "2024-05-05", "9-Max", "45360", "", "12/3/2024", "25", "31/12", "70+"]
)
def test_other_labels_are_refused_with_file_line_and_value(tmp_path: Path, age: str) -> None:
    root = fairface(tmp_path, [*labels(3), f"train/4.jpg,{age},Male,White,True"])
    with pytest.raises(
        UserError, match=rf"{TRAIN} line 5: age is '{age.replace('+', '.')}', expected one of 0-2, 3-9, "
    ):
        read_fairface(root)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            [HEADER, "train/1.jpg,0-2,male,White,True"],
            "line 2: gender is 'male', expected one of Male, Female: correct",
        ),
        ([HEADER, "train/1.jpg,0-2,Male,Martian,True"], "line 2: race is 'Martian', expected one of White, Black"),
        (
            [HEADER, "", "../1.jpg,0-2,Male,White,True"],
            r"line 3: file is '../1.jpg', expected a name as in train/1.jpg",
        ),
        ([HEADER, "train/../1.jpg,0-2,Male,White,True"], "line 2: file is 'train/../1.jpg', expected a name"),
        (
            ["file,age,race", "train/1.jpg,0-2,White"],
            "has no column gender, its first line is 'file,age,race': expected",
        ),
        ([HEADER.replace(",", ";")], "has no column file, its first line is 'file;age;gender;.*separated by commas"),
        ([""], "has no column file, its first line is ''"),
        (
            [*labels(3), "train/4.jpg,0-2,Ma"],
            "line 5: 3 columns, expected 5: the line is damaged, correct it or fetch the file again",
        ),
        (
            [*labels(3), "train/2.jpg,0-2,Male,Black,True"],
            f"train/2.jpg has two rows with different labels, {TRAIN}:3 and {TRAIN}:5: remove the wrong one",
        ),
        ([HEADER, '"' + "train/1.jpg,0-2,Male,White,True" * 5000], "is not a CSV file .field larger.*: correct it or"),
        ([HEADER], "no label row names an image of .*, such as train/1.jpg: use its own labels"),
        (labels(20, "val"), "no label row names an image of .*, such as train/1.jpg: use its own labels"),
    ],
)
def test_a_label_file_that_does_not_fit_is_told_in_a_sentence(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_fairface(fairface(tmp_path, lines))


def test_windows_line_ends_and_a_byte_order_mark_are_accepted(tmp_path: Path) -> None:
    text = "\ufeff" + "\r\n".join(labels(20)) + "\r\n"
    windows, _ = read_fairface(write(tmp_path / "windows", {**images(20), TRAIN: text.encode()}))
    plain, _ = read_fairface(fairface(tmp_path / "plain", labels(20)))
    pd.testing.assert_frame_equal(windows, plain)
    with pytest.raises(UserError, match=f"{TRAIN} is not in UTF-8"):
        read_fairface(write(tmp_path / "latin", {**images(1), TRAIN: "file,âge".encode("latin-1")}))


def test_roots_without_faces_or_labels_are_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no face: expected FairFace's folder or .zip, holding train/ and val/"):
        read_fairface(write(tmp_path / "empty", {TRAIN: labels(3)}))
    root = write(tmp_path / "unlabelled" / "set", images(3))
    with pytest.raises(UserError, match=rf"no {TRAIN} and no {VAL} in .*set or beside it: .*data.settings.labels="):
        read_fairface(root)
    with pytest.raises(UserError, match=rf"no {TRAIN} and no {VAL} in .*unlabelled: put them there"):
        read_fairface(root, labels=str(tmp_path / "unlabelled"))
    with pytest.raises(UserError, match=r"cannot read .*nowhere.csv: No such file"):
        read_fairface(root, labels=str(tmp_path / "nowhere.csv"))
    with pytest.raises(UserError, match="does not exist: expected FairFace's folder"):
        read_fairface(tmp_path / "nowhere")
    both = {f"margin{margin}/{name}": content for margin in ("025", "125") for name, content in images(3).items()}
    with pytest.raises(UserError, match=r"faces in 'margin025/' and in 'margin125/': choose one .* as data.source"):
        read_fairface(write(tmp_path / "both", {**both, TRAIN: labels(3)}))


def test_rows_and_images_without_each_other_are_counted_and_holes_keep_their_rows(tmp_path: Path) -> None:
    files: dict[str, bytes | Sequence[str]] = {**images(12), TRAIN: [*labels(10), labels(10)[3]], VAL: labels(5, "val")}
    del files["train/4.jpg"]
    root = write(tmp_path, files)
    rows, dropped = read_fairface(root)
    assert dropped == {
        "row repeated with the same labels": [f"{TRAIN}:12"],
        "row of the published part val, of which no image is here": [f"val/{i}.jpg" for i in range(1, 6)],
        "image without a row in the label files": ["train/11.jpg", "train/12.jpg"],
    }
    assert rows["image"].tolist() == [f"train/{i}.jpg" for i in range(1, 11)]
    assert rows["sha256"].isna().tolist() == [i == 4 for i in range(1, 11)]
    with pytest.raises(UserError, match=r"1 of 10 images are missing .* the first is train/4.jpg: complete the copy"):
        read_manifest("fairface", root)
    assert len(read_manifest("fairface", root, require_images=False)) == 10


@pytest.mark.skipif(not REAL.is_dir(), reason="the real FairFace faces are not in ../shared")
def test_the_real_faces() -> None:
    with (REAL / TRAIN).open(newline="", encoding="utf-8") as file:
        published = list(csv.DictReader(file))
    rows, dropped = read_fairface(REAL / "fairface-224px-jpeg.zip")
    assert dropped == {}
    assert rows["repaired"].isna().all()
    assert rows["image"].tolist() == [line["file"] for line in published]
    assert len(rows) == 16000
    counted = Counter(line["age"] for line in published)
    assert rows["age_decades"].value_counts().to_dict() == {group: counted[age] for group, age in enumerate(AGES)}
    assert [counted[age] for age in AGES] == [323, 1945, 1741, 4690, 3613, 1925, 1123, 502, 138]
    assert rows["gender"].value_counts().to_dict() == {0: 8396, 1: 7604}
    assert Counter(rows["race"]) == Counter(line["race"] for line in published)
    assert rows["fold"].value_counts().sort_index().tolist() == [3201, 3201, 3198, 3200, 3200]
    assert rows["subject"].value_counts().tolist() == [2] * 11  # eleven photographs are there twice
    assert rows.groupby("sha256")["fold"].nunique().max() == 1
