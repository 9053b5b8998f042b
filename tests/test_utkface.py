import zipfile
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest

from agegender.data.manifest import digest, read_manifest
from agegender.datasets.utkface import read_utkface
from agegender.errors import UserError

UTKFACE = Path(__file__).parents[2] / "shared" / "data" / "utkface-160px-webp.zip"


def write(root: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def pack(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def faces(count: int, suffix: str = ".jpg.chip.jpg") -> dict[str, bytes]:
    """Files of distinct content, with every age 0..116 and both genders."""
    return {f"part1/{i % 117}_{i // 117 % 2}_{i % 5}_2017{i:013d}{suffix}": f"face {i}".encode() for i in range(count)}


def test_labels_come_from_the_name_whatever_the_suffix(tmp_path: Path) -> None:
    names = [
        "0_1_4_20170110213126361.jpg.chip.jpg",
        "116_0_0_20170112213500903.WEBP",
        "24_0_1_20170116220224657 .png",
        "55_0_0_20170116232725357jpg.chip.jpg",
    ]
    rows, dropped = read_utkface(write(tmp_path, {name: name.encode() for name in names}))
    assert rows["image"].tolist() == names
    assert rows["age_years"].tolist() == [0, 116, 24, 55]
    assert rows["gender"].tolist() == [1, 0, 0, 0]
    assert rows["age_group"].tolist() == [0, 7, 4, 6]
    assert rows["subject"].isna().all()
    assert dropped == {}


def test_malformed_names_are_dropped_and_counted(tmp_path: Path) -> None:
    bad = {
        "39_1_20170116174525125.jpg.chip.jpg": b"no race",
        "61_3_0_20170109142408075.jpg": b"no such gender",
        "53__0_20170116184028385.jpg": b"no gender",
        "20_1_0_20170116184028385.txt": b"no image",
        "117_1_0_20170109150557335.jpg": b"too old",
    }
    rows, dropped = read_utkface(write(tmp_path, {**faces(10), **bad}))
    assert len(rows) == 10
    assert {reason: len(names) for reason, names in dropped.items()} == {
        "malformed name": 4,
        "age above 116": 1,
    }


def test_identical_images_are_dropped_by_whether_their_labels_agree(tmp_path: Path) -> None:
    copies = {
        "8_0_0_20170000000000009.jpg": b"agree",
        "8_0_3_20170000000000001.jpg": b"agree",
        "8_0_0_20170000000000005.jpg": b"agree",
        "30_1_0_20170000000000001.jpg": b"another age",
        "31_1_0_20170000000000001.jpg": b"another age",
        "40_0_0_20170000000000001.jpg": b"another gender",
        "40_0_0_20170000000000002.jpg": b"another gender",
        "40_1_0_20170000000000001.jpg": b"another gender",
    }
    rows, dropped = read_utkface(write(tmp_path, copies))
    assert rows["image"].tolist() == ["8_0_0_20170000000000005.jpg"]
    assert sorted(dropped["identical image with another label"]) == sorted(copies)[:5]
    assert dropped["identical image with the same label"] == [
        "8_0_0_20170000000000009.jpg",
        "8_0_3_20170000000000001.jpg",
    ]


def test_folds_are_balanced_in_every_stratum(tmp_path: Path) -> None:
    rows, _ = read_utkface(write(tmp_path, faces(700)))
    sizes = rows.groupby(["age_group", "gender", "fold"]).size().unstack("fold", fill_value=0)
    assert sizes.shape == (16, 5)
    assert (sizes.max(axis=1) - sizes.min(axis=1)).max() <= 1


def test_folds_depend_neither_on_suffix_folder_nor_rule(tmp_path: Path) -> None:
    folder = write(tmp_path / "jpeg", faces(300))
    moved = {f"other/{Path(name).name}": content for name, content in faces(300, ".webp").items()}
    other = pack(tmp_path / "webp.zip", moved)
    jpeg, _ = read_utkface(folder)
    webp, _ = read_utkface(other, groups="exact")
    stems = [rows["image"].str.extract(r"([^/.]+)\.[^/]*$", expand=False) for rows in (jpeg, webp)]
    assert dict(zip(stems[0], jpeg["fold"], strict=True)) == dict(zip(stems[1], webp["fold"], strict=True))
    assert webp["age_group"].isna().any()
    assert digest(jpeg) != digest(webp)


def test_the_dealing_rule_is_the_documented_one(tmp_path: Path) -> None:
    """By `printf %s 30_0_0_2017000000000000$i | md5sum`: 0e.. (5), 1a.. (1), 6b.. (0), 80.. (2), ae.. (4), c5.. (3)."""
    names = [f"30_0_0_2017000000000000{i}" for i in range(6)]
    rows, _ = read_utkface(write(tmp_path, {f"{name}.jpg": name.encode() for name in names}))
    assert rows["fold"].tolist() == [2, 1, 3, 0, 4, 0]


def test_reads_a_zip_and_ignores_what_systems_leave_behind(tmp_path: Path) -> None:
    litter = {"__MACOSX/part1/._9_1_0_2017.jpg": b"x", "part1/.DS_Store": b"x", "part1/._9_1_0_2017.jpg": b"x"}
    path = pack(tmp_path / "faces.zip", {**faces(6), **litter})
    rows, dropped = read_utkface(path)
    assert set(rows["image"]) == set(faces(6))
    assert dropped == {}
    folder, _ = read_utkface(write(tmp_path / "folder", {**faces(6), **litter}))
    pd.testing.assert_frame_equal(rows, folder)
    pd.testing.assert_frame_equal(read_manifest("utkface", path), rows)


def test_damaged_entries_are_dropped_and_counted(tmp_path: Path) -> None:
    whole = pack(tmp_path / "whole.zip", faces(30))
    damaged = [name for name, content in faces(30).items() if content in (b"face 11", b"face 27")]
    path = tmp_path / "damaged.zip"
    path.write_bytes(whole.read_bytes().replace(b"face 11", b"face XX").replace(b"face 27", b"face XX"))
    rows, dropped = read_utkface(path)
    assert dropped == {"cannot be read": sorted(damaged)}
    expected, _ = read_utkface(whole)
    kept = expected[~expected["image"].isin(damaged)].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows.drop(columns="fold"), kept.drop(columns="fold"))


def test_broken_archives_and_roots_are_told_in_a_sentence(tmp_path: Path) -> None:
    whole = pack(tmp_path / "whole.zip", faces(3)).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[:-30])
    (tmp_path / "flipped.zip").write_bytes(whole.replace(b"face ", b"fac  "))
    (tmp_path / "UTKFace.tar.gz").write_bytes(b"x")
    for name, message in {
        "cut.zip": r"cut.zip is a broken archive .*: copy or download it again",
        "flipped.zip": r"none of the 3 faces in .*flipped.zip can be read: copy or download it again",
        "UTKFace.tar.gz": r"neither a folder nor a .zip file: unpack it first",
        "nowhere": r"nowhere does not exist: expected UTKFace's folder or .zip",
    }.items():
        with pytest.raises(UserError, match=message):
            read_utkface(tmp_path / name)


def test_a_root_without_faces_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no face among its 1 files: expected UTKFace's folder"):
        read_utkface(write(tmp_path, {"readme.txt": b"hello"}))
    with pytest.raises(UserError, match="no rule 'decades' for age groups: choose from exact, partition"):
        read_utkface(tmp_path, groups="decades")
    with pytest.raises(
        UserError, match=r"data\.name=utkfaces: there is no such data set, choose from adience, generated"
    ):
        read_manifest("utkfaces", tmp_path)


@pytest.mark.skipif(not UTKFACE.is_file(), reason="the re-encoded UTKFace is not in ../shared")
def test_the_real_archive() -> None:
    rows, dropped = read_utkface(UTKFACE)
    assert len(rows) == 23090
    assert dropped == {}
    assert rows["fold"].value_counts().sort_index().tolist() == [4624, 4623, 4619, 4612, 4612]
    sizes = rows.groupby(["age_group", "gender", "fold"]).size().unstack("fold")
    assert (sizes.max(axis=1) - sizes.min(axis=1)).max() == 1
