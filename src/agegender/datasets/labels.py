"""Age labels as age groups: the rules that protocols choose from."""

from collections.abc import Mapping
from itertools import pairwise
from math import inf

import pandas as pd

from agegender.tasks import AGE_GROUPS

# Two rules for years -> the eight groups: `exact` leaves the years between Adience's ranges without a group;
# `partition` gives every age one (MiVOLO, tools/prepare_adience.py and its evaluation: bins at these lower bounds).
PARTITION = (0, 4, 7, 14, 24, 36, 46, 57)
YEARS_TO_GROUP: dict[str, pd.IntervalIndex] = {
    "exact": pd.IntervalIndex.from_tuples(list(AGE_GROUPS), closed="both"),
    "partition": pd.IntervalIndex.from_breaks([*PARTITION, inf], closed="left"),
}
# The names of the groups of `partition`: each of Adience's ranges lies in the group of its number.
PARTITION_LABELS = (*(f"{low}-{high - 1}" for low, high in pairwise(PARTITION)), f"{PARTITION[-1]}+")

# Labels that are not exactly one of the eight, and the groups they count for besides:
# in Table II of Eidinger, Enbar, Hassner (TIFS 2014);
EIDINGER: dict[str, int] = {"13": 2, "(38, 42)": 5}
# in MiVOLO's tools/prepare_adience.py (`age_map`), and '(25, 23)', which that script leaves as it is.
MIVOLO: dict[str, int] = {
    **dict.fromkeys(("2", "3"), 0),
    **dict.fromkeys(("13", "(8, 23)"), 2),
    **dict.fromkeys(("22",), 3),
    **dict.fromkeys(("23", "29", "(27, 32)", "32", "34", "35", "(25, 23)"), 4),
    **dict.fromkeys(("36", "(38, 42)", "(38, 48)", "42", "45"), 5),
    **dict.fromkeys(("46", "55", "56"), 6),
    **dict.fromkeys(("57", "58"), 7),
}


def group_of_years(years: pd.Series, rule: str) -> pd.Series:
    """Map ages in years to age groups 0..7 (Int64, <NA> where the rule `exact` or `partition` has no group)."""
    groups = YEARS_TO_GROUP[rule].get_indexer(pd.Index(years.astype("float64")))
    return pd.Series(groups, index=years.index, dtype="Int64").where(lambda group: group >= 0)


def partition(rows: pd.DataFrame) -> pd.Series:
    """Return the age groups 0..7 (Int64) of a manifest's years by the rule `partition`."""
    return group_of_years(rows["age_years"], "partition")


def group_of_label(labels: pd.Series, others: Mapping[str, int] | None = None) -> pd.Series:
    """Map Adience's age labels to groups 0..7 (Int64) where they are exactly one of the eight, as in '(25, 32)'.

    `others` are labels that count besides, with their groups.
    """
    eight = {str(bounds): group for group, bounds in enumerate(AGE_GROUPS)}
    return labels.map({**eight, **(others or {})}).astype("Int64")


def group_around_label(labels: pd.Series) -> pd.Series:
    """Map Adience's age labels to groups 0..7 (Int64) where the whole range or number lies inside one group.

    '(25, 23)', 72 faces of fold 0, is a slip for '(25, 32)': LMTCNN's `datapreparation.py` and Levi and Hassner's
    `create_train_val_txt_files.py` mean to correct it, but look for '(25 23)'.
    """
    bounds = labels.replace("(25, 23)", "(25, 32)").str.extract(r"^\(?([0-9]+)(?:, ([0-9]+)\))?$").astype("Int64")
    low = group_of_years(bounds[0], "exact")
    high = group_of_years(bounds[1].fillna(bounds[0]), "exact")
    return low.where((low == high).fillna(False))
