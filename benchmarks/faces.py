"""Faces for the measurements: real ones where they are at hand, drawn noise where not, as files and as a pack.

pandas and torch are imported where they are needed: processes that only decode do without.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from agegender.datasets.source import open_source

if TYPE_CHECKING:
    from agegender.data.batches import Faces
    from agegender.data.build import Summary

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
FAIRFACE = SHARED / "fairface" / "fairface-224px-jpeg.zip"
UTKFACE = SHARED / "utkface-160px-webp.zip"
IMAGES = (".jpg", ".jpeg", ".png", ".webp")
AGES, GENDERS = 8, 2


def source_or_noise(given: Path | None, usual: Path, folder: Path, count: int, size: int) -> Path:
    """Return the source asked for, else the usual one, else a folder with noise of about its kind."""
    if given or usual.exists():
        return given or usual
    return draw_noise(folder / "noise", count, size)


def draw_noise(folder: Path, count: int, size: int) -> Path:
    """Write smooth noise as JPEGs of size x size pixels."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (size // 8, size // 8, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        coarse.resize((size, size), Image.Resampling.BICUBIC).save(buffer, "JPEG")
        (folder / f"{number:06}.jpg").write_bytes(buffer.getvalue())
    return folder


def image_names(source: Path, count: int | None) -> list[str]:
    with open_source(source) as opened:
        return [name for name in opened.names() if name.lower().endswith(IMAGES)][:count]


def some_classes(count: int) -> list[str]:
    return [f"{number % AGES}_{number % GENDERS}" for number in range(count)]


def class_folders(source: Path, names: Sequence[str], folder: Path, classes: Sequence[str] | None = None) -> Path:
    """Lay the files out as torchvision's ImageFolder wants them: a folder per pair `age_gender` of labels."""
    classes = classes or some_classes(len(names))
    with open_source(source) as opened:
        for number, (name, label) in enumerate(zip(names, classes, strict=True)):
            place = folder / label / f"{number:06}{Path(name).suffix}"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(opened.read(name))
    return folder


def make_pack(source: Path, names: list[str], folder: Path, size: int = 256, workers: int | None = None) -> Summary:
    """Pack these images; their labels only have to be there."""
    import pandas as pd

    from agegender.data.build import build_pack

    number = pd.Series(range(len(names)), dtype="Int64")
    manifest = pd.DataFrame({"image": names, "subject": names, "row": names}).assign(
        fold=0, age_group=number % AGES, age_years=0, gender=number % GENDERS
    )
    manifest = manifest.astype({"fold": "Int64", "age_years": "Int64"})
    return build_pack(
        folder,
        source,
        manifest,
        dataset="benchmark",
        size=size,
        settings={},
        allow_missing=False,
        workers=workers,
    )


def packed_faces(source: Path, names: list[str], folder: Path) -> Faces:
    """Return the faces of a new pack of these images, with both tasks' labels."""
    from agegender.data.batches import Faces
    from agegender.data.pack import open_pack

    make_pack(source, names, folder)
    pack = open_pack(folder, dataset="benchmark", size=256, settings={}, remedy="this script again")
    return Faces(pack.images, pack.manifest, ["age", "gender"])
