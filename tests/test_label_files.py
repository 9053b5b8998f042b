"""A label file that lies outside the source of the images: after an edit the pack made from it is stale."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose

from agegender.commands.prepare import main as prepare
from agegender.commands.train import train
from agegender.datasets.adience import read_adience
from agegender.datasets.csv_table import read_csv_table
from agegender.datasets.fairface import read_fairface
from agegender.datasets.label_files import changed, noted
from agegender.errors import UserError
from packed_faces import picture
from small_fairface import TRAIN, fairface, labels, write
from small_sets import faces, table
from test_adience_lists import write_lists


def fairface_beside(root: Path) -> tuple[Path, Path]:
    archive = shutil.make_archive(str(root / "faces"), "zip", fairface(root / "faces", labels(20)))
    (root / "faces" / TRAIN).rename(root / TRAIN)
    (root / "in").mkdir()
    shutil.move(archive, root / "faces.zip")
    return root / "faces", root / TRAIN


def read_beside(root: Path) -> Path:
    images, file = fairface_beside(root)
    read_fairface(images)
    return file


def read_given(root: Path) -> Path:
    images, file = fairface_beside(root)
    read_fairface(images, labels=str(file.rename(root / "in" / "mine.csv")))
    return root / "in" / "mine.csv"


def read_table(root: Path) -> Path:
    file = table(root / "elsewhere", faces(10, 5)) / "faces.csv"
    read_csv_table(write(root / "images", {"1.png": b"x"}), table=str(file))
    return file


READ = [read_beside, read_given, read_table]


@pytest.mark.parametrize("read", READ)
def test_what_is_read_outside_the_source_is_noted_with_its_content(
    tmp_path: Path, read: Callable[[Path], Path]
) -> None:
    with noted() as files:
        file = read(tmp_path)
    assert list(files) == [str(file)]
    assert changed(files) is None
    content, times = file.read_text(), file.stat()
    file.write_text(content)
    assert changed(files) is None, "the same content at another time"
    file.write_text(content.replace("1", "2", 1))
    assert file.stat().st_size == times.st_size
    assert changed(files) == file
    file.unlink()
    assert changed(files) is None, "what is gone cannot be compared"


@pytest.mark.parametrize("packed", [False, True])
def test_the_authors_lists_are_noted_one_by_one_or_as_their_archive(tmp_path: Path, drawn: Path, packed: bool) -> None:
    write_lists(tmp_path / "lists", read_adience(drawn, official=False), "gender")
    lists = tmp_path / "lists"
    edited = lists / "test_fold_is_3" / "gender_val.txt"
    if packed:
        edited = lists = Path(shutil.make_archive(str(tmp_path / "lists"), "zip", lists))
    with noted() as files:
        read_adience(drawn, official=False, lists=lists)
    assert len(files) == (1 if packed else 15)
    edited.write_bytes(edited.read_bytes() + b"\n")
    assert changed(files) == edited


def test_a_copy_beside_a_moved_source_is_looked_at_too(tmp_path: Path) -> None:
    with noted() as files:
        file = read_table(tmp_path / "before")
    shutil.copytree(tmp_path / "before", tmp_path / "after")
    moved = (tmp_path / "before" / "images", tmp_path / "after" / "images")
    assert changed(files, *moved) is None
    copy = tmp_path / "after" / file.relative_to(tmp_path / "before")
    copy.write_bytes(file.read_bytes() + b"\n")
    assert changed(files, *moved) == copy
    shutil.rmtree(tmp_path / "before")
    assert changed(files, *moved) == copy


def test_nothing_is_noted_where_all_lies_in_the_source(tmp_path: Path) -> None:
    with noted() as files:
        read_csv_table(table(tmp_path, faces(10, 5)), table="faces.csv")
        read_fairface(fairface(tmp_path / "fairface", labels(20)))
    assert files == {}


@pytest.mark.usefixtures("hydra")
def test_a_run_on_labels_edited_since_is_refused_and_made_possible_again(tmp_path: Path) -> None:
    images = write(tmp_path / "images", {f"{n}.png": picture(n, 16) for n in range(20)})
    lines = [f"{n}.png,{20 + n},m" for n in range(20)]
    header = "image,age_years,gender"
    root = table(tmp_path / "labels", lines, header)
    data = [f"data.source='{images}'", f"data.settings.table='{root}/faces.csv'", f"paths.data='{tmp_path}/data'"]
    words = ["data=csv", "data.size=64", *data]
    prepare(compose("prepare", overrides=[*words, "workers=1"]))
    table(root, [line.replace("m", "f") for line in lines], header)
    here = ["tracking=none", f"paths.runs={tmp_path}/runs", "system=tiny_age_dldl", "system.model.input_size=64"]
    config = compose("train", overrides=[*words, *here])
    with pytest.raises(UserError, match=r"stale, its label file .*faces.csv has changed: make it again with: agegend"):
        train(config)
    open_again = compose("train", overrides=["data=csv", "data.size=64", f"paths.data='{tmp_path}/data'", *here])
    with pytest.raises(
        UserError, match=rf"data.source={re.escape(str(images))} data.settings.table={re.escape(str(root))}"
    ):
        train(open_again)
    table(root, lines, header)
    manifest = (tmp_path / "data/packs/csv-64/manifest.csv").read_bytes()
    prepare(compose("prepare", overrides=[*words, "workers=1"]))
    assert (tmp_path / "data/packs/csv-64/manifest.csv").read_bytes() == manifest
    table(root, [line.replace("m", "f") for line in lines], header)
    prepare(compose("prepare", overrides=[*words, "workers=1"]))
    assert ",1," in (tmp_path / "data/packs/csv-64/manifest.csv").read_text().splitlines()[1]
