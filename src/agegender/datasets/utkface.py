"""UTKFace (Zhang, Song, Qi, CVPR 2017): labels from file names, duplicates removed, five fixed folds."""

from pathlib import Path

import pandas as pd

from agegender.datasets.dataset import Dataset, Dropped
from agegender.datasets.folds import FOLDS, rank_in_strata
from agegender.datasets.labels import YEARS_TO_GROUP, group_of_years, partition
from agegender.datasets.protocol import Protocol, by_partition
from agegender.datasets.source import hash_of, open_source
from agegender.errors import UserError

EXPECTED = "UTKFace's folder or .zip, holding images named age_gender_race_datetime.jpg.chip.jpg (any image suffix)"
FOLD_RULE = "stratified_by_name_v1"  # the rule of `_deal_folds`; a change of it is a new name
MAX_AGE = 116

# age_gender_race_datetime; real copies have a blank or 'jpg' after the date. Race is part of the form, never a label.
NAME = r"(?:^|/)(?P<age_years>[0-9]{1,3})_(?P<gender>[01])_[0-9]_[0-9]+[^/_]*\.(?i:jpe?g|png|webp|bmp|tiff?|gif)$"


def read_utkface(root: Path, *, groups: str = "partition") -> tuple[pd.DataFrame, Dropped]:
    """Read UTKFace from a folder or a .zip: the faces in order of their names, and what was dropped and why.

    Columns: image, subject (<NA>: unknown), fold 0..4, age_group 0..7 (by the rule `groups`, "exact" or "partition"),
    age_years 0..116, gender (0 m, 1 f), row (the image's name), sha256 (of the file's bytes). Dropped are files
    without a face's name, ages above 116, files that cannot be read (damaged ones in a .zip, say) and byte-identical
    images: all copies where their labels conflict, all but the first elsewhere.
    UserError when the root is missing or unreadable, or holds no face.
    """
    if groups not in YEARS_TO_GROUP:
        raise UserError(f"there is no rule '{groups}' for age groups: choose from {', '.join(YEARS_TO_GROUP)}")
    with open_source(root, EXPECTED) as source:
        names = pd.Series(source.names(), name="image", dtype="string")
        rows = pd.concat([names, names.str.extract(NAME).astype("Int64")], axis=1)
        malformed = rows["age_years"].isna()
        too_old = rows["age_years"].gt(MAX_AGE).fillna(False)
        dropped = {
            "malformed name": names[malformed].tolist(),
            f"age above {MAX_AGE}": names[too_old].tolist(),
        }
        rows = rows[~(malformed | too_old)]
        if rows.empty:
            raise UserError(f"{source.path} holds no face among its {len(names)} files: expected {EXPECTED}")
        rows["sha256"] = pd.array([hash_of(source, name) for name in rows["image"]], dtype="string")
        unreadable = rows["sha256"].isna()
        if unreadable.all():
            raise UserError(f"none of the {len(rows)} faces in {source.path} can be read: copy or download it again")
    dropped["cannot be read"] = rows.loc[unreadable, "image"].tolist()
    rows = _drop_copies(rows[~unreadable], dropped)
    rows = rows.assign(
        subject=pd.Series(pd.NA, index=rows.index, dtype="string"),
        age_group=group_of_years(rows["age_years"], groups),
        fold=_deal_folds(rows),
        row=rows["image"],
    )
    columns = ["image", "subject", "fold", "age_group", "age_years", "gender", "row", "sha256"]
    return rows[columns].reset_index(drop=True), {reason: names for reason, names in dropped.items() if names}


def _drop_copies(rows: pd.DataFrame, dropped: Dropped) -> pd.DataFrame:
    """Remove byte-identical images, noting their names in `dropped`."""
    labels = rows.groupby("sha256")[["age_years", "gender"]].transform("nunique")
    conflicting = labels.gt(1).any(axis=1)
    repeated = rows.duplicated("sha256") & ~conflicting
    dropped["identical image with another label"] = rows.loc[conflicting, "image"].tolist()
    dropped["identical image with the same label"] = rows.loc[repeated, "image"].tolist()
    return rows[~(conflicting | repeated)]


def _deal_folds(rows: pd.DataFrame) -> pd.Series:
    """Deal each (partition age group, gender) stratum to folds 0, 1, 2, 3, 4, 0, ... in md5 order of the stem."""
    strata = rows.assign(partition=group_of_years(rows["age_years"], "partition"))
    return (rank_in_strata(strata, ["partition", "gender"]) % FOLDS).astype("Int64")


UTKFACE = Dataset(
    "utkface",
    read_utkface,
    (
        Protocol(
            name="utkface_exact",
            description="faces whose age lies in one of Adience's eight ranges, other ages do not count; subjects are "
            "unknown, so a person may stand in several folds",
            age_group=lambda rows: group_of_years(rows["age_years"], "exact"),
            stratum=partition,
        ),
        by_partition(
            name="utkface_partition",
            description="every face; age groups start at 0, 4, 7, 14, 24, 36, 46, 57 years; subjects are "
            "unknown, so a person may stand in several folds",
        ),
        by_partition(
            name="utkface_years",
            description="every face of 0 to 100 years, older ones do not count; subjects are unknown, so a person may "
            "stand in several folds",
            labels=("age_years", "gender"),
            fold=lambda rows: rows["fold"].where(rows["age_years"] <= 100),
        ),
    ),
    crop=(0.93, 0.43),
)
