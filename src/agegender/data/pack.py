"""The pack: every distinct image of a manifest, decoded once into one uint8 array on disk.

A folder with `faces.npy` (uint8, `numpy.load(..., mmap_mode="r")` opens it), `manifest.csv` (one row per face; `slot`
is its image's index in the array, `crc32` the checksum of its pixels there), `pack.json` (what it was made from) and,
where images are missing, `missing.csv`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from agegender.data.decoding import ARRAY
from agegender.data.pixels import CHECKSUM, Mapped, damaged
from agegender.datasets.label_files import changed, file_hash
from agegender.datasets.source import open_source
from agegender.errors import UserError
from agegender.files import Shape, parse

FORMAT = 1  # of the folder; part of every digest
MANIFEST, INFO, MISSING = "manifest.csv", "pack.json", "missing.csv"
INTEGERS = ("fold", "age_group", "age_years", "age_decades", "gender")  # age_years: where all of them are whole
FRACTIONS = ("age_years_sd", "attractiveness", "attractiveness_sd")
# What pack.json holds, and how it is said that what a pack was made from has changed since.
_INFO: Shape = {
    **dict.fromkeys(("dataset", "source", "fingerprint", "requested", "digest", "manifest_sha256"), str),
    **dict.fromkeys(("format", "rows", "images", "size", "missing"), int),
    "settings": dict,
    "dropped": {...: int},
    "label_files": {...: str},
}
CHANGED = {"fingerprint": "its source has changed", "requested": "its labels have changed"}


@dataclass(frozen=True)
class Pack:
    """An opened pack.

    `images`: uint8 (N, size, size, 3), RGB, a read-only memory map. `manifest`: the kept rows, with the sha256 of each
    image's file, its `slot`, 0..N-1, and its `crc32`. `digest`: of the data, another one for another size. `info`:
    pack.json.
    """

    images: npt.NDArray[np.uint8]
    manifest: pd.DataFrame
    digest: str
    info: dict[str, Any]


def open_pack(
    folder: Path,
    *,
    dataset: str,
    size: int,
    settings: Mapping[str, object],
    source: Path | None = None,
    remedy: str,
) -> Pack:
    """Open a pack, checking that it is whole and is what `dataset`, `size` and `settings` ask for.

    Also checked is that the source has not changed since: `source` or, where that is not given, the recorded one if it
    is still there; and that label files outside it hold what they held, those that are still there. The pixels are
    checked where they are read (`pixels`). UserError when there is no pack or it is stale, saying why and ending with
    `remedy`.
    """
    if not (folder / INFO).is_file():
        raise UserError(f"there is no pack in {folder}: make it with: {remedy}")
    expected = key_of(dataset, size, settings)
    why = why_stale(folder, expected) or _why_outdated(folder, source)
    if why is not None:
        raise UserError(f"the pack {folder} is stale, {why}: make it again with: {remedy}")
    info = read_info(folder)
    return Pack(map_images(folder), _read_rows(folder), info["digest"], info)


def _why_outdated(folder: Path, source: Path | None) -> str | None:
    """Return which of the files that a whole pack was made from has changed since; None when none has."""
    info = read_info(folder)
    recorded, now = Path(info["source"]), source and source.expanduser().resolve()
    try:
        if (file := changed(info["label_files"], recorded, now)) is not None:
            return f"its label file {file} has changed"
    except OSError as error:
        raise UserError(f"cannot read {error.filename}: {error.strerror}") from error
    if source is None and not recorded.exists():
        return None
    with open_source(source or recorded) as opened:
        same = opened.fingerprint() == info["fingerprint"]
    return None if same else f"its source {info['source']} has changed"


def key_of(dataset: str, size: int, settings: Mapping[str, object]) -> dict[str, Any]:
    """Return what a pack and whoever opens it must agree in, as it looks after a way through JSON."""
    key = {"format": FORMAT, "dataset": dataset, "size": size, "settings": dict(settings)}
    return dict(json.loads(json.dumps(key)))


def why_stale(folder: Path, expected: Mapping[str, object]) -> str | None:
    """Return why the pack is not whole or not what is expected; None when it is. The pixels are not read."""
    try:
        info = read_info(folder)
        for name, value in expected.items():
            if not _agrees(info[name], value):
                return CHANGED.get(name, f"made with {name}={info[name]} where now {name}={value}")
        if file_hash(folder / MANIFEST) != info["manifest_sha256"]:
            return f"its {MANIFEST} was edited"
        images = map_images(folder)
        if images.shape != (info["images"], info["size"], info["size"], 3) or images.dtype != np.uint8:
            return f"its {ARRAY} is {images.dtype} {images.shape}, not uint8 {info['images']} x {info['size']} px"
    except (OSError, ValueError) as error:
        return f"damaged ({error})"
    return None


def why_damaged(folder: Path) -> str | None:
    """Return why the pixels of a pack are not those that were packed, having read them; None when they are."""
    faces = _read_rows(folder).drop_duplicates("slot")
    wrong = damaged(map_images(folder), faces["slot"].to_numpy(), faces[CHECKSUM].to_numpy())
    return f"the pixels of {len(wrong):,} of its {len(faces):,} images are damaged" if len(wrong) else None


def _agrees(made: object, asked: object) -> bool:
    """Whether a pack serves: a setting that is left open (null or auto) takes what the pack was made with."""
    if isinstance(made, dict) and isinstance(asked, dict):
        return made.keys() == asked.keys() and all(v in (None, "auto", made[k]) for k, v in asked.items())
    return made == asked


def read_info(folder: Path) -> dict[str, Any]:
    """Return pack.json; ValueError where it is none."""
    try:
        info: dict[str, Any] = parse((folder / INFO).read_bytes(), _INFO)
    except ValueError as error:
        raise ValueError(f"its {INFO} {error}") from None
    return info


def recorded(folder: Path) -> dict[str, Any]:
    """Return pack.json; nothing where there is none that can be read."""
    try:
        return read_info(folder)
    except (OSError, ValueError):
        return {}


def map_images(folder: Path) -> Mapped:
    """Map faces.npy, read-only; ValueError where its first bytes or its length are not those of an array."""
    try:
        images: Mapped = np.load(folder / ARRAY, mmap_mode="r")
    except (EOFError, OverflowError, SyntaxError, TypeError, TokenError) as error:  # NumPy evaluates what it finds
        raise ValueError(f"its {ARRAY} is empty or no array, {error}") from error
    return images


def _read_rows(folder: Path) -> pd.DataFrame:
    """Read manifest.csv with the manifest's types. An empty text is text, but for a subject it means unknown."""
    rows = pd.read_csv(folder / MANIFEST, dtype="string", keep_default_na=False)
    numbers = {name: _numbers(rows[name]) for name in (*INTEGERS, *FRACTIONS) if name in rows}
    numbers |= {name: rows[name].astype("int64") for name in ("slot", CHECKSUM)}
    return rows.assign(**numbers, subject=rows["subject"].replace("", pd.NA))


def _numbers(values: pd.Series) -> pd.Series:
    """Read a column of numbers: Float64 by its name or where one is written with a point, else Int64."""
    if values.name not in FRACTIONS and not values.str.contains(".", regex=False).any():
        return values.replace("", pd.NA).astype("Int64")
    floats = [float(value) if value else None for value in values]  # Python's own parser: exact to the last bit
    return pd.Series(pd.array(floats, dtype="Float64"), index=values.index)
