"""ChaLearn, APPA-REAL, MORPH-II, SCUT-FBP5500 and All-Age-Faces: their layouts, folds, counts and errors."""

from pathlib import Path

import pandas as pd
import pytest
from hydra import compose

from agegender.commands.prepare import main as prepare
from agegender.commands.train import train
from agegender.data.manifest import read_rows
from agegender.data.splits import split
from agegender.datasets.all_age_faces import read_all_age_faces
from agegender.datasets.chalearn import APPA_REAL, CHALEARN15, CHALEARN16, read_chalearn
from agegender.datasets.labels import group_of_years
from agegender.datasets.morph2 import read_morph2
from agegender.datasets.protocols import apply_protocol, fitting
from agegender.datasets.scut_fbp5500 import read_scut_fbp5500
from agegender.errors import UserError
from packed_faces import picture
from small_fairface import write
from small_sets import FOLDS, all_age_faces, appa_real, chalearn, morph2, scut

AGES = {part: [f"{mean}.5,{1 + mean % 3}.25" for mean in range(99)] for part in ("train", "valid", "test")}


def test_chalearn_2015_is_tested_on_its_validation_faces(tmp_path: Path) -> None:
    root = chalearn(tmp_path, 15, {part: AGES[part] for part in ("train", "valid")})
    rows, _ = read_chalearn(root, CHALEARN15, official=False)
    assert rows["image"].tolist() == [f"{part}/image_{n}.jpg" for part in ("Train", "Valid") for n in range(99)]
    assert rows["age_years"].tolist() == [n + 0.5 for n in range(99)] * 2
    assert rows["age_years_sd"].tolist()[:4] == [1.25, 2.25, 3.25, 1.25]
    assert rows["row"].tolist()[99] == "valid15_gt.csv:1"
    assert rows["gender"].isna().all() and rows["subject"].isna().all()
    counted = apply_protocol(rows, "chalearn15_published", "chalearn15")
    assert counted["age_group"].tolist() == group_of_years(rows["age_years"], "partition").tolist()
    splits = split(counted, 0)
    assert splits["image"][splits["split"] == "test"].str.startswith("Valid/").all()
    assert splits["split"].value_counts().to_dict() == {"test": 99, "train": 85, "validation": 14}
    assert len(apply_protocol(rows, "chalearn15_published", "chalearn15", fraction=0.5)) == 2 * (
        2 + 2 + 4 + 5 + 6 + 5 + 6 + 21
    )


@pytest.mark.parametrize("name", ["chalearn16", "appa_real"])
def test_sets_with_test_labels_train_on_their_validation_faces(tmp_path: Path, name: str) -> None:
    if name == "chalearn16":
        rows, _ = read_rows(name, chalearn(tmp_path, 16, AGES))
        assert rows["image"].tolist()[:2] == ["train/image_0.jpg", "train/image_1.jpg"]
    else:
        rows, _ = read_chalearn(appa_real(tmp_path, AGES), APPA_REAL, official=False)
        assert rows["image"].tolist()[:2] == ["train/000000.jpg_face.jpg", "train/000001.jpg_face.jpg"]
    assert rows["age_years"].tolist() == [n + 0.5 for n in range(99)] * 3
    assert rows["split"].value_counts().to_dict() == {"train": 99, "val": 99, "test": 99}
    assert fitting(rows, name) == [f"{name}_published"]
    counted = apply_protocol(rows, f"{name}_published", name)
    assert counted.loc[counted["fold"] == 0, "split"].unique().tolist() == ["test"]
    assert counted["fold"].eq(-1).sum() == 198


