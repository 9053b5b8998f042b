"""Faces in photographs: an optional detector, and crops like those of the data set a run was trained on."""

import warnings
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from agegender.data.images import MIN_SIDE, UnreadableImage, _open, _rgb, _upright, decode
from agegender.datasets.catalogue import get_dataset
from agegender.errors import UserError
from agegender.prediction.pictures import Box, Face, read

MAX_SIDE = 1600  # pixels; larger photographs are searched in a smaller copy
MIN_FACE = 20  # pixels of that copy


def open_photograph(file: Path) -> Image.Image:
    """Decode a photograph in its own size, upright, 8-bit RGB; UnreadableImage with the reason where that fails."""
    data = read(file)
    decode(data, MIN_SIDE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as `decode`, which has judged the file
        return _rgb(_upright(_open(data)))


def detected(
    files: Iterable[Path], size: int, data: str, unreadable: dict[Path, str], faceless: list[Path]
) -> Iterator[Face]:
    """Yield the faces in each photograph, cut out as in the data set named `data`.

    Photographs without any are put into `faceless`, and why others cannot be read into `unreadable`.
    """
    load_detector()
    for file in files:
        try:
            photograph = open_photograph(file)
        except UnreadableImage as error:
            unreadable[file] = str(error)
            continue
        boxes = find_faces(photograph)
        if not boxes:
            faceless.append(file)
        for box in boxes:
            crop = photograph.crop(crop_box(box, data)).resize((size, size), Image.Resampling.BILINEAR)
            yield Face(file, np.array(crop), box)


@cache
def load_detector() -> Any:
    """Return MTCNN, its weights from the package; UserError where the package is not installed."""
    try:
        from facenet_pytorch import MTCNN
    except ModuleNotFoundError as error:
        if error.name != "facenet_pytorch":
            raise
        raise UserError("faces=true needs a face detector: pip install 'agegender-bench[faces]'") from None
    return MTCNN(keep_all=True, min_face_size=MIN_FACE)


def find_faces(photograph: Image.Image) -> list[Box]:
    """Return the boxes of the faces in a photograph, from top to bottom."""
    scale = max(1.0, max(photograph.size) / MAX_SIDE)
    small = photograph.resize([max(1, round(side / scale)) for side in photograph.size]) if scale > 1 else photograph
    # The detector cannot look beyond the border: without more ground, faces that fill a picture get too large a box.
    border = max(min(small.size) // 4, MIN_FACE)
    boxes, _ = load_detector().detect(ImageOps.expand(small, border, (127, 127, 127)))
    if boxes is None:
        return []
    found = ((np.asarray(boxes, float) - border) * scale).round().astype(int).tolist()
    return [(left, top, right, bottom) for left, top, right, bottom in sorted(found, key=lambda box: (box[1], box[0]))]


def crop_box(box: Box, data: str) -> Box:
    """Return the square around a face's box that the data set's crops would show; black beyond the picture's border."""
    reach, height = get_dataset(data).crop
    left, top, right, bottom = box
    side = round(reach * max(right - left, bottom - top))
    x, y = round((left + right - side) / 2), round((top + bottom) / 2 - height * side)
    return x, y, x + side, y + side
