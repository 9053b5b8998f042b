"""Names of images and of folders: what is refused, what is found in another spelling, what is said of the nearest."""

import os
import sys
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hydra import compose

from agegender.commands.prepare import main as prepare
from agegender.data.images import decode
from agegender.data.manifest import read_manifest, read_rows
from agegender.datasets.names import locate
from agegender.errors import UserError
from packed_faces import SIZE, build, manifest_of, picture, reopen, write_faces
from small_fairface import HEADER, TRAIN, write
from small_sets import all_age_faces, chalearn, morph2, table

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="macOS has no such names")
COMPOSED, APART = (unicodedata.normalize(form, "père") for form in ("NFC", "NFD"))


def test_a_name_is_found_as_it_is_or_in_its_only_other_composition() -> None:
    assert locate(["a", "b"], ["b", "c"]) == {"b": "b"}
    assert locate([COMPOSED, "b"], [APART, "b"]) == {COMPOSED: APART, "b": "b"}
    assert locate([APART], [COMPOSED]) == {APART: COMPOSED}
    both = [COMPOSED, APART]
    assert locate(both, both) == dict(zip(both, both, strict=True))
    assert locate(both, [APART]) == {APART: APART}, "one image is not two"
    other = "pe\u0300re e\u0301", "p\u00e8re e\u0301", "p\u00e8re \u00e9"
    assert locate(other[:1], other[1:]) == {}, "which of the two is not known"


@on_linux
@pytest.mark.parametrize("packed", [False, True])
def test_faces_copied_on_a_mac_are_packed_under_the_names_of_the_table(tmp_path: Path, packed: bool) -> None:
    named = [f"{COMPOSED} {number}.png" for number in range(3)]
    files = {unicodedata.normalize("NFD", name): picture(number) for number, name in enumerate(named)}
    source = write(tmp_path / "faces", files)
    if packed:
        source = tmp_path / "faces.zip"
        with zipfile.ZipFile(source, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    build(tmp_path / "pack", source, manifest_of(named))
    pack = reopen(tmp_path / "pack")
    assert pack.manifest["image"].tolist() == named
    np.testing.assert_array_equal(pack.images, [decode(content, SIZE) for content in files.values()])
    table(tmp_path, [f"{name},30" for name in named], "image,age_years")
    assert read_manifest("csv", source, table=f"{tmp_path}/faces.csv")["image"].tolist() == named


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("user 0/FACE 0000.png", "but it holds user 0/face 0000.png: give both the same spelling"),
        ("face 0001.png", "but it holds user 1/face 0001.png: choose .*faces/user 1 as data.source"),
        ("all/user 1/face 0001.png", "but it holds user 1/face 0001.png: choose the folder above it as data.source"),
        ("face 0002.jpg", "but it holds user 2/face 0002.png: give both the same spelling"),
        ("x.png", r"is it the right root\? It holds 3 files, such as user 0/face 0000.png"),
    ],
)
def test_a_source_with_none_of_the_images_is_told_with_the_nearest(tmp_path: Path, wanted: str, said: str) -> None:
    write_faces(tmp_path / "faces", 3)
    with pytest.raises(UserError, match=f"faces holds none of the 1 images, such as {wanted}.*{said}"):
        build(tmp_path / "pack", tmp_path / "faces", manifest_of([wanted]))


def test_one_image_in_another_spelling_is_named_beside_what_is_missing(tmp_path: Path) -> None:
    names = write_faces(tmp_path / "faces", 3)
    (tmp_path / "faces" / names[1]).rename(tmp_path / "faces" / "user 1" / "FACE 0001.PNG")
    near = r"user 1/face 0001.png: not in the source \(nearest is user 1/FACE 0001.PNG\)"
    with pytest.raises(UserError, match=near):
        build(tmp_path / "pack", tmp_path / "faces", manifest_of(names))
    with pytest.raises(UserError, match=r"1 of 1 images are missing .* first is A.png \(nearest is a.png\): complete"):
        root = table(write(tmp_path / "one", {"a.png": b"x"}), ["A.png,30"], "image,age_years")
        read_manifest("csv", root, table="faces.csv")


