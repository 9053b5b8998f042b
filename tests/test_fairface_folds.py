"""What is made of FairFace's rows: folds, protocols and fractions, and what `prepare` and a table say of them."""

import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from PIL import Image

from agegender.commands.prepare import main as prepare
from agegender.config.settings import config_folder
from agegender.data.pack import Pack
from agegender.data.splits import split
from agegender.datasets.fairface import read_fairface
from agegender.datasets.protocols import PROTOCOLS, apply_protocol
from agegender.errors import UserError
from agegender.metrics import evaluate, face_values, headline_of, metrics_of
from agegender.report.caption import caption
from agegender.tasks import TASKS
from made_runs import made_run
from small_fairface import HEADER, TRAIN, VAL, fairface, images, labels, write


def test_folds_hold_an_even_share_of_every_stratum(tmp_path: Path) -> None:
    rows, _ = read_fairface(fairface(tmp_path, labels(703), 703))
    for strata in (["age_decades", "gender", "race"], ["age_decades", "gender"], ["age_decades"], ["published_part"]):
        sizes = rows.groupby([*strata, "fold"]).size().unstack("fold", fill_value=0)
        assert sizes.shape[1] == 5
        assert (sizes.max(axis=1) - sizes.min(axis=1)).max() <= 1


def test_the_dealing_rule_is_the_documented_one(tmp_path: Path) -> None:
    """By `printf %s 1 | md5sum`: c4.. (1), c8.. (2), ec.. (3), a8.. (4), e4.. (5), 16.. (6), 8f.. (7)."""
    lines = [HEADER, *(f"train/{i}.jpg,0-2,Female,White,True" for i in range(1, 8))]
    lines += ["train/8.jpg,0-2,Male,White,True", "train/9.jpg,0-2,Male,Indian,True"]
    rows, _ = read_fairface(fairface(tmp_path, lines, 9))
    order = [9, 8, 6, 7, 4, 1, 2, 5, 3]  # male before female, Indian before White, then by md5
    assert dict(zip(rows["image"], rows["fold"], strict=True)) == {f"train/{n}.jpg": i % 5 for i, n in enumerate(order)}


def test_byte_identical_faces_are_one_subject_and_stay_in_one_fold(tmp_path: Path) -> None:
    copies = {f"train/{i}.jpg": b"the same" for i in (3, 40, 41, 99)}
    faces = {**images(100), **copies, **images(4, "val"), "val/2.jpg": b"the same"}
    rows, dropped = read_fairface(write(tmp_path, {**faces, TRAIN: labels(100), VAL: labels(4, "val")}))
    assert dropped == {}
    same = rows["subject"] == "train/3.jpg"
    assert rows.loc[same, "image"].tolist() == list(copies)
    assert rows.loc[same, "fold"].nunique() == 1
    assert rows["subject"].notna().sum() == 4
    for protocol, folds in (("fairface_folds", range(5)), ("fairface_published", [0])):
        for fold in folds:
            splits = split(apply_protocol(rows, protocol, "fairface"), fold)
            assert splits[splits["subject"].notna()]["split"].nunique() == 1


@pytest.fixture
def both_parts(tmp_path: Path) -> pd.DataFrame:
    files: dict[str, bytes | Sequence[str]] = {
        **images(300),
        **images(60, "val"),
        TRAIN: labels(300),
        VAL: labels(60, "val"),
    }
    return read_fairface(write(tmp_path / "both", files))[0]


def test_five_folds_leave_the_published_validation_faces_alone(both_parts: pd.DataFrame) -> None:
    rows = apply_protocol(both_parts, "fairface_folds", "fairface")
    assert both_parts["fold"].isna().sum() == 60
    assert set(rows["image"]) == set(images(300))
    assert sorted(rows["fold"].unique()) == [0, 1, 2, 3, 4]
    assert PROTOCOLS["fairface_folds"].age_task == "age_decades"


