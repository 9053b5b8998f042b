"""Protocols: which rows of a data set count, and how their labels are read. Named, versioned, with published counts.

The counts of Adience's protocols were computed from its published fold files (Eidinger, Enbar, Hassner, TIFS 2014);
`lmtcnn_joint` is the list of Lee, Chan, Chen, Chen (MIPR 2018) as their script `datapreparation.py` makes it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf

import pandas as pd

from agegender.data.splits import FOLDS, first_share
from agegender.errors import UserError
from agegender.tasks import AGE_GROUPS

# Two rules for years -> the eight groups: `exact` leaves the years between Adience's ranges without a group;
# `partition` gives every age one (MiVOLO, tools/prepare_adience.py and its evaluation: bins at these lower bounds).
YEARS_TO_GROUP: dict[str, pd.IntervalIndex] = {
    "exact": pd.IntervalIndex.from_tuples(list(AGE_GROUPS), closed="both"),
    "partition": pd.IntervalIndex.from_breaks([0, 4, 7, 14, 24, 36, 46, 57, inf], closed="left"),
}


def group_of_years(years: pd.Series, rule: str) -> pd.Series:
    """Map ages in years to age groups 0..7 (Int64, <NA> where the rule `exact` or `partition` has no group)."""
    groups = YEARS_TO_GROUP[rule].get_indexer(pd.Index(years.astype("float64")))
    return pd.Series(groups, index=years.index, dtype="Int64").where(lambda group: group >= 0)


def group_of_label(labels: pd.Series) -> pd.Series:
    """Map Adience's age labels to groups 0..7 (Int64) where they are exactly one of the eight, as in '(25, 32)'."""
    return labels.map({str(bounds): group for group, bounds in enumerate(AGE_GROUPS)}).astype("Int64")


def group_around_label(labels: pd.Series) -> pd.Series:
    """Map Adience's age labels to groups 0..7 (Int64) where the whole range or number lies inside one group.

    '(25, 23)', 72 faces of fold 0, is a slip for '(25, 32)': LMTCNN's `datapreparation.py` and Levi and Hassner's
    `create_train_val_txt_files.py` mean to correct it, but look for '(25 23)'.
    """
    bounds = labels.replace("(25, 23)", "(25, 32)").str.extract(r"^\(?(\d+)(?:, (\d+)\))?$").astype("Int64")
    low = group_of_years(bounds[0], "exact")
    high = group_of_years(bounds[1].fillna(bounds[0]), "exact")
    return low.where((low == high).fillna(False))


@dataclass(frozen=True)
class Protocol:
    """Which rows count and how labels are read.

    `age_group` reads the groups from the manifest; a row counts when it has all of the `labels` (`complete`) or any of
    them; `distinct` counts an image once. `counts` are the published counts, in the form of `count`.
    """

    name: str
    datasets: tuple[str, ...]
    version: int
    description: str
    age_group: Callable[[pd.DataFrame], pd.Series]
    labels: tuple[str, ...] = ("age_group", "gender")
    complete: bool = True
    distinct: bool = False
    counts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


ADIENCE = ("adience", "generated")

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="lmtcnn_joint",
            datasets=ADIENCE,
            version=1,
            description="age label exactly one of the eight groups and gender m or f; duplicate rows kept, "
            "'(25, 23)' lost",
            age_group=lambda rows: group_of_label(rows["age_label"]),
            counts={
                "rows": (3879, 3005, 3121, 2866, 3387),
                "groups": (1427, 2162, 2125, 1653, 4897, 2300, 825, 869),
                "distinct": (16156,),
            },
        ),
        Protocol(
            name="subject_exclusive",
            datasets=ADIENCE,
            version=1,
            description="each face once; an age label counts when its whole range lies inside one group, '(25, 23)' as "
            "'(25, 32)'; a face with one usable label counts for that task only",
            age_group=lambda rows: group_around_label(rows["age_label"]),
            complete=False,
            distinct=True,
            counts={
                "rows": (4432, 3705, 3354, 3415, 3754),
                "age": (4377, 3110, 3299, 3069, 3679),
                "gender": (3995, 3609, 3137, 3306, 3445),
                "groups": (2491, 2140, 2124, 1642, 5095, 2340, 830, 872),
                "both": (16366,),
            },
        ),
        Protocol(
            name="utkface_exact",
            datasets=("utkface",),
            version=1,
            description="faces whose age lies in one of Adience's eight ranges, other ages do not count; subjects are "
            "unknown, so a person may stand in several folds",
            age_group=lambda rows: group_of_years(rows["age_years"], "exact"),
        ),
        Protocol(
            name="utkface_partition",
            datasets=("utkface",),
            version=1,
            description="every face; age groups start at 0, 4, 7, 14, 24, 36, 46, 57 years; subjects are "
            "unknown, so a person may stand in several folds",
            age_group=lambda rows: group_of_years(rows["age_years"], "partition"),
        ),
    )
}


