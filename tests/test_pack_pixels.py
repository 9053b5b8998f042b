"""The pixels of a pack are those that were packed, or whoever reads them is told."""

import json
import os
import shutil

import numpy as np
import pytest
from hydra import compose

from agegender.commands.train import train
from agegender.config.resolve import resolve_run
from agegender.data.batches import Faces
from agegender.data.decoding import ARRAY
from agegender.data.pack import INFO
from agegender.data.pixels import damaged
from agegender.errors import UserError
from agegender.training.run_data import pack_of
from packed_faces import build, manifest_of, picture, reopen, spoil_pixels, write_faces
from short_runs import SHORT

COUNT = 70  # more than are checked at once


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    build(root / "pack", root / "source", manifest_of(write_faces(root / "source", COUNT)))
    return root


@pytest.fixture
def copy(made, tmp_path):
    """A copy of `made`, its pack knowing the copied source."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    info = json.loads((tmp_path / "pack" / INFO).read_text())
    (tmp_path / "pack" / INFO).write_text(json.dumps(info | {"source": str(tmp_path / "source")}))
    return tmp_path


def manifest(copy):
    return manifest_of(reopen(copy / "pack").manifest["image"].tolist())


def faces(folder, slots=slice(None)):
    pack = reopen(folder)
    return Faces(pack.images, pack.manifest.iloc[slots].reset_index(drop=True), ["age", "gender"])


def test_every_face_has_the_checksum_of_its_pixels(copy):
    whole = faces(copy / "pack")
    whole.check()
    assert len(whole.stored(np.arange(COUNT))) == COUNT
    pack = reopen(copy / "pack")
    slots, checksums = pack.manifest["slot"].to_numpy(), pack.manifest["crc32"].to_numpy()
    assert damaged(pack.images, slots, checksums).size == 0
    assert damaged(pack.images, slots, np.roll(checksums, 1)).size == 0, "found whole, it is not read again"
    os.utime(copy / "pack" / ARRAY)
    assert damaged(pack.images, slots, np.roll(checksums, 1)).tolist() == slots.tolist()


def test_damaged_pixels_are_refused_where_they_are_read_and_nowhere_else(copy):
    spoil_pixels(copy / "pack", [3, 66])
    with pytest.raises(UserError, match=r"faces.npy is damaged: 2 of 70 faces, such as number 3, have other pixels"):
        faces(copy / "pack").check()
    with pytest.raises(UserError, match=r"1 of 2 faces, such as number 66, have .*; make the pack again"):
        faces(copy / "pack").stored(np.array([4, 66]))
    others = [slot for slot in range(COUNT) if slot not in (3, 66)]
    assert len(faces(copy / "pack", others).stored(np.arange(68))) == 68


def test_prepare_makes_a_damaged_pack_again_and_says_why(copy):
    before = reopen(copy / "pack")
    pixels, rows = np.array(before.images), manifest(copy)
    assert build(copy / "pack", copy / "source", rows).up_to_date
    spoil_pixels(copy / "pack", [69])
    summary = build(copy / "pack", copy / "source", rows)
    assert (summary.up_to_date, summary.digest) == (False, before.digest)
    assert summary.replaced == "the pixels of 1 of its 70 images are damaged"
    np.testing.assert_array_equal(reopen(copy / "pack").images, pixels)
    os.truncate(copy / "pack" / ARRAY, 0)
    assert "faces.npy is empty" in str(build(copy / "pack", copy / "source", rows).replaced)
    np.testing.assert_array_equal(reopen(copy / "pack").images, pixels)


def test_checksums_follow_the_faces_where_some_are_left_out(copy):
    names = manifest(copy)["image"].tolist()
    (copy / "source" / names[0]).unlink()
    (copy / "source" / names[1]).write_bytes(picture(500))
    build(copy / "pack", copy / "source", manifest_of([*names, names[5]]), allow_missing=True)
    kept = faces(copy / "pack")
    assert len(kept.table) == COUNT
    kept.check()


@pytest.mark.usefixtures("hydra")
def test_no_run_is_trained_on_damaged_pixels(packs, overrides, tmp_path):
    shutil.copytree(packs, tmp_path / "pack")
    config = compose("train", overrides=overrides(*SHORT, f"data.pack='{tmp_path}/pack'"))
    spoil_pixels(tmp_path / "pack", [int(pack_of(resolve_run(config).data).manifest["slot"].iloc[0])])
    with pytest.raises(UserError, match=r"faces.npy is damaged: 1 of \d+ faces, such as number 0, have other pixels"):
        train(config)
    assert not list((tmp_path / "runs").glob("*/metrics.json"))
