"""The pack: what is in it, when it is stale, what is refused."""

import fcntl
import io
import json
import os
import shutil
import zipfile

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from agegender.data.images import decode
from agegender.data.manifest import digest
from agegender.errors import UserError
from packed_faces import REMEDY, SETTINGS, SIZE, build, manifest_of, picture, reopen, repaint, write_faces


@pytest.fixture
def source(tmp_path):
    (tmp_path / "my faces").mkdir()
    return tmp_path / "my faces"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A source and its pack, to be copied by who changes them."""
    root = tmp_path_factory.mktemp("made")
    build(root / "pack", root / "source", manifest_of(write_faces(root / "source", 10)))
    return root


@pytest.fixture
def copy(made, tmp_path):
    """A copy of `made`, times of the files included, its pack knowing the copied source."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    info = json.loads((tmp_path / "pack/pack.json").read_text())
    (tmp_path / "pack/pack.json").write_text(json.dumps(info | {"source": str(tmp_path / "source")}))
    return tmp_path


def test_pack_holds_every_distinct_image_once(tmp_path, source):
    names = write_faces(source, 11)
    manifest = manifest_of(names + names[:3])
    folder = tmp_path / "data" / "my pack"
    summary = build(folder, source, manifest)
    assert (summary.rows, summary.images, summary.dropped, summary.up_to_date) == (14, 11, {}, False)

    pack = reopen(folder, source=source)
    expected = np.stack([decode((source / name).read_bytes(), SIZE) for name in names])
    np.testing.assert_array_equal(pack.images, expected)
    np.testing.assert_array_equal(np.load(folder / "faces.npy", mmap_mode="r"), expected)
    assert pack.images.dtype == np.uint8 and not pack.images.flags.writeable
    assert pack.manifest["slot"].tolist() == [*range(11), 0, 1, 2]
    pd.testing.assert_frame_equal(pack.manifest[manifest.columns], manifest)
    assert pack.digest == summary.digest == digest(pack.manifest, pack_format=1, pack_size=SIZE)
    assert pack.info["missing"] == 0 and pack.info["images"] == 11 and pack.info["settings"] == SETTINGS
    assert sorted(path.name for path in folder.parent.iterdir()) == ["my pack"]
    assert sorted(path.name for path in folder.iterdir()) == ["faces.npy", "manifest.csv", "pack.json"]


def test_zip_gives_the_same_pack_as_its_folder(tmp_path, source):
    names = write_faces(source, 7)
    with zipfile.ZipFile(tmp_path / "my faces.zip", "w") as archive:
        for name in names:
            archive.write(source / name, name)
    from_folder = build(tmp_path / "a", source, manifest_of(names))
    from_zip = build(tmp_path / "b", tmp_path / "my faces.zip", manifest_of(names))
    assert from_zip.digest == from_folder.digest
    assert (tmp_path / "a/faces.npy").read_bytes() == (tmp_path / "b/faces.npy").read_bytes()


def test_number_of_processes_does_not_matter(tmp_path, source):
    manifest = manifest_of(write_faces(source, 200))
    one, three = (build(tmp_path / f"{workers}", source, manifest, workers=workers) for workers in (1, 3))
    assert one.digest == three.digest
    for file in ("faces.npy", "manifest.csv"):
        assert (tmp_path / "1" / file).read_bytes() == (tmp_path / "3" / file).read_bytes()


def test_digest_depends_on_pixels_labels_and_size(tmp_path, source):
    names = write_faces(source, 4)
    manifest = manifest_of(names)
    digests = {build(tmp_path / "a", source, manifest).digest, build(tmp_path / "a", source, manifest, size=20).digest}
    digests.add(build(tmp_path / "a", source, manifest.assign(gender=1)).digest)
    (source / names[0]).write_bytes(picture(99))
    digests.add(build(tmp_path / "a", source, manifest).digest)
    assert len(digests) == 4


def test_pack_that_is_up_to_date_is_left(copy):
    manifest = manifest_of(reopen(copy / "pack").manifest["image"].tolist())
    before = (copy / "pack/faces.npy").stat()
    assert build(copy / "pack", copy / "source", manifest).up_to_date
    assert (copy / "pack/faces.npy").stat() == before
    assert not build(copy / "pack", copy / "source", manifest.iloc[:-1]).up_to_date
    assert len(reopen(copy / "pack").images) == 9


