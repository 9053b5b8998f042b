"""A data set that a user brings: the table's columns, its folds, its errors, and one step from table to weights."""

import json
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from hydra import compose

from agegender.commands.prepare import main as prepare
from agegender.commands.train import train
from agegender.data.manifest import digest, read_manifest
from agegender.data.splits import split
from agegender.datasets.catalogue import DATASETS
from agegender.datasets.csv_table import read_csv_table
from agegender.datasets.labels import group_of_years
from agegender.datasets.protocols import apply_protocol, fitting
from agegender.errors import UserError
from packed_faces import picture
from small_fairface import write
from small_sets import HEADER, faces, table


def read(root: Path, *lines: str, header: str = HEADER) -> pd.DataFrame:
    return read_csv_table(table(root, lines, header), table="faces.csv")[0]


def test_every_column_is_read(tmp_path: Path) -> None:
    header = "score_sd,score,gender,age_group,age_years_sd,age_years,fold,subject,image"
    lines = ["0.5,4.25,m,3,2.75,30.5,4,ann,a b/1.jpg", ",1,f,60+,1e-3,0,0,bo,2.png", "0.1,5.0,1,,,,2,,3.png"]
    with pytest.raises(
        UserError, match=r"faces.csv line 3: score_sd is '', expected a standard deviation beside score"
    ):
        read(tmp_path, *lines, header=header)
    rows = read(tmp_path, lines[0], "1.5,1,f,60+,1e-3,0,0,bo,2.png", lines[2], header=header)
    assert rows["image"].tolist() == ["a b/1.jpg", "2.png", "3.png"]
    assert rows["subject"].tolist() == ["ann", "bo", pd.NA]
    assert rows["fold"].tolist() == [4, 0, 2]
    assert rows["age_group"].tolist() == [3, 7, pd.NA]
    assert rows["age_years"].tolist() == [30.5, 0.0, pd.NA]
    assert rows["age_years_sd"].tolist() == [2.75, 0.001, pd.NA]
    assert rows["gender"].tolist() == [0, 1, 1]
    assert rows["attractiveness"].tolist() == [4.25, 1.0, 5.0]
    assert rows["attractiveness_sd"].tolist() == [0.5, 1.5, 0.1]
    assert rows["row"].tolist() == ["faces.csv:2", "faces.csv:3", "faces.csv:4"]
    floats = ["age_years", "age_years_sd", "attractiveness", "attractiveness_sd"]
    assert rows.dtypes[floats].astype(str).tolist() == ["Float64"] * 4


def test_whole_years_are_integers_and_what_the_table_lacks_is_unknown(tmp_path: Path) -> None:
    rows = read(tmp_path, "1.jpg,30", "2.jpg,", "3.jpg,31.0", header="image,age_years")
    assert str(rows["age_years"].dtype) == "Int64"
    assert rows["gender"].isna().all() and rows["age_group"].isna().all() and rows["attractiveness"].isna().all()
    assert "age_years_sd" not in rows and "split" not in rows
    counted = apply_protocol(rows, "csv_folds", "csv")
    assert counted["image"].tolist() == ["1.jpg", "3.jpg"], "a face without any label does not count"
    assert counted["age_group"].tolist() == [4, 4], "where there is no age group, that of the years"


def test_codes_as_pandas_saves_them_beside_an_empty_field_are_read(tmp_path: Path) -> None:
    saved = ["1.jpg,0.0,0.0,7.0,30.0", "2.jpg,4.0,1.0,,31.5", "3.jpg,1.0,,0.0,"]
    rows = read(tmp_path, *saved, header="image,fold,gender,age_group,age_years")
    assert rows["fold"].tolist() == [0, 4, 1]
    assert rows["gender"].tolist() == [0, 1, pd.NA]
    assert rows["age_group"].tolist() == [7, pd.NA, 0]
    for header, value in {"fold": "0.5", "gender": "2.0", "age_group": "1.01"}.items():
        with pytest.raises(UserError, match=f"line 2: {header} is '{value.removesuffix('.0')}', expected "):
            read(tmp_path, f"1.jpg,{value},30", header=f"image,{header},age_years")


def test_a_table_in_another_encoding_is_told_how_to_be_saved(tmp_path: Path) -> None:
    lines = ["image,subject,age_years", "1.jpg,Ann,20", "2.jpg,José,21", ""]
    for encoding in ("latin-1", "utf-16"):
        write(tmp_path, {"faces.csv": "\n".join(lines).encode(encoding)})
        shown = 3 if encoding == "latin-1" else 1
        with pytest.raises(
            UserError, match=f"faces.csv is not in UTF-8, as line {shown} shows: save it as 'CSV UTF-8'"
        ):
            read_csv_table(tmp_path, table="faces.csv")


