"""All-Age-Faces (Cheng, Li, Wang, Yu, Wang, Tsinghua Science and Technology 2019): ages 2 to 80.

JingchunCheng/All-Age-Faces-Dataset [06f2c32] `README.md`: images are named `%05dA%02d.jpg`, the serial of the person
and the age, in the folders `original images` and `aligned faces`, which the published copy spells `aglined faces`; each
shows another person; serials 00000 to 07380 are annotated female, 07381 to 13321 male. The lists of the two published
parts, `train.txt` and `val.txt` in the folder `image sets`, have lines as in `00000A02.jpg 0`, 0 for female and 1 for
male; beside them are `train_.txt` and `val_.txt` of the same form. Read is the gender, to check it by the serial; the
parts are not, our folds are five.
"""

import re
from pathlib import Path

import pandas as pd

from agegender.datasets.dataset import Dataset, Dropped
from agegender.datasets.folds import deal_folds
from agegender.datasets.labels import group_of_years
from agegender.datasets.protocol import by_partition
from agegender.datasets.source import Source, open_source
from agegender.errors import UserError

FOLDERS = {"aligned": ("aligned faces", "aglined faces"), "original": ("original images",)}
EXPECTED = "All-Age-Faces' folder or .zip, holding 'aligned faces' (or 'aglined faces') or 'original images'"
LAST_FEMALE, LAST = 7380, 13321
IMAGE = (
    r"^(?:.*/)?(?P<folder>aligned faces|aglined faces|original images)/"
    r"(?P<serial>[0-9]{5})A(?P<age_years>[0-9]{2})\.(?i:jpe?g|png|webp)$"
)
LIST = r"(?:.*/)?image sets/(?:train|val)_?\.txt"
LINE = r"(?P<serial>[0-9]{5})A[0-9]{2}(?:\.jpg)?\s+(?P<code>[01])\s*"


def read_all_age_faces(root: Path, *, variant: str = "auto") -> tuple[pd.DataFrame, Dropped]:
    """Read All-Age-Faces from a folder or a .zip: the faces in order of their names, and what was dropped and why.

    `variant` is `aligned`, `original` or `auto`: `aligned` where that folder holds faces, in either spelling.

    Columns: image, subject (the serial), fold 0..4 (`folds.deal_folds` within age group and annotated gender),
    age_group 0..7 (the partition of years), age_years, gender (0 m, 1 f), row (the image's name). UserError when there
    is no face, for one of two ages, and where the published lists name another gender than the serial.
    """
    if variant not in (*FOLDERS, "auto"):
        raise UserError(f"All-Age-Faces has no variant '{variant}': choose from {', '.join(FOLDERS)}, auto")
    with open_source(root, EXPECTED) as source:
        names = pd.Series(source.names(), name="image", dtype="string")
        faces = pd.concat([names, names.str.extract(IMAGE)], axis=1).dropna(subset="serial")
        chosen = FOLDERS[variant] if variant != "auto" else sum(FOLDERS.values(), ())
        folder = next((folder for folder in chosen if (faces["folder"] == folder).any()), None)
        if folder is None:
            raise UserError(
                f"{source.path} holds no face named as in 00000A02.jpg in '{chosen[0]}': expected {EXPECTED}"
            )
        for name in names[names.str.fullmatch(LIST).astype(bool)]:
            _check_genders(source, name)
    faces = faces[faces["folder"] == folder].astype({"age_years": "Int64"}).reset_index(drop=True)
    serial = faces["serial"].astype("int64")
    dropped = {f"serial above {LAST}": faces.loc[serial > LAST, "image"].tolist()}
    faces = faces[serial <= LAST].reset_index(drop=True)
    twice = faces.loc[faces["serial"].duplicated(keep=False), "image"].tolist()
    if twice:
        raise UserError(f"{twice[0]} and {twice[1]} have one serial, which is one person once: remove one of them")
    rows = pd.DataFrame(
        {
            "image": faces["image"],
            "subject": faces["serial"],
            "age_group": group_of_years(faces["age_years"], "partition"),
            "age_years": faces["age_years"],
            "gender": (faces["serial"].astype("int64") <= LAST_FEMALE).astype("Int64"),
            "row": faces["image"],
        }
    )
    folds = deal_folds(rows, ["age_group", "gender"])
    return rows.assign(fold=folds), {reason: names for reason, names in dropped.items() if names}


def _check_genders(source: Source, name: str) -> None:
    """Refuse a published list that has another gender than the serial's in one of its lines."""
    for number, line in enumerate(source.read(name).decode("utf-8-sig", errors="replace").splitlines(), start=1):
        face = re.fullmatch(LINE, line)
        if face and (face["code"] == "0") != (int(face["serial"]) <= LAST_FEMALE):
            raise UserError(
                f"{source.path / name} line {number} is '{line.strip()}', where serials are annotated 0 (female) to "
                f"{LAST_FEMALE:05} and 1 (male) above: fetch it again, or remove it to go by the serials"
            )


PROTOCOL = by_partition(
    name="all_age_faces_folds",
    description="five folds, ours: dealt within age group and annotated gender; every image shows another person",
    labels=("age_years", "gender"),
    counts={"distinct": (13322,)},  # of the README of JingchunCheng/All-Age-Faces-Dataset
)
ALL_AGE_FACES = Dataset("all_age_faces", read_all_age_faces, (PROTOCOL,))