def get_protocol(name: str, dataset: str) -> Protocol:
    """Return the protocol of this name; UserError when there is none or it does not fit the data set."""
    protocol = PROTOCOLS.get(name)
    if protocol is None or dataset not in protocol.datasets:
        fitting = ", ".join(other.name for other in PROTOCOLS.values() if dataset in other.datasets)
        problem = "there is no protocol" if protocol is None else f"data set {dataset} cannot be used with protocol"
        raise UserError(f"{problem} '{name}': choose from {fitting} for {dataset}")
    return protocol


def apply_protocol(
    manifest: pd.DataFrame, name: str, dataset: str, *, fraction: float = 1.0, partial: bool = False
) -> pd.DataFrame:
    """Return the rows of a data set's full manifest that count, with `age_group` read by the protocol's rule.

    `fraction` (UTKFace, 0 < fraction <= 1) keeps the first ceil(fraction x n) rows of every (fold, partition age
    group, gender) stratum in the order of `rank_in_strata`: smaller fractions are subsets of larger ones. On `adience`
    the counts are compared with the published lists, unless the manifest is known to be `partial` (rows of missing
    images taken out). UserError when they differ, for an unfit protocol or a fraction out of range.
    """
    protocol = get_protocol(name, dataset)
    rows = manifest.drop_duplicates("image") if protocol.distinct else manifest
    rows = rows.assign(age_group=protocol.age_group(rows))
    labelled = rows[list(protocol.labels)].notna()
    rows = rows[labelled.all(axis=1) if protocol.complete else labelled.any(axis=1)]
    if dataset == "adience" and not partial:
        _check_counts(protocol, rows)
    if fraction != 1:
        rows = _subset(protocol, rows, fraction)
    return rows.reset_index(drop=True)


def count(rows: pd.DataFrame) -> dict[str, tuple[int, ...]]:
    """Count a manifest: `rows`, `age`, `gender` per fold 0..4, `groups` per age group, `distinct` and `both` in all."""
    per_fold = rows.groupby("fold")[["image", "age_group", "gender"]].count().reindex(range(FOLDS), fill_value=0)
    groups = rows["age_group"].value_counts().reindex(range(len(AGE_GROUPS)), fill_value=0)
    return {
        "rows": tuple(per_fold["image"].tolist()),
        "age": tuple(per_fold["age_group"].tolist()),
        "gender": tuple(per_fold["gender"].tolist()),
        "groups": tuple(groups.tolist()),
        "distinct": (rows["image"].nunique(),),
        "both": (int(rows[["age_group", "gender"]].notna().all(axis=1).sum()),),
    }


_COUNTED = {
    "rows": "rows in fold {}",
    "age": "faces with an age group in fold {}",
    "gender": "faces with an annotated gender in fold {}",
    "groups": "faces in age group {}",
    "distinct": "distinct images",
    "both": "faces with both labels",
}


def _check_counts(protocol: Protocol, rows: pd.DataFrame) -> None:
    counts = count(rows)
    for kind, published in protocol.counts.items():
        for place, (have, want) in enumerate(zip(counts[kind], published, strict=True)):
            if have != want:
                what = _COUNTED[kind].format(place)
                raise UserError(
                    f"protocol {protocol.name}: {have} {what}, but {want} in the published lists; "
                    "the fold files are edited, or older than the corrections of December 2014: fetch them again"
                )


def _subset(protocol: Protocol, rows: pd.DataFrame, fraction: float) -> pd.DataFrame:
    if "utkface" not in protocol.datasets:
        raise UserError(
            f"fraction={fraction}: protocol {protocol.name} has no subsets, its counts are fixed; use fraction=1"
        )
    if not 0 < fraction < 1:
        raise UserError(f"fraction={fraction}: expected a number above 0 and at most 1")
    strata = rows.assign(partition=group_of_years(rows["age_years"], "partition"))
    return rows[first_share(strata, ["fold", "partition", "gender"], fraction)]
