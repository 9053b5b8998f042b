"""Training, validation and test parts of a fold, and the fixed orders that every split of the suite is drawn from."""

import hashlib

import pandas as pd

from agegender.errors import UserError

FOLDS = 5


def rank_in_strata(rows: pd.DataFrame, strata: list[str], salt: str = "") -> pd.Series:
    """Rank 0, 1, ... of each row within its stratum, in the order of the md5 of `salt` + the image's stem.

    The stem is the name without folders and suffixes, so re-encoded copies of a face keep their rank. The index of
    `rows` must be unique; a missing value in a column of `strata` counts as a value.
    """
    stems = rows["image"].str.extract(r"([^/.\s]*)[^/]*$", expand=False)
    order = pd.DataFrame({"key": _md5(stems, salt), "image": rows["image"]}).sort_values(["key", "image"]).index
    return rows.loc[order].groupby(strata, dropna=False, sort=False).cumcount().reindex(rows.index)


def first_share(rows: pd.DataFrame, strata: list[str], share: float, salt: str = "") -> pd.Series:
    """Mark the first ceil(share x n) rows of every stratum of n rows, in the order of `rank_in_strata`."""
    sizes = rows.groupby(strata, dropna=False)["image"].transform("size")
    # The margin keeps a product such as .07 x 100 = 7.000000000000001 from becoming 8 rows.
    return rank_in_strata(rows, strata, salt) < share * sizes - 1e-9


def split(rows: pd.DataFrame, fold: int, *, validation: float = 0.1) -> pd.DataFrame:
    """Return `rows` with a column `part`: "train", "validation" or "test" (the rows of `fold`).

    Validation is drawn from the other folds by a rule fixed per fold, the same for every system and seed: whole
    subjects until they hold at least the share `validation` of the rows; where subjects are unknown, that share of
    every (age group, gender) stratum. UserError for a fold outside 0..4, a share outside (0, 1) and when a part is
    empty; RuntimeError when a subject or an image would be in two parts.
    """
    if fold not in range(FOLDS):
        raise UserError(f"fold={fold}: there are {FOLDS} folds, choose fold=0 to fold={FOLDS - 1}")
    if not 0 < validation < 1:
        raise UserError(f"validation={validation}: expected a share of the training rows above 0 and below 1")
    salt = f"validation_v1/fold_{fold}/"
    rest = rows[rows["fold"] != fold]
    known = rest["subject"].notna()
    subjects = _draw_subjects(rest.loc[known, "subject"], validation, salt)
    faces = first_share(rest[~known], ["age_group", "gender"], validation, salt)
    drawn = rest.index[rest["subject"].isin(subjects)].union(faces.index[faces])

    part = pd.Series("train", index=rows.index, dtype="string")
    part[drawn] = "validation"
    part[rows["fold"] == fold] = "test"
    for name in ("test", "train", "validation"):
        if not (part == name).any():
            present = ", ".join(map(str, sorted(rows["fold"].unique()))) or "none"
            raise UserError(
                f"fold={fold} has no {name} rows: the data has {len(rows)} rows of fold {present}; "
                "use another fold, or a more complete copy of the data"
            )
    assert_disjoint(rows, part)
    return rows.assign(part=part)


def assert_disjoint(rows: pd.DataFrame, part: pd.Series) -> None:
    """Raise RuntimeError when a known subject or an image stands in more than one part."""
    for column in ("subject", "image"):
        parts = part.groupby(rows[column]).nunique()
        if (parts > 1).any():
            name = parts.index[parts > 1][0]
            raise RuntimeError(f"{column} {name} stands in more than one of the parts training, validation and test")


def _draw_subjects(subjects: pd.Series, share: float, salt: str) -> pd.Series:
    """Take subjects in a fixed order until they hold at least `share` of the rows; `subjects` has one entry per row."""
    sizes = subjects.value_counts().rename_axis("subject").reset_index(name="rows")
    sizes = sizes.assign(key=_md5(sizes["subject"], salt)).sort_values("key")
    before = sizes["rows"].cumsum() - sizes["rows"]
    return sizes["subject"][before < share * len(subjects)]


def _md5(names: pd.Series, salt: str) -> pd.Series:
    return names.map(lambda name: hashlib.md5(f"{salt}{name}".encode(), usedforsecurity=False).hexdigest())