@pytest.mark.parametrize(
    ("year", "valid", "message"),
    [
        (15, ["30,-1"], r"valid15_gt.csv line 1: stdv is '-1', expected a standard deviation of at least 0"),
        (16, ["30,"], r"valid_gt.csv line 2: stdv is '', expected a standard deviation beside mean"),
        (16, ["100.5,2"], r"valid_gt.csv line 2: mean is '100.5', expected a number from 0 to 100"),
        (16, ["30,2", ",2"], r"valid_gt.csv line 3: mean is '', expected an age in years"),
        (15, ["30"], r"valid15_gt.csv line 1: 2 columns, expected 3: the line is damaged"),
    ],
)
def test_a_wrong_apparent_age_is_told(tmp_path: Path, year: int, valid: list[str], message: str) -> None:
    root = chalearn(tmp_path, year, {"train": ["30,2"], "valid": valid, "test": ["30,2"]})
    with pytest.raises(UserError, match=message):
        read_chalearn(root, {15: CHALEARN15, 16: CHALEARN16}[year], official=False)


def test_published_sizes_missing_lists_and_two_copies_of_an_image_are_told(tmp_path: Path) -> None:
    root = chalearn(tmp_path, 15, {part: ["30,2"] for part in ("train", "valid")})
    with pytest.raises(UserError, match=r"train15_gt.csv has 1 lines of faces, 2,476 are published: fetch it again"):
        read_rows("chalearn15", root)
    with pytest.raises(UserError, match=r"has no train_gt.csv: expected one, with image, mean, stdv of each image"):
        read_rows("chalearn16", root)
    write(root, {"aligned/Train/image_0.jpg": b"x"})
    with pytest.raises(UserError, match=r"holds Train/image_0.jpg and aligned/Train/image_0.jpg: remove or rename"):
        read_chalearn(root, CHALEARN15, official=False)