@on_linux
@pytest.mark.parametrize("sign", ["\n", "\x00", "\x1b", "\x85"])
def test_control_characters_in_a_name_are_refused_whichever_reader_let_them_pass(tmp_path: Path, sign: str) -> None:
    name = f"7_0{sign}_0M30.JPG"
    sets: dict[str, Path] = {}
    if sign not in "\n\x85":  # which end a line of a table
        photo = f"id_num,age,photo\n7,30,Album2/{name}\n".encode()
        sets["morph2"] = write(tmp_path / "m", {"morph_2008_nonCommercial.csv": photo})
        sets["chalearn16"] = chalearn(tmp_path / "c", 16, {part: ["30,2"] for part in ("train", "valid", "test")})
        write(sets["chalearn16"], {"train_gt.csv": f"image,mean,stdv\n{name},30,2\n".encode()})
        sets["csv"] = write(tmp_path / "t", {"faces.csv": f"image,age_years\n{name},30\n".encode()})
    if sign != "\x00":  # which no file has in its name
        sets["utkface"] = write(tmp_path / "u", {f"30_0_0_2017{sign}.jpg": b"x"})
    for dataset, root in sets.items():
        options = {"table": "faces.csv"} if dataset == "csv" else {}
        with pytest.raises(UserError, match=r"has an image with a control character in its name, '.*\\.*': rename it"):
            read_rows(dataset, root, **options)


@on_linux
@pytest.mark.usefixtures("hydra")
def test_a_name_that_is_not_utf8_is_left_out_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write(tmp_path / "utk", {f"2{n}_{n % 2}_0_2017{n}.png": picture(n) for n in range(4)})
    (root / os.fsdecode(b"25_0_0_2017 caf\xe9.png")).write_bytes(picture(9))
    (root / os.fsdecode(b"B\xfccher.txt")).write_bytes(b"x")
    words = ["data=utkface", "data.size=16", f"data.source='{root}'", f"paths.data='{tmp_path}'"]
    prepare(compose("prepare", overrides=[*words, "workers=1"]))
    said = " ".join(capsys.readouterr().err.split())
    assert f"4 faces in {root}" in said
    assert r"dropped 1 faces: file name that is not UTF-8, such as '25_0_0_2017 caf\udce9.png'" in said
    assert "images │ 4" in said


def test_a_set_of_which_no_face_is_left_is_refused(tmp_path: Path) -> None:
    same = write(tmp_path / "u", {f"{20 + n}_0_0_2017{n}.jpg": b"the same" for n in range(5)})
    with pytest.raises(UserError, match=r"no face to use: 5 identical image with another label \(such as 20_0_0_20170"):
        read_rows("utkface", same)
    with pytest.raises(UserError, match=r"no face to use: 2 serial above 13321"):
        read_rows("all_age_faces", all_age_faces(tmp_path / "a", [13322, 14000]))
    with pytest.raises(UserError, match=r"no face to use: its lists are empty"):
        read_rows("morph2", morph2(tmp_path / "m", 0))


def test_digits_of_other_scripts_are_no_numbers(tmp_path: Path) -> None:
    """As `int` and `\\d` would take them; these are Arabic."""
    faces = {"30_0_0_2017.jpg": b"a", "\u0663\u0660_0_0_2017.jpg": b"b", "30_0_\u0660_2018.jpg": b"c"}
    rows, dropped = read_rows("utkface", write(tmp_path / "u", faces))
    assert rows["image"].tolist() == ["30_0_0_2017.jpg"] and len(dropped["malformed name"]) == 2
    root = write(tmp_path / "a", {"aligned faces/\u0660\u0660\u0660\u0660\u0661A30.jpg": b"x"})
    assert len(read_rows("all_age_faces", all_age_faces(root, [2]))[0]) == 1
    with pytest.raises(UserError, match="line 2: age_years is '\u0663\u0660', expected a number from 0 to 100"):
        read_rows("csv", table(tmp_path / "c", ["1.jpg,\u0663\u0660"], "image,age_years"), table="faces.csv")
    with pytest.raises(UserError, match=r"line 2: photo is 'Album2/7_0M\u0663\u0660\.JPG', expected a name as in"):
        photo = ["id_num,age,photo", "7,30,Album2/7_0M\u0663\u0660.JPG"]
        read_rows("morph2", write(tmp_path / "m", {"morph_2008_nonCommercial.csv": photo}))
    with pytest.raises(UserError, match="line 2: age is 'Oct-\u00b2', expected one of 0-2"):
        labels = [HEADER, "train/1.jpg,Oct-\u00b2,Male,White,True"]
        read_rows("fairface", write(tmp_path / "f", {"train/1.jpg": b"x", TRAIN: labels}))
