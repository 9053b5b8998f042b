"""The image files a user means, and the faces in them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from glob import glob
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agegender.data.images import UnreadableImage, decode
from agegender.datasets.source import Folder
from agegender.errors import UserError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
COPY = ".faces.png"  # ends the name of a copy with answers drawn on it

Box = tuple[int, int, int, int]
"""left, top, right, bottom in pixels of the upright picture; may reach beyond its borders."""


@dataclass(frozen=True)
class Face:
    """One face: pixels uint8 (S, S, 3), RGB; `box` where a detector found it in a picture."""

    file: Path
    pixels: NDArray[np.uint8]
    box: Box | None = None


def find_images(images: str) -> list[Path]:
    """Return the image files that a path or a pattern names, sorted; of a folder those below it with an image's suffix.

    UserError when there are none.
    """
    given = Path(images).expanduser()
    if given.is_dir():
        files = [given / name for name in Folder(given).names()]
        found = [file for file in files if file.suffix.lower() in SUFFIXES and not file.name.endswith(COPY)]
    elif given.exists():
        if not given.is_file():  # reading a pipe or a device might never end
            raise UserError(f"images={images} is no regular file: give an image, a folder, or a pattern")
        found = [given]
    else:
        # A pattern may be absolute, which Path.glob refuses.
        found = [Path(name) for name in sorted(glob(str(given), recursive=True)) if Path(name).is_file()]  # noqa: PTH207
    if not found:
        raise UserError(f"images={images} names no image: give an image, a folder, or a pattern such as 'photos/*.jpg'")
    return found


def read(file: Path) -> bytes:
    """Return the content of an image file; UnreadableImage when it cannot be read or is too large."""
    try:
        return Folder(file.parent).read(file.name)
    except UserError as error:
        raise UnreadableImage(str(error)) from None


def as_given(files: Iterable[Path], size: int, unreadable: dict[Path, str]) -> Iterator[Face]:
    """Yield each image as one face; why an image yields none is put into `unreadable`."""
    for file in files:
        try:
            yield Face(file, decode(read(file), size))
        except UnreadableImage as error:
            unreadable[file] = str(error)
