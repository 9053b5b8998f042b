"""Folds, and the fixed orders that faces are dealt and drawn in: by the md5 of their names, never by chance."""

import hashlib
from collections import defaultdict

import pandas as pd

FOLDS = 5
# What a re-encoded copy of an image changes in its name.
SUFFIXES = r"(?i:\.(?:jpe?g|png|webp|bmp|tiff?|gif|chip))+$"


def rank_in_strata(rows: pd.DataFrame, strata: list[str], salt: str = "") -> pd.Series:
    """Rank 0, 1, ... of each row within its stratum, in the order of the md5 of `salt` + the image's stem.

    The stem is the name without folders and suffixes, so re-encoded copies of a face keep their rank. The index of
    `rows` must be unique; a missing value in a column of `strata` counts as a value.
    """
    order = (
        pd.DataFrame({"key": md5_of(_stems(rows["image"]), salt), "image": rows["image"]})
        .sort_values(["key", "image"])
        .index
    )
    return rows.loc[order].groupby(strata, dropna=False, sort=False).cumcount().reindex(rows.index)


def first_share(rows: pd.DataFrame, strata: list[str], share: float, salt: str = "") -> pd.Series:
    """Mark the first ceil(share x n) rows of every stratum of n rows, in the order of `rank_in_strata`."""
    sizes = rows.groupby(strata, dropna=False)["image"].transform("size")
    # The margin keeps a product such as .07 x 100 = 7.000000000000001 from becoming 8 rows.
    return rank_in_strata(rows, strata, salt) < share * sizes - 1e-9


def deal_folds(rows: pd.DataFrame, strata: list[str]) -> pd.Series:
    """Deal whole subjects to folds 0..4 (Int64); a face of no known subject is dealt for itself.

    The subject with most faces first, then in the order of the md5 of its name (of a face alone: of its stem): each
    goes where the stratum of its first face has fewest faces so far, then where there are fewest faces, then to the
    lowest fold. Neither the order of the rows nor the suffix of an image matters.
    """
    known = rows["subject"].notna()
    faces = pd.DataFrame(
        {
            "unit": ("subject " + rows["subject"]).where(known, "face " + rows["image"]),
            "name": rows["subject"].where(known, _stems(rows["image"])),
            "image": rows["image"],
            "stratum": rows.groupby(strata, dropna=False).ngroup(),
        }
    ).sort_values("image")
    units = faces.groupby("unit").agg(name=("name", "first"), stratum=("stratum", "first"), size=("unit", "size"))
    units = units.assign(key=md5_of(units["name"], "")).reset_index()
    folds: dict[str, int] = {}
    total, within = [0] * FOLDS, defaultdict[int, list[int]](lambda: [0] * FOLDS)
    order = units.sort_values(["size", "key", "unit"], ascending=[False, True, True])
    for unit, stratum, size in order[["unit", "stratum", "size"]].itertuples(index=False):
        here = within[stratum]
        fold = min(range(FOLDS), key=lambda fold: (here[fold], total[fold], fold))
        here[fold], total[fold], folds[unit] = here[fold] + size, total[fold] + size, fold
    return faces["unit"].map(folds).astype("Int64").reindex(rows.index)


def tested_first(splits: pd.Series) -> pd.Series:
    """Return the only fold of published splits (Int64): 0 tests, -1 trains; the splits are train, val, test.

    Tested are the faces of `test`, or of `val` where there is no `test`; `val` trains otherwise, and validation is
    drawn anew from all that train.
    """
    tested = "test" if (splits == "test").any() else "val"
    return (splits == tested).map({True: 0, False: -1}).astype("Int64")


def _stems(images: pd.Series) -> pd.Series:
    return images.str.extract(r"([^/.\s]*)[^/]*$", expand=False)


def md5_of(names: pd.Series, salt: str) -> pd.Series:
    """Return the md5 (hex) of `salt` + each name."""
    return names.map(lambda name: hashlib.md5(f"{salt}{name}".encode(), usedforsecurity=False).hexdigest())
