"""Protocols of data sets with measured labels: ages in years, scores.

Where there are years, every face has an age group too (the partition), so that a system of age groups can be trained on
the very same faces.
"""

import pandas as pd

from agegender.data.splits import FOLDS, rank_in_strata, tested_first
from agegender.datasets.labels import group_of_years
from agegender.datasets.protocol import Protocol


def partition(rows: pd.DataFrame) -> pd.Series:
    """Return the age groups 0..7 (Int64) of a manifest's years: groups start at 0, 4, 7, 14, 24, 36, 46, 57."""
    return group_of_years(rows["age_years"], "partition")


def _labelled(rows: pd.DataFrame) -> pd.Series:
    """Return the age groups of a table: its own, and those of its years where it has none."""
    return rows["age_group"].fillna(partition(rows))


def _published(dataset: str, title: str, tested: str, faces: int | None) -> Protocol:
    return Protocol(
        name=f"{dataset}_published",
        datasets=(dataset,),
        version=1,
        description=f"{title}, apparent age: tested on the published {tested} faces (fold 0, the only one), trained "
        "on the others; subjects are unknown, so a person may stand in both",
        age_group=partition,
        labels=("age_years",),
        folds=1,
        fold=lambda rows: tested_first(rows["split"]),
        stratum=partition,
        counts={} if faces is None else {"distinct": (faces,)},
    )


UTKFACE_YEARS = Protocol(
    name="utkface_years",
    datasets=("utkface",),
    version=1,
    description="every face of 0 to 100 years, older ones do not count; subjects are unknown, so a person may stand in "
    "several folds",
    age_group=partition,
    labels=("age_years", "gender"),
    fold=lambda rows: rows["fold"].where(rows["age_years"] <= 100),
    stratum=partition,
)
TABLE_LABELS = ("age_years", "age_group", "gender", "attractiveness")

MEASURED_PROTOCOLS = (
    # Of 2015 DLDL-v2 tests on the validation faces (gaobb/DLDL-v2 `datasets/chalearn15-gen.lua`), of 2016 on the test
    # faces, and trains on the validation faces too (`chalearn16-gen.lua`).
    _published("chalearn15", "ChaLearn LAP 2015", "validation", 3612),
    _published("chalearn16", "ChaLearn LAP 2016", "test", None),
    _published("appa_real", "APPA-REAL", "test", 7591),
    Protocol(
        name="morph2_exclusive",
        datasets=("morph2",),
        version=1,
        description="five folds of whole persons, dealt within age group and annotated gender",
        age_group=partition,
        labels=("age_years", "gender"),
        stratum=partition,
    ),
    Protocol(
        name="morph2_random",
        datasets=("morph2",),
        version=1,
        description="five folds of images, 80 % train and 20 % test as in many papers, each image drawn for itself "
        "within age group and annotated gender: most persons of the test faces are also trained on",
        age_group=partition,
        labels=("age_years", "gender"),
        fold=lambda rows: (rank_in_strata(rows, ["age_group", "gender"], "morph2_random_v1/") % FOLDS).astype("Int64"),
        stratum=partition,
        shares_subjects=True,
    ),
    Protocol(
        name="all_age_faces_folds",
        datasets=("all_age_faces",),
        version=1,
        description="five folds, ours: dealt within age group and annotated gender; every image shows another person",
        age_group=partition,
        labels=("age_years", "gender"),
        stratum=partition,
        counts={"distinct": (13322,)},  # of the README of JingchunCheng/All-Age-Faces-Dataset
    ),
    Protocol(
        name="scut_fbp5500_folds",
        datasets=("scut_fbp5500",),
        version=1,
        description="the published five folds; subjects are unknown, so a person may stand in several folds",
        age_group=lambda rows: rows["age_group"],
        labels=("attractiveness",),
        stratum=lambda rows: rows["attractiveness"].round(),
        counts={"distinct": (5500,)},
    ),
    Protocol(
        name="csv_folds",
        datasets=("csv",),
        version=1,
        description="the five folds of the table, or where it has none whole persons dealt within age group and "
        "annotated gender (splits.deal_folds); a face with any label counts, for the tasks it has labels of",
        age_group=_labelled,
        labels=TABLE_LABELS,
        complete=False,
        stratum=_labelled,
        requires="fold",
    ),
    Protocol(
        name="csv_split",
        datasets=("csv",),
        version=1,
        description="the table's split: tested on its test faces (fold 0, the only one), or on its val faces where "
        "there is no test, trained on the others; a face with any label counts, for the tasks it has labels of",
        age_group=_labelled,
        labels=TABLE_LABELS,
        complete=False,
        folds=1,
        fold=lambda rows: tested_first(rows["split"]),
        stratum=_labelled,
        requires="split",
    ),
)
