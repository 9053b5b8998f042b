"""Small faces to pack, and the calls that pack and open them."""

import io
import json
import zlib

import numpy as np
import pandas as pd
from PIL import Image

from agegender.data.build import build_pack
from agegender.data.pack import open_pack

SIZE = 24


SETTINGS = {"groups": "partition"}


REMEDY = "agegender prepare data=faces"


def picture(seed, side=40):
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def write_faces(root, count):
    """Write `count` faces and return their names; folders and files have blanks in their names."""
    names = [f"user {number % 3}/face {number:04}.png" for number in range(count)]
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(picture(number))
    return names


def manifest_of(names):
    count = len(names)
    return pd.DataFrame(
        {
            "image": pd.array(names, dtype="string"),
            "subject": pd.array(["7@N0", None] * (count // 2) + ["x, \"y\""] * (count % 2), dtype="string"),
            "fold": pd.array([number % 5 for number in range(count)], dtype="Int64"),
            "age_group": pd.array([None if number % 4 == 0 else number % 8 for number in range(count)], dtype="Int64"),
            "age_years": pd.array([None] * count, dtype="Int64"),
            "gender": pd.array([number % 2 for number in range(count)], dtype="Int64"),
            "row": pd.array([f"fold_0_data.txt:{number + 2}" for number in range(count)], dtype="string"),
            "age_label": pd.array(["None" if number % 4 == 0 else "" for number in range(count)], dtype="string"),
        }
    )  # fmt: skip


def build(folder, source, manifest, **changes):
    options = {"dataset": "faces", "size": SIZE, "settings": SETTINGS, "allow_missing": False, "workers": 1}
    return build_pack(folder, source, manifest, progress=False, **(options | changes))


def reopen(folder, **changes):
    return open_pack(folder, **({"dataset": "faces", "size": SIZE, "settings": SETTINGS, "remedy": REMEDY} | changes))


def repaint(partial, slot):
    """Paint over a face of an unfinished pack, and note it in the journal: seen again only if not decoded again."""
    pixels = np.full((SIZE, SIZE, 3), 77, np.uint8)
    np.load(partial / "faces.npy", mmap_mode="r+")[slot] = pixels
    key, *lines = (partial / "journal.jsonl").read_text().split("\n")
    done = {number: [number, sha256, crc32] for number, sha256, crc32 in map(json.loads, lines)}
    done[slot][2] = zlib.crc32(pixels.tobytes())
    (partial / "journal.jsonl").write_text("\n".join([key, *map(json.dumps, done.values())]))


def spoil_pixels(folder, slots):
    """Flip a bit of these faces of a pack, as a disk may; the file keeps its length and its header."""
    images = np.load(folder / "faces.npy", mmap_mode="r")
    with (folder / "faces.npy").open("r+b") as file:
        for slot in slots:
            file.seek(images.offset + slot * images[0].nbytes + 1000)
            file.write(bytes([int(images[slot].reshape(-1)[1000]) ^ 1]))