@pytest.mark.parametrize(
    ("header", "line", "message"),
    [
        ("image,age_years", "1.jpg,101", "line 2: age_years is '101', expected a number from 0 to 100: correct"),
        ("image,age_years", "1.jpg,-1", "line 2: age_years is '-1', expected a number from 0 to 100"),
        ("image,age_years", "1.jpg,nan", "line 2: age_years is 'nan', expected a number from 0 to 100"),
        ("image,age_years", '1.jpg,"30,5"', "line 2: age_years is '30,5', expected a number from 0 to 100"),
        ("image,age_years,age_years_sd", "1.jpg,30,0", "age_years_sd is '0', expected a standard deviation above 0"),
        ("image,age_years,age_years_sd", "1.jpg,30,-2", "age_years_sd is '-2', expected a standard deviation above 0"),
        ("image,age_years,age_years_sd", "1.jpg,,2", "age_years_sd is '2', expected nothing, since there is no a"),
        ("image,score", "1.jpg,5.01", "line 2: score is '5.01', expected a number from 1 to 5"),
        ("image,score", "1.jpg,0.9", "line 2: score is '0.9', expected a number from 1 to 5"),
        ("image,age_group", "1.jpg,8", "line 2: age_group is '8', expected 0 to 7 or one of 0-2, 4-6,"),
        ("image,age_group", "1.jpg,04-Jun", "line 2: age_group is '04-Jun', expected 0 to 7 or one of"),
        ("image,gender", "1.jpg,male", r"line 2: gender is 'male', expected m or f, or 0 \(m\) or 1 \(f\)"),
        ("image,gender,fold", "1.jpg,m,5", "line 2: fold is '5', expected one of 0, 1, 2, 3, 4"),
        ("image,gender,fold", "1.jpg,m,", "line 2: fold is '', expected one of 0, 1, 2, 3, 4"),
        ("image,gender,split", "1.jpg,m,validation", "line 2: split is 'validation', expected one of train, val, test"),
        ("image,gender", "../1.jpg,m", "line 2: image is '../1.jpg', expected a name within the folder or .zip"),
        ("image,gender", "/a/1.jpg,m", "line 2: image is '/a/1.jpg', expected a name within"),
        ("image,gender", "a\\1.jpg,m", r"line 2: image is 'a\\1.jpg', expected a name within"),
        ("image,gender", "2.jpg,m\n2.jpg,f", "faces.csv: 2.jpg stands in line 2 and in line 3: remove one"),
        ("image,gender", "1.jpg", "line 2: 1 columns, expected 2: the line is damaged, correct it"),
        ("image,agr_years", "1.jpg,3", "has a column 'agr_years', which is none of image, subject, fold, .*: rename"),
        ("image,gender,fold,split", "1.jpg,m,0,test", "has both columns fold and split: remove one"),
        ("image,gender,gender", "1.jpg,m,f", "has two columns 'gender': remove or rename"),
        ("image,subject", "1.jpg,ann", "has none of the columns age_years, age_group, gender, score: add one"),
        ("file;gender", "1.jpg;m", "has no column image, its first line is 'file;gender': expected columns separ"),
        ("image,gender", "", "has no line below its header: add a line for each face"),
        ("image,subject,gender,fold", "1.jpg,ann,f,0\n2.jpg,ann,f,1", "subject ann is both .* line 2 and in line 3"),
        ("image,subject,gender,split", "1.jpg,ann,f,val\n2.jpg,ann,f,test", "ann is both .* line 2 and in line 3"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_file_line_and_value(tmp_path: Path, header: str, line: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path, line, header=header)


def test_the_table_is_found_inside_or_elsewhere(tmp_path: Path) -> None:
    expected = read(tmp_path / "in", *faces(10, 5))
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("labels/t.csv", "\ufeff" + "\r\n".join([HEADER, *faces(10, 5)]))
    zipped, _ = read_csv_table(tmp_path / "set.zip", table="labels/t.csv")
    elsewhere, _ = read_csv_table(tmp_path / "set.zip", table=str(tmp_path / "in" / "faces.csv"))
    pd.testing.assert_frame_equal(elsewhere, expected)
    pd.testing.assert_frame_equal(zipped.drop(columns="row"), expected.drop(columns="row"))
    for name, message in {
        "no.csv": r"there is no no.csv in .*set.zip, nor a file no.csv: correct data.settings.table",
        None: r"data.settings.table is not set: name the table of faces, data.settings.table=faces.csv",
    }.items():
        with pytest.raises(UserError, match=message):
            read_csv_table(tmp_path / "set.zip", table=name)


def test_folds_are_dealt_by_person_and_do_not_depend_on_the_order_of_the_lines(tmp_path: Path) -> None:
    lines = faces(200, 40)
    rows = read(tmp_path / "a", *lines)
    assert rows.groupby("subject")["fold"].nunique().eq(1).all()
    assert sorted(rows["fold"].value_counts()) == [35, 40, 40, 40, 45]
    strata = rows.assign(age=group_of_years(rows["age_years"], "partition")).groupby(["age", "gender", "fold"])
    sizes = strata.size().unstack("fold", fill_value=0)
    assert (sizes.max(axis=1) - sizes.min(axis=1)).max() == 5, "one person's images"
    shuffled = read(tmp_path / "b", *lines[::-1])
    assert dict(zip(shuffled["image"], shuffled["fold"], strict=True)) == dict(
        zip(rows["image"], rows["fold"], strict=True)
    )
    for fold in range(5):
        splits = split(apply_protocol(rows, "csv_folds", "csv"), fold)
        assert splits.groupby("subject")["split"].nunique().eq(1).all()


def test_a_split_is_tested_in_its_only_fold(tmp_path: Path) -> None:
    splits = ["test"] * 5 + ["val"] * 5 + ["train"] * 30
    lines = [f"{n}.jpg,{n},{part}" for n, part in enumerate(splits)]
    rows = read(tmp_path / "three", *lines, header="image,age_years,split")
    assert fitting(rows, "csv") == ["csv_split"]
    counted = split(apply_protocol(rows, "csv_split", "csv"), 0)
    assert counted["image"][counted["split"] == "test"].tolist() == [f"{n}.jpg" for n in range(5)]
    assert counted["split"].ne("test").sum() == 35
    two = read(tmp_path / "two", *lines[5:], header="image,age_years,split")
    assert apply_protocol(two, "csv_split", "csv")["fold"].eq(0).sum() == 5, "without test faces, val is tested"
    with pytest.raises(UserError, match=r"protocol csv_folds needs the column fold, .*: choose from csv_split"):
        apply_protocol(rows, "csv_folds", "csv")
    with pytest.raises(UserError, match=r"protocol csv_split needs the column split, .*: choose from csv_folds"):
        apply_protocol(read(tmp_path / "folds", *faces(5, 5)), "csv_split", "csv")
    assert digest(rows) != digest(rows.assign(split=rows["split"].replace("val", "train")))


def test_a_manifest_lists_missing_images(tmp_path: Path) -> None:
    root = table(tmp_path, faces(10, 5))
    with pytest.raises(UserError, match=r"10 of 10 images are missing under .*, the first is part 0/0.png"):
        read_manifest("csv", root, "csv_folds", table="faces.csv")
    assert len(read_manifest("csv", root, "csv_folds", require_images=False, table="faces.csv", fraction=0.2)) < 10


def test_the_pages_on_data_convert_cfd_and_name_every_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two neutral photographs of rated persons, one of a person without a rating, one smile."""
    names = ["CFD-WM-001-014-N.jpg", "CFD-BF-002-001-N.jpg", "CFD-AF-200-228-N.jpg", "CFD-WM-001-007-HC.jpg"]
    write(tmp_path, {f"Images/{name[4:10]}/{name}": b"x" for name in names})
    write(
        tmp_path, {"norming.csv": ["Target,Race,Gender,Attractive", "WM-001,W,M,7", "BF-002,B,F,2.5", "AF-201,A,F,3"]}
    )
    monkeypatch.chdir(tmp_path)
    docs = Path(__file__).parents[1] / "docs"
    example = (docs / "how-to" / "your-data.md").read_text(encoding="utf-8")
    exec(example.split("```python\n")[1].split("```")[0], {})
    rows, _ = read_csv_table(tmp_path, table="faces.csv")
    assert rows["image"].tolist() == ["Images/BF-002/CFD-BF-002-001-N.jpg", "Images/WM-001/CFD-WM-001-014-N.jpg"]
    assert rows["subject"].tolist() == ["BF-002", "WM-001"]
    assert rows["gender"].tolist() == [1, 0]
    assert rows["attractiveness"].tolist() == [2.0, 5.0]
    page = (docs / "reference" / "data.md").read_text(encoding="utf-8")
    assert [name for name in DATASETS if f"| `{name}` |" not in page] == []
    others = [dataset for name, dataset in DATASETS.items() if name not in ("adience", "generated")]
    assert [each.name for dataset in others for each in dataset.protocols if f"`{each.name}`" not in page] == []


@pytest.mark.usefixtures("hydra")
def test_from_a_table_to_trained_weights(tmp_path: Path) -> None:
    lines = faces(60, 30)
    root = write(tmp_path / "my faces", {line.split(",")[0]: picture(n) for n, line in enumerate(lines)})
    table(root, lines)
    words = ["data=csv", f"data.source='{root}'", "data.settings.table=faces.csv", f"paths.data='{tmp_path}/data'"]
    with pytest.raises(
        UserError, match=r"there is no pack in .*: make it with: agegender prepare data=csv .*table=faces"
    ):
        train(compose("train", overrides=[*words, "tracking=none", f"paths.runs={tmp_path}/runs"]))
    prepare(compose("prepare", overrides=[*words, "workers=1"]))
    here = ["tracking=none", f"paths.runs={tmp_path}/runs", "trainer.progress=false", "trainer.accelerator=cpu"]
    config = compose("train", overrides=[*words, *here, "system=lmtcnn_1_1", "debug=one_step", "protocol.fraction=0.9"])
    train(config)
    (done,) = (tmp_path / "runs").glob("lmtcnn_1_1-*/done")
    metrics = json.loads((done.parent / "metrics.json").read_text())
    assert metrics["test/age_n"] == metrics["test/gender_n"] > 5
