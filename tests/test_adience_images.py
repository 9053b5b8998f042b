"""Where Adience's images lie: in aligned/ or faces/, in a mix of both, in a zip, in a folder above, or nowhere."""

import zipfile
from pathlib import Path

import pandas as pd
import pytest

from agegender.data.manifest import missing_images, read_manifest
from agegender.datasets.adience import read_adience
from agegender.datasets.source import open_source
from agegender.errors import UserError
from small_adience import row, write_copy, write_fold
from test_adience_lists import write_lists

FACES = [
    f"{fold}{user}@N01/{{}}.{face}.a_o.jpg" for fold in range(5) for user, face in ((1, 1), (2, 7))
]  # every image of `root`
ALIGNED_FACES = [f"aligned/{name.format('landmark_aligned_face')}" for name in FACES]
TILTED_FACES = [f"faces/{name.format('coarse_tilt_aligned_face')}" for name in FACES]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy whose root has a space in its name."""
    return write_copy(tmp_path / "my adience")


def put(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_images_are_named_by_the_variant_that_is_there(root: Path) -> None:
    (root / "aligned" / "01@N01").mkdir(parents=True)
    (root / "aligned" / "01@N01" / "landmark_aligned_face.1.a_o.jpg").write_bytes(b"")
    assert read_adience(root, official=False)["image"][0] == "aligned/01@N01/landmark_aligned_face.1.a_o.jpg"
    assert read_adience(root, official=False, variant="faces")["image"][0].startswith("faces/01@N01/coarse_tilt")
    with pytest.raises(UserError, match="no variant 'cropped': choose from aligned, faces"):
        read_adience(root, official=False, variant="cropped")


def zip_folder(folder: Path, path: Path, top: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__MACOSX/._adience", b"")
        for file in filter(Path.is_file, folder.rglob("*")):
            archive.write(file, top + file.relative_to(folder).as_posix())
    return path


@pytest.mark.parametrize("top", ["", "my adience/", "home/me/adience/"])
@pytest.mark.parametrize("folds", ["", "folds/"])
def test_a_zip_of_the_whole_folder_is_read_as_that_folder(root: Path, tmp_path: Path, top: str, folds: str) -> None:
    put(root, *ALIGNED_FACES)
    expected = read_adience(root, official=False)
    for path in list(root.glob("fold_*_data.txt")):
        (root / folds).mkdir(exist_ok=True)
        path.rename(root / folds / path.name)
    path = zip_folder(root, tmp_path / "faces.zip", top)
    rows = read_adience(path, official=False)
    pd.testing.assert_frame_equal(rows.drop(columns="image"), expected.drop(columns="image"))
    assert rows["image"].tolist() == [top + name for name in ALIGNED_FACES]
    with open_source(path) as source:
        assert missing_images(rows, source) == []
    assert len(read_manifest("generated", path)) == 10


def test_the_authors_lists_fit_a_zip_of_the_whole_folder(drawn: Path, tmp_path: Path) -> None:
    lists, path = tmp_path / "lists", zip_folder(drawn, tmp_path / "faces.zip", "adience/")
    write_lists(lists, read_adience(drawn, official=False), "age")
    expected, listed = (read_adience(root, official=False, lists=lists)["lists_age"] for root in (drawn, path))
    pd.testing.assert_series_equal(listed, expected)


def test_a_folder_above_the_root_is_read_as_the_root_where_it_holds_nothing_else(root: Path, tmp_path: Path) -> None:
    put(root, *ALIGNED_FACES)
    assert read_adience(tmp_path, official=False)["image"].tolist() == [f"my adience/{name}" for name in ALIGNED_FACES]
    put(root, "faces/21@N01/landmark_aligned_face.1.a_o.jpg")
    with pytest.raises(UserError, match=r"my adience/faces holds 1 images of aligned/"):
        read_adience(tmp_path, official=False)
    put(tmp_path, "other/notes.txt")
    with pytest.raises(UserError, match=r"has no fold_0_data.txt: expected Adience's folder"):
        read_adience(tmp_path, official=False)


def test_a_copy_with_both_whole_folders_reads_aligned(root: Path) -> None:
    put(root, *ALIGNED_FACES, *TILTED_FACES)
    assert read_adience(root, official=False)["image"].tolist() == ALIGNED_FACES
    assert read_adience(root, official=False, variant="faces")["image"].tolist() == TILTED_FACES


def test_aligned_is_read_also_where_faces_has_no_more_than_it(root: Path) -> None:
    put(root, *ALIGNED_FACES[:6], *TILTED_FACES[:4])
    assert read_adience(root, official=False)["image"].tolist() == ALIGNED_FACES


@pytest.mark.parametrize("tilted", [TILTED_FACES[6:], TILTED_FACES])
def test_a_mix_of_both_folders_is_refused_until_one_is_chosen(root: Path, tilted: list[str]) -> None:
    put(root, *ALIGNED_FACES[:6], *tilted)
    with pytest.raises(
        UserError,
        match=rf"my adience is a mix, aligned/ holds 6 and faces/ {len(tilted)} of the 10 images, .*"
        r"data.settings.variant=aligned or data.settings.variant=faces",
    ):
        read_adience(root, official=False)
    assert read_adience(root, official=False, variant="aligned")["image"].tolist() == ALIGNED_FACES
    assert read_adience(root, official=False, variant="faces")["image"].tolist() == TILTED_FACES


@pytest.mark.parametrize(
    ("folder", "other", "name"),
    [("faces", "aligned", "landmark_aligned_face"), ("aligned", "faces", "coarse_tilt_aligned_face")],
)
def test_images_of_one_folder_in_the_other_are_refused(root: Path, folder: str, other: str, name: str) -> None:
    put(root, *TILTED_FACES, *(f"{folder}/{face.format(name)}" for face in FACES[2:4]))
    message = rf"my adience/{folder} holds 2 images of {other}/, such as {folder}/11@N01/{name}.1.a_o.jpg: .*move these"
    for variant in ("auto", folder):
        with pytest.raises(UserError, match=message):
            read_adience(root, official=False, variant=variant)
    assert len(read_adience(root, official=False, variant=other)) == 10


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
