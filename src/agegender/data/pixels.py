"""Faces out of a pack's array on the disk: read in whole pieces, and checked against what was packed.

The checksum of a face, CRC-32 of its pixels, is taken where it is decoded and stands in the pack's manifest.
"""

import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agegender.errors import UserError

Mapped = np.memmap[Any, np.dtype[np.uint8]]
CHECKSUM = "crc32"  # the manifest's column
AT_ONCE = 64  # faces that are checked together: 13 MB of 256 pixels

# Which slots of which state of which file this process has checked: once is enough, and the folds of a sweep share it.
_checked: dict[tuple[int, ...], npt.NDArray[np.bool_]] = {}


def checksum(pixels: npt.NDArray[np.uint8]) -> int:
    """Return the CRC-32 of a face's pixels, uint8 (size, size, 3)."""
    return zlib.crc32(pixels.data)


def damaged(images: Mapped, slots: npt.NDArray[np.int64], checksums: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return those of the slots whose pixels on the disk have another checksum than the one given for each.

    What this process has found whole is not read again until the file is written to. OSError where the file ends too
    early.
    """
    status = _status(images)
    state = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    if state not in _checked:
        _checked[state] = np.zeros(len(images), bool)
    whole = _checked[state]
    slots, first = np.unique(slots, return_index=True)
    left = ~whole[slots]
    slots, checksums = slots[left], checksums[first][left]
    wrong: list[int] = []
    for start in range(0, len(slots), AT_ONCE):
        here = slots[start : start + AT_ONCE]
        found = np.array([checksum(face) for face in read(images, here)])
        same = found == checksums[start : start + AT_ONCE]
        whole[here[same]] = True
        wrong += here[~same].tolist()
    return np.array(wrong, np.int64)


def refuse_damaged(images: Mapped, slots: npt.NDArray[np.int64], checksums: npt.NDArray[np.int64]) -> None:
    """Raise a UserError when the pixels of one of these faces are not those that were packed."""
    wrong = damaged(images, slots, checksums)
    if len(wrong):
        raise UserError(
            f"{images.filename} is damaged: {len(wrong)} of {len(np.unique(slots))} faces, such as number {wrong[0]}, "
            "have other pixels than were packed; make the pack again with the `agegender prepare` that made it"
        )


def inode(images: object) -> tuple[int, int] | None:
    """Which file a mapped pack is, whatever takes its name later."""
    if isinstance(images, np.memmap) and images.filename is not None:
        status = _status(images)
        return status.st_dev, status.st_ino
    return None


def read(images: Mapped, slots: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Read these faces out of the mapped file, each as one piece; OSError where it ends too early.

    Touched through the map, each face that is not in memory yet makes the system read far more than it around it.
    """
    faces = np.empty((len(slots), *images.shape[1:]), np.uint8)
    assert images.filename is not None
    with Path(images.filename).open("rb", buffering=0) as file:
        for face, slot in zip(faces, slots.tolist(), strict=True):
            left, start = memoryview(face.reshape(-1)), images.offset + slot * face.nbytes
            while left:  # a network's file system may answer with less than was asked for
                count = os.preadv(file.fileno(), [left], start)
                if count == 0:
                    raise OSError(f"{images.filename} ends within face {slot}")
                left, start = left[count:], start + count
    return faces


def _status(images: Mapped) -> os.stat_result:
    assert images.filename is not None
    return Path(images.filename).stat()