def test_the_published_split_tests_on_the_validation_faces_in_its_only_fold(both_parts: pd.DataFrame) -> None:
    rows = apply_protocol(both_parts, "fairface_published", "fairface")
    splits = split(rows, 0)
    assert set(splits["image"][splits["split"] == "test"]) == set(images(60, "val"))
    assert set(splits["image"][splits["split"] != "test"]) == set(images(300))
    assert splits["split"].eq("validation").sum() >= 30
    assert PROTOCOLS["fairface_published"].folds == 1
    for fold in (1, 2, 3, 4):
        with pytest.raises(UserError, match=rf"fold={fold} has no test rows: .* use another fold"):
            split(rows, fold)
    only_training = apply_protocol(both_parts[:300], "fairface_published", "fairface")
    with pytest.raises(UserError, match=r"fold=0 has no test rows: .* a more complete copy"):
        split(only_training, 0)


@pytest.mark.parametrize("name", ["fairface_folds", "fairface_published"])
def test_a_fraction_keeps_its_share_of_every_stratum_and_nests(both_parts: pd.DataFrame, name: str) -> None:
    def kept(fraction: float) -> pd.DataFrame:
        return apply_protocol(both_parts, name, "fairface", fraction=fraction)

    strata = ["fold", "age_decades", "gender"]
    whole = kept(1.0).groupby(strata).size()
    assert (kept(0.5).groupby(strata).size() == -(-whole // 2)).all()
    assert set(kept(0.2)["image"]) < set(kept(0.5)["image"])


def jpeg(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (32, 32), (number % 256, number // 256, 90)).save(file, "JPEG", quality=100)
    return file.getvalue()


def test_prepare_counts_what_was_repaired_and_dropped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = {f"train/{i + 1}.jpg": jpeg(9 * i) for i in range(4)}
    lines = [*labels(4), *labels(2, "val")[1:]]
    lines = [line.replace(",3-9,", ",03-Sep,").replace(",10-19,", ",Oct-19,") for line in lines]
    root = write(tmp_path / "a set", {**pictures, TRAIN: lines})
    with initialize_config_dir(config_folder(), version_base="1.3"):
        settings = [
            "data=fairface",
            f"data.source='{root}'",
            f"paths.data='{tmp_path}/data'",
            "data.size=16",
            "workers=1",
        ]
        prepare(compose("prepare", overrides=settings))
    said = " ".join(capsys.readouterr().err.split())
    assert f"repaired 2 labels, such as '03-Sep' in {TRAIN}:3" in said
    assert "dropped 2 faces: row of the published part val, of which no image is here, such as val/1.jpg" in said
    assert (tmp_path / "data" / "packs" / "fairface-16" / "faces.npy").is_file()


def test_a_table_says_how_many_of_the_published_faces_it_is_about(both_parts: pd.DataFrame) -> None:
    pack = Pack(None, both_parts, "0" * 64, {"missing": 0})  # type: ignore[arg-type]
    partial = {
        name: caption(made_run(data="fairface", protocol=name), pack, "faces")["partial"]
        for name in ("fairface_folds", "fairface_published")
    }
    assert partial == {
        "fairface_folds": "300 of 86,744 published faces",
        "fairface_published": "360 of 97,698 published faces",
    }


def test_the_table_has_a_column_for_every_metric_of_the_nine_groups() -> None:
    faces = pd.DataFrame({"age_decades_true": [0, 8, 4], "age_decades_pred": [0, 6, 5]})
    faces = faces.assign(**{f"age_decades_p{label}": 1 / 9 for label in range(9)})
    values, task = evaluate(faces, ["age_decades"]), TASKS["age_decades"]
    metrics = metrics_of(task)
    assert {metric.name for metric in metrics} | {"age_decades_n"} == set(values)
    assert metrics[0].title == "age decades exact"
    assert headline_of(task).name == "age_decades_exact"
    for metric in metrics:
        assert face_values(faces, task, metric.kind).mean() == pytest.approx(values[metric.name])