STALE = {
    "data set": ({"dataset": "other"}, "dataset=faces where now dataset=other"),
    "size": ({"size": 32}, "size=24 where now size=32"),
    "settings": ({"settings": {"groups": "exact"}}, "partition.* where now .*exact"),
}


@pytest.mark.parametrize("change", STALE)
def test_pack_made_for_something_else_is_refused(made, change):
    asked, why = STALE[change]
    with pytest.raises(UserError, match=f"stale, .*{why}.*: {REMEDY}$"):
        reopen(made / "pack", **asked)


def edit_manifest(root):
    path = root / "pack/manifest.csv"
    path.write_text(path.read_text().replace("fold_0_data.txt:2", "fold_0_data.txt:3"))


def change_source(root):
    path = next(root.glob("source/*/*.png"))
    path.write_bytes(path.read_bytes() + b"\0")


def shorten_array(root):
    os.truncate(root / "pack/faces.npy", 5000)


def cut_header(root):
    with (root / "pack/faces.npy").open("r+b") as file:
        file.seek(60)
        file.write(b"(" * 9)


def shrink_array(root):
    np.save(root / "pack/faces.npy", np.zeros((9, SIZE, SIZE, 3), np.uint8))


DAMAGE = {
    edit_manifest: "manifest.csv was edited",
    change_source: "its source .* has changed",
    shorten_array: "damaged",
    shrink_array: r"faces.npy is uint8 \(9, 24, 24, 3\)",
    lambda root: (root / "pack/manifest.csv").unlink(): "damaged .*manifest.csv",
    lambda root: (root / "pack/pack.json").write_text("{"): "damaged",
    lambda root: (root / "pack/pack.json").write_text("[1]"): "damaged .*pack.json is not an object with keys",
    lambda root: (root / "pack/pack.json").write_text("{}"): "damaged .*pack.json lacks 'dataset'",
    lambda root: os.truncate(root / "pack/faces.npy", 0): "damaged .*faces.npy is empty or no array",
    cut_header: "damaged .*faces.npy is empty or no array",
    lambda root: (root / "pack/pack.json").unlink(): "there is no pack in",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_or_outdated_pack_is_refused_with_the_remedy(copy, damage):
    damage(copy)
    with pytest.raises(UserError, match=f"{DAMAGE[damage]}.*: {REMEDY}$"):
        reopen(copy / "pack")


def test_pack_opens_where_its_source_is_gone(copy):
    shutil.rmtree(copy / "source")
    assert len(reopen(copy / "pack").images) == 10
    with pytest.raises(UserError, match="does not exist"):
        reopen(copy / "pack", source=copy / "source")


def spoil(source, names):
    """Make the first image missing, the second empty and the fifth a single pixel."""
    (source / names[0]).unlink()
    (source / names[1]).write_bytes(b"")
    (source / names[4]).write_bytes(picture(0, side=1))


def test_missing_and_unreadable_images_are_reported_together(tmp_path, source):
    names = write_faces(source, 9)
    spoil(source, names)
    with pytest.raises(UserError) as caught:
        build(tmp_path / "pack", source, manifest_of(names))
    message = str(caught.value)
    assert "3 of 9 images are missing or unreadable" in message and "data.allow_missing=true" in message
    for number, reason in [(0, "not in the source"), (1, "empty file"), (4, "1x1: no face can be read")]:
        assert f"{names[number]}: {reason}" in message
    assert pd.read_csv(tmp_path / "pack.partial/missing.csv")["image"].tolist() == [names[0], names[1], names[4]]
    assert not (tmp_path / "pack").exists()


@pytest.mark.parametrize("packed", [True, False])
def test_the_reason_of_an_unreadable_file_does_not_repeat_its_name(tmp_path, source, packed):
    names = write_faces(source, 3)
    content = (source / names[1]).read_bytes()
    if packed:
        with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
            for name in names:
                archive.write(source / name, name)
        whole = (tmp_path / "faces.zip").read_bytes()
        (tmp_path / "faces.zip").write_bytes(whole.replace(content, content[::-1]))
        reason, source = "cannot be read (Bad CRC-32)", tmp_path / "faces.zip"
    else:
        os.truncate(source / names[1], 400_000_001)  # takes no room on the disk
        reason = "cannot be read (has 400,000,001 bytes, above the limit of 400,000,000: no face needs so many)"
    with pytest.raises(UserError) as caught:
        build(tmp_path / "pack", source, manifest_of(names))
    assert f"unreadable ({names[1]}: {reason}; all in " in str(caught.value)
    assert pd.read_csv(tmp_path / "pack.partial/missing.csv").to_numpy().tolist() == [[names[1], reason]]
    summary = build(tmp_path / "pack", source, manifest_of(names), allow_missing=True)
    assert summary.dropped == {"cannot be read": 1}


def test_mended_copy_is_finished_without_decoding_again(tmp_path, source):
    names = write_faces(source, 9)
    spoil(source, names)
    with pytest.raises(UserError):
        build(tmp_path / "pack", source, manifest_of(names))
    repaint(tmp_path / "pack.partial", 2)
    np.load(tmp_path / "pack.partial/faces.npy", mmap_mode="r+")[8] = 0  # damaged, as the journal knows
    write_faces(source, 9)
    (source / names[3]).write_bytes(picture(99))
    build(tmp_path / "pack", source, manifest_of(names))
    images = reopen(tmp_path / "pack").images
    assert (images[2] == 77).all()
    for slot in (0, 1, 3, 4, 8):  # new, changed or damaged
        np.testing.assert_array_equal(images[slot], decode((source / names[slot]).read_bytes(), SIZE))


def test_allowed_missing_images_are_dropped_and_counted(tmp_path, source):
    names = write_faces(source, 9)
    spoil(source, names)
    manifest = manifest_of([*names, names[1]])
    summary = build(tmp_path / "pack", source, manifest, allow_missing=True)
    pack = reopen(tmp_path / "pack")
    kept = [names[number] for number in (2, 3, 5, 6, 7, 8)]
    assert pack.manifest["image"].tolist() == kept and pack.manifest["slot"].tolist() == [*range(6)]
    np.testing.assert_array_equal(pack.images, [decode((source / name).read_bytes(), SIZE) for name in kept])
    assert (tmp_path / "pack/faces.npy").stat().st_size == np.load(tmp_path / "pack/faces.npy").nbytes + 128
    reasons = {"not in the source": 1, "empty file": 2, "1x1: no face can be read": 1}
    assert summary.dropped == pack.info["dropped"] == reasons and pack.info["missing"] == 4

    with pytest.raises(UserError, match="3 of 9 images"):
        build(tmp_path / "pack", source, manifest)
    assert len(reopen(tmp_path / "pack").images) == 6
    assert build(tmp_path / "pack", source, manifest, allow_missing=True).up_to_date


def test_wrong_root_is_said_at_once(tmp_path, source):
    write_faces(source, 2)
    with pytest.raises(UserError, match="holds none of the 3 images, such as other/1"):
        build(tmp_path / "pack", source, manifest_of(["other/1.png", "b.png", "c.png"]), allow_missing=True)


def test_nothing_readable_is_an_error_even_where_missing_is_allowed(tmp_path, source):
    (source / "a.png").write_bytes(b"")
    with pytest.raises(UserError, match="1 of 1 images"):
        build(tmp_path / "pack", source, manifest_of(["a.png"]), allow_missing=True)


def test_line_cut_short_in_the_journal_is_decoded_again(tmp_path, source):
    names = write_faces(source, 9)
    (source / names[8]).write_bytes(b"")
    with pytest.raises(UserError):
        build(tmp_path / "pack", source, manifest_of(names))
    journal = tmp_path / "pack.partial/journal.jsonl"
    os.truncate(journal, journal.stat().st_size - 20)
    np.load(tmp_path / "pack.partial/faces.npy", mmap_mode="r+")[7] = 77
    write_faces(source, 9)
    build(tmp_path / "pack", source, manifest_of(names))
    np.testing.assert_array_equal(reopen(tmp_path / "pack").images[7], decode((source / names[7]).read_bytes(), SIZE))


def test_two_builds_of_one_pack_at_a_time_are_refused(tmp_path, source):
    (tmp_path / "pack.partial").mkdir()
    with (tmp_path / "pack.partial/journal.jsonl").open("w") as journal:
        fcntl.flock(journal, fcntl.LOCK_EX)
        with pytest.raises(UserError, match=r"another process is writing .*pack.partial"):
            build(tmp_path / "pack", source, manifest_of(write_faces(source, 2)))


@pytest.mark.parametrize("place", ["pictures", "pictures.old", "pictures.partial"])
def test_a_folder_that_is_no_pack_is_not_replaced_by_one(tmp_path, source, place):
    (tmp_path / place / "of mine").mkdir(parents=True)
    (tmp_path / place / "of mine" / "1.png").write_bytes(picture(1))
    with pytest.raises(UserError, match=rf"{place} is no pack, it holds of mine: name another place with data.pack="):
        build(tmp_path / "pictures", source, manifest_of(write_faces(source, 2)))
    assert (tmp_path / place / "of mine" / "1.png").read_bytes() == picture(1)


def test_a_file_is_not_replaced_by_a_pack_nor_a_folder_that_hides_what_it_holds(tmp_path, source):
    manifest = manifest_of(write_faces(source, 2))
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(UserError, match=r"notes is a file and no pack: name another place"):
        build(tmp_path / "notes", source, manifest)
    assert (tmp_path / "notes").read_text() == "mine"
    (tmp_path / "clone" / ".git").mkdir(parents=True)
    with pytest.raises(UserError, match=r"clone is no pack, it holds \.git"):
        build(tmp_path / "clone", source, manifest)


def test_a_pack_whose_source_was_moved_is_not_made_again(tmp_path, source):
    manifest, labels = manifest_of(write_faces(source, 2)), {str(tmp_path / "a.csv"): "0" * 64}
    build(tmp_path / "pack", source, manifest, label_files=labels)
    moved = source.rename(tmp_path / "moved")
    done = build(tmp_path / "pack", moved, manifest, label_files={str(tmp_path / "b.csv"): "0" * 64})
    assert done.up_to_date
    info = reopen(tmp_path / "pack").info
    assert (info["source"], list(info["label_files"])) == (str(moved), [str(tmp_path / "b.csv")])


def test_unwritable_place_is_one_sentence(tmp_path, source):
    (tmp_path / "data").write_text("a file where a folder should be")
    with pytest.raises(UserError, match=r"cannot write .*data/pack.partial \(Not a directory\)"):
        build(tmp_path / "data/pack", source, manifest_of(write_faces(source, 2)))


def test_summary_is_a_table_of_what_was_kept_and_dropped(tmp_path, source):
    names = write_faces(source, 5)
    spoil(source, names)
    console = Console(file=io.StringIO(), width=120)
    console.print(build(tmp_path / "pack", source, manifest_of(names), allow_missing=True))
    shown = console.file.getvalue()
    for words in ("faces kept", "faces dropped: empty file", "images/s", "digest"):
        assert words in shown


def test_fractions_come_back_to_the_last_bit(tmp_path, source):
    names = write_faces(source, 3)
    manifest = manifest_of(names).assign(
        age_years=pd.array([30.1, None, 7.0], dtype="Float64"),
        age_years_sd=pd.array([1e-10, None, 0.1 + 0.2], dtype="Float64"),
        attractiveness=pd.array([3.0, 4.0, None], dtype="Float64"),
        split=pd.array(["train", "val", "test"], dtype="string"),
    )
    summary = build(tmp_path / "pack", source, manifest)
    pack = reopen(tmp_path / "pack")
    for name in ("age_years", "age_years_sd", "attractiveness"):
        pd.testing.assert_series_equal(pack.manifest[name], manifest[name])
    assert pack.manifest["split"].tolist() == ["train", "val", "test"]
    later = build(tmp_path / "other", source, manifest.assign(age_years_sd=[1e-10, None, 0.3]))
    assert later.digest != summary.digest
