"""The manifest: one row per face of a data set, read, checked and digested."""

import hashlib
import json
import re
from pathlib import Path

import pandas as pd

from agegender.data.pack import FRACTIONS, INTEGERS
from agegender.datasets.adience_lists import KINDS
from agegender.datasets.catalogue import get_dataset
from agegender.datasets.dataset import Dropped
from agegender.datasets.folds import SUFFIXES
from agegender.datasets.names import locate, nearest, refuse_control_characters
from agegender.datasets.protocols import apply_protocol
from agegender.datasets.source import Source, open_source
from agegender.errors import UserError

# What makes two data sets the same: faces, where known their bytes, labels and folds; not where a row was found.
LISTS = [f"lists_{kind}" for kind in KINDS]
TEXT = ["age_label", "gender_label", "image", *LISTS, "race", "sha256", "split", "subject"]
DEFINING = sorted([*INTEGERS, *FRACTIONS, *TEXT])


def read_rows(dataset: str, root: Path | str, **options: str | None) -> tuple[pd.DataFrame, Dropped]:
    """Read all rows of a data set and what its reader dropped (reason -> names).

    `options` are the reader's own: `variant` and `lists` of Adience, `groups` of UTKFace, `labels` of FairFace,
    `variant` of All-Age-Faces, `table` of csv.
    UserError for an unknown data set, bad data, an image with a control character in its name, and where no face is
    left.
    """
    rows, dropped = get_dataset(dataset).reader(Path(root), **options)
    if rows.empty:
        reasons = [f"{len(names):,} {reason} (such as {names[0]})" for reason, names in dropped.items()]
        raise UserError(f"{root} has no face to use: {', '.join(reasons) or 'its lists are empty'}; correct it")
    refuse_control_characters(rows["image"].unique(), root)
    with open_source(Path(root)) as source:
        unnamed = [name for name in source.undecoded() if re.search(SUFFIXES, name.strip("'\""))]
    return rows, dropped | ({"file name that is not UTF-8": unnamed} if unnamed else {})


def read_manifest(
    dataset: str,
    root: Path | str,
    protocol: str | None = None,
    require_images: bool = True,
    *,
    fraction: float = 1.0,
    **options: str | None,
) -> pd.DataFrame:
    """Read the manifest of a data set: one row per face.

    `dataset` is a name in `catalogue.DATASETS`, or the place of a `Dataset` of your own as in `package.module:object`;
    `root` is its folder or .zip. Without a protocol all rows, labelled by the plainest rule (Adience: labels that are
    exactly one of the eight groups; sets with years: the partition of years); with one, the rows that count, or a
    `fraction` of them (not of Adience). `options` as in `read_rows`.

    Columns: image (relative to root, POSIX), subject (string or `<NA>`), fold 0..4, age_group 0..7, age_years, gender
    (0 m, 1 f), row, and the reader's own, such as FairFace's age_decades 0..8. Integers are nullable (Int64); Float64
    are age_years where some are fractions, attractiveness 1..5, and the standard deviations age_years_sd and
    attractiveness_sd.
    UserError for bad data, an unfit protocol and, with `require_images`, missing images.
    """
    rows, _ = read_rows(dataset, root, **options)
    if protocol is not None:
        rows = apply_protocol(rows, protocol, dataset, fraction=fraction)
    elif fraction != 1:
        raise UserError(f"fraction={fraction} needs a protocol: name one, or use fraction=1")
    if require_images:
        with open_source(Path(root)) as source:
            missing = missing_images(rows, source)
            near = nearest(missing[0], source.names()) if missing else None
        if missing:
            raise UserError(
                f"{len(missing)} of {rows['image'].nunique()} images are missing under {root}, the first is "
                f"{missing[0]}{f' (nearest is {near})' if near else ''}: complete the copy, or use what is there with "
                "data.allow_missing=true"
            )
    return rows


def missing_images(rows: pd.DataFrame, source: Source) -> list[str]:
    """Return the images of a manifest that the source does not hold, each once, in the manifest's order."""
    images = rows["image"].drop_duplicates().tolist()
    found = locate(images, source.names())
    return [image for image in images if image not in found]


def digest(rows: pd.DataFrame, **extra: object) -> str:
    """Return the sha256 (hex) of the data that `rows` define, in their order, and of `extra` (JSON values).

    Hashed is a CSV of the columns of `DEFINING` that are there; it does not depend on pandas' version or on dtypes. A
    whole number is written as 30, any other as the shortest decimal that gives it back.
    """
    columns = rows.filter(DEFINING)
    numbers = {name: _exactly(columns[name]) for name in columns.columns.difference(TEXT)}
    table = columns.assign(**numbers).astype("string").to_csv(index=False, lineterminator="\n")
    return hashlib.sha256(f"{json.dumps(extra, sort_keys=True)}\n{table}".encode()).hexdigest()


def _exactly(numbers: pd.Series) -> pd.Series:
    floats = numbers.astype("Float64")
    if (floats.dropna() % 1 == 0).all():
        return floats.astype("Int64")
    return floats.map(lambda value: str(int(value)) if value % 1 == 0 else repr(float(value)), na_action="ignore")