def test_morph2_keeps_persons_apart_or_by_its_other_protocol_does_not(tmp_path: Path) -> None:
    rows, _ = read_rows("morph2", morph2(tmp_path, 100))
    assert rows.iloc[0][["image", "subject", "age_years", "gender", "row"]].tolist() == [
        "MORPH/Album2/000000_0F16.JPG",
        "000000",
        16,
        1,
        "morph_2008_nonCommercial.csv:2",
    ]
    assert rows["gender"].tolist() == [int(person % 4 == 0) for person in range(100) for _ in range(3)]
    exclusive = apply_protocol(rows, "morph2_exclusive", "morph2")
    assert exclusive.groupby("subject")["fold"].nunique().eq(1).all()
    splits = split(exclusive, 3)
    assert splits.groupby("subject")["split"].nunique().eq(1).all()
    drawn = apply_protocol(rows, "morph2_random", "morph2")
    assert drawn["subject"].isna().all()
    assert drawn["fold"].value_counts().between(55, 65).all()
    assert drawn.groupby(rows["subject"])["fold"].nunique().gt(1).mean() > 0.8, "most persons stand in several folds"
    assert split(drawn, 3)["split"].eq("test").sum() == (drawn["fold"] == 3).sum()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("7,30,Album2/7_0X30.JPG", r"line 2: photo is 'Album2/7_0X30.JPG', expected a name as in Album2/009055_1M54.J"),
        ("7,,Album2/7_0M30.JPG", r"line 2: age is '', expected an age in years"),
        (",30,Album2/7_0M30.JPG", r"line 2: id_num is '', expected the person's number"),
        ("7,130,Album2/7_0M30.JPG", r"line 2: age is '130', expected a number from 0 to 100"),
    ],
)  # fmt: skip
def test_a_wrong_line_of_morph2_is_told(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_morph2(write(tmp_path, {"morph_2008_nonCommercial.csv": ["id_num,age,photo", line]}))
    with pytest.raises(
        UserError, match=r"has 0 files morph_2008_nonCommercial.csv: expected MORPH-II's folder or .zip"
    ):
        read_morph2(write(tmp_path / "empty", {"readme.txt": b"x"}))


@pytest.mark.parametrize("second", [True, False])
def test_scut_has_the_published_folds_whichever_names_its_faces_have(tmp_path: Path, second: bool) -> None:
    rows, _ = read_scut_fbp5500(scut(tmp_path / "SCUT-FBP5500_v2", 60, second), official=False)
    assert rows["fold"].tolist() == [fold for fold in range(5) for _ in range(60)]
    assert rows["gender"].tolist()[:4] == [1, 0, 1, 0]
    assert rows["attractiveness"].tolist()[:3] == [1.0, 1.1, 1.2]
    assert rows["image"].iloc[0] == f"Images/{'AF' if second else 'fty'}0.jpg"
    counted = apply_protocol(rows, "scut_fbp5500_folds", "scut_fbp5500")
    assert counted["age_group"].isna().all()
    assert split(counted, 1)["split"].value_counts().to_dict() == {"train": 216, "test": 60, "validation": 24}
    assert 0 < len(apply_protocol(rows, "scut_fbp5500_folds", "scut_fbp5500", fraction=0.2)) < 100


def test_scut_is_counted(tmp_path: Path) -> None:
    rows, _ = read_rows("scut_fbp5500", scut(tmp_path / "whole", 1100))
    assert len(rows) == 5500
    with pytest.raises(UserError, match=r"test_1.txt has 1,099 lines, 1,100 are published: fetch it again"):
        read_rows("scut_fbp5500", scut(tmp_path / "cut", 1099))


@pytest.mark.parametrize(
    ("part", "lines", "message"),
    [
        ("test_2", ["AF1.jpg 5.5"], r"test_2.txt line 1: score is '5.5', expected a number from 1 to 5"),
        ("test_2", ["AX1.jpg 2.5"], r"test_2.txt line 1: image is 'AX1.jpg', expected a name as in AF1031.jpg"),
        ("test_2", ["AF0.jpg 1"], r"AF0.jpg is tested in two folds, again in test_2.txt:1"),
        ("train_1", ["AF1.jpg 1"], r"train_1.txt does not hold the faces and scores of the other test lists"),
        (
            "train_3",
            ["AF0.jpg 3", "AF1.jpg 1", "AF3.jpg 1", "AF4.jpg 1"],
            r"train_3.txt does not hold the faces and sc",
        ),
    ],
)
def test_scut_lists_that_contradict_each_other_are_refused(
    tmp_path: Path, part: str, lines: list[str], message: str
) -> None:
    root = scut(tmp_path, 1)
    write(root, {f"{FOLDS}/cross_validation_{part[-1]}/{part}.txt": lines})
    with pytest.raises(UserError, match=message):
        read_scut_fbp5500(root, official=False)


def test_all_age_faces_are_annotated_by_their_serials(tmp_path: Path) -> None:
    serials = [0, 7380, 7381, 13321, 13322, *range(100, 300)]
    root = all_age_faces(all_age_faces(tmp_path, serials), [5], "original images")
    rows, dropped = read_rows("all_age_faces", root, variant="auto")
    assert dropped == {"serial above 13321": ["aligned faces/13322A52.jpg"]}
    by_serial = rows.set_index("subject")
    assert by_serial.loc[["00000", "07380", "07381", "13321"], "gender"].tolist() == [1, 1, 0, 0]
    assert by_serial["age_years"]["00100"] == 2 + 100 % 79
    counted = apply_protocol(rows, "all_age_faces_folds", "all_age_faces")
    sizes = counted.groupby(["age_group", "gender", "fold"]).size().unstack("fold", fill_value=0)
    assert (sizes.max(axis=1) - sizes.min(axis=1)).max() == 1
    original, _ = read_all_age_faces(root, variant="original")
    assert original["image"].tolist() == ["original images/00005A07.jpg"]
    write(root, {"aligned faces/00100A33.jpg": b"x"})
    for variant, message in {
        "auto": r"aligned faces/00100A23.jpg and aligned faces/00100A33.jpg have one serial, which is one person once",
        "cropped": r"has no variant 'cropped': choose from aligned, original, auto",
    }.items():
        with pytest.raises(UserError, match=message):
            read_all_age_faces(root, variant=variant)
    with pytest.raises(
        UserError, match=r"holds no face named as in 00000A02.jpg in 'aligned faces': expected All-Age-F"
    ):
        read_all_age_faces(write(tmp_path / "empty", {"readme.txt": b"x"}))


@pytest.mark.usefixtures("hydra")
def test_all_age_faces_as_published_spell_a_folder_otherwise_and_what_is_read_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    serials = [0, 7380, 7381, 13321]
    root = all_age_faces(all_age_faces(tmp_path / "set", serials, "aglined faces"), serials, "original images")
    genders = {f"{serial:05}A{2 + serial % 79:02}.jpg": int(serial > 7380) for serial in serials}
    lines = [f"{name} {gender}" for name, gender in genders.items()]
    write(root, {"image sets/train.txt": lines[:3], "image sets/val_.txt": lines[3:], "image sets/other.txt": ["?"]})
    rows, _ = read_all_age_faces(root)
    assert rows["image"].tolist() == [f"aglined faces/{name}" for name in genders]
    write(root, {f"{folder}/{name}": picture(7) for folder in ("aglined faces", "original images") for name in genders})
    words = ["data=all_age_faces", "data.size=16", f"data.source='{root}'", f"paths.data='{tmp_path}'", "workers=1"]
    for variant, folder in {"auto": "aglined faces", "original": "original images"}.items():
        prepare(compose("prepare", overrides=[*words, f"data.settings.variant={variant}"]))
        assert f"4 faces in {root}/{folder}\n" in capsys.readouterr().err
    write(root, {"image sets/val_.txt": [f"{name} {1 - gender}" for name, gender in genders.items()]})
    with pytest.raises(UserError, match=r"val_.txt line 1 is '00000A02.jpg 1', where serials are annotated 0 \(female"):
        read_all_age_faces(root)


def test_years_and_scores_are_of_the_types_that_the_manifest_promises(tmp_path: Path) -> None:
    sets = {
        "chalearn16": chalearn(tmp_path / "c", 16, AGES),
        "morph2": morph2(tmp_path / "m", 10),
        "all_age_faces": all_age_faces(tmp_path / "a", range(10)),
    }
    dtypes = {name: read_rows(name, root)[0].dtypes.astype(str).to_dict() for name, root in sets.items()}
    assert {name: dtypes[name]["age_years"] for name in sets} == {
        "chalearn16": "Float64",
        "morph2": "Int64",
        "all_age_faces": "Int64",
    }
    for types in dtypes.values():
        assert {types[name] for name in ("age_group", "fold", "gender")} == {"Int64"}
    rows, _ = read_scut_fbp5500(scut(tmp_path / "s", 4), official=False)
    assert isinstance(rows["attractiveness"].dtype, pd.Float64Dtype)


@pytest.mark.usefixtures("hydra")
def test_age_groups_train_on_a_set_without_gender_and_folds(tmp_path: Path) -> None:
    root = chalearn(tmp_path / "lap", 16, {part: lines[::2] for part, lines in AGES.items()})
    names = [file.relative_to(root).as_posix() for file in sorted(root.rglob("*.jpg"))]
    write(root, {name: picture(n, 16) for n, name in enumerate(names)})
    words = ["data=chalearn16", f"data.source='{root}'", f"paths.data='{tmp_path}/data'", "data.size=227"]
    prepare(compose("prepare", overrides=[*words, "workers=1"]))
    here = ["tracking=none", f"paths.runs={tmp_path}/runs", "trainer.progress=false", "trainer.accelerator=cpu"]
    train(compose("train", overrides=[*words, *here, "system=lmtcnn_1_1_age", "debug=one_step"]))
    (done,) = (tmp_path / "runs").glob("lmtcnn_1_1_age-*/done")
    predictions = pd.read_csv(done.parent / "predictions.csv")
    assert predictions["image"].str.startswith("test/").all()
    assert len(predictions) == 50
    with pytest.raises(UserError, match=r"fold=1: protocol chalearn16_published has one fold, choose fold=0"):
        train(compose("train", overrides=[*words, *here, "system=lmtcnn_1_1_age", "fold=1"]))
