"""Counting a manifest, and comparing it with published counts."""

from collections.abc import Mapping

import pandas as pd

from agegender.datasets.folds import FOLDS
from agegender.errors import UserError
from agegender.tasks import AGE_GROUPS

# What each count is of; {} is the fold or age group.
COUNTED = {
    "rows": "rows in fold {}",
    "age": "faces with an age group in fold {}",
    "gender": "faces with an annotated gender in fold {}",
    "groups": "faces in age group {}",
    "distinct": "distinct images",
    "both": "faces with both labels",
    "train": "training rows in the lists of test fold {}",
    "validation": "validation rows in the lists of test fold {}",
}


def count(rows: pd.DataFrame) -> dict[str, tuple[int, ...]]:
    """Count a manifest: `rows`, `age`, `gender` per fold 0..4, `groups` per age group, `distinct` and `both` in all.

    Where lists say which part a row stands in, also `train` and `validation` per test fold.
    """
    per_fold = rows.groupby("fold")[["image", "age_group", "gender"]].count().reindex(range(FOLDS), fill_value=0)
    groups = rows["age_group"].value_counts().reindex(range(len(AGE_GROUPS)), fill_value=0)
    counts: dict[str, tuple[int, ...]] = {
        "rows": tuple(per_fold["image"].tolist()),
        "age": tuple(per_fold["age_group"].tolist()),
        "gender": tuple(per_fold["gender"].tolist()),
        "groups": tuple(groups.tolist()),
        "distinct": (rows["image"].nunique(),),
        "both": (int(rows[["age_group", "gender"]].notna().all(axis=1).sum()),),
    }
    if "listed" in rows:
        parts = rows["listed"].str.split(" ")
        for part in ("train", "validation"):
            counts[part] = tuple(int((parts.str[fold] == part).sum()) for fold in range(FOLDS))
    return counts


def check_counts(rows: pd.DataFrame, published: Mapping[str, tuple[int, ...]], protocol: str) -> None:
    """Compare a manifest with the published counts of a protocol; UserError naming the first that differs."""
    counts = count(rows)
    for kind, expected in published.items():
        for place, (have, want) in enumerate(zip(counts[kind], expected, strict=True)):
            if have != want:
                remedy = (
                    "these are not the lists of the paper, or not all of them: fetch them again"
                    if kind in ("train", "validation")
                    else "the fold files are edited, or older than the corrections of December 2014: fetch them again"
                )
                raise UserError(
                    f"protocol {protocol}: {have} {COUNTED[kind].format(place)}, but {want} in the published lists; "
                    f"{remedy}"
                )
