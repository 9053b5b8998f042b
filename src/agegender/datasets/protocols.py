"""Protocols: which rows of a data set count, and how their labels are read. Named, versioned, with published counts."""

import pandas as pd

from agegender.data.splits import first_share
from agegender.datasets.adience_protocols import ADIENCE_PROTOCOLS
from agegender.datasets.counts import check_counts
from agegender.datasets.fairface import FOLD_RULE
from agegender.datasets.labels import group_of_years
from agegender.datasets.measured_protocols import MEASURED_PROTOCOLS, UTKFACE_YEARS, partition
from agegender.datasets.protocol import Protocol
from agegender.errors import UserError
from agegender.tasks import get_task


def _decades(rows: pd.DataFrame) -> pd.Series:
    return rows["age_decades"]


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        *ADIENCE_PROTOCOLS,
        Protocol(
            name="utkface_exact",
            datasets=("utkface",),
            version=1,
            description="faces whose age lies in one of Adience's eight ranges, other ages do not count; subjects are "
            "unknown, so a person may stand in several folds",
            age_group=lambda rows: group_of_years(rows["age_years"], "exact"),
            stratum=partition,
        ),
        Protocol(
            name="utkface_partition",
            datasets=("utkface",),
            version=1,
            description="every face; age groups start at 0, 4, 7, 14, 24, 36, 46, 57 years; subjects are "
            "unknown, so a person may stand in several folds",
            age_group=partition,
            stratum=partition,
        ),
        UTKFACE_YEARS,
        Protocol(
            name="fairface_folds",
            datasets=("fairface",),
            version=1,
            description=f"the published training faces in five folds ({FOLD_RULE}: dealt within every age group, "
            "annotated gender and annotated race, byte-identical faces together); the published validation faces are "
            "left out; subjects are unknown, so a person may stand in several folds",
            age_group=_decades,
            labels=("age_decades", "gender"),
            age_task="age_decades",
            stratum=_decades,
            counts={"distinct": (86744,)},  # rows of the published fairface_label_train.csv
        ),
        Protocol(
            name="fairface_published",
            datasets=("fairface",),
            version=1,
            description="the published parts: tested on the validation faces (fold 0, the only one), trained on the "
            "training faces; subjects are unknown, so a person, and even a byte-identical face, may stand in both",
            age_group=_decades,
            labels=("age_decades", "gender"),
            age_task="age_decades",
            folds=1,
            fold=lambda rows: rows["published_part"].map({"val": 0, "train": -1}).astype("Int64"),
            stratum=_decades,
            counts={"distinct": (97698,)},  # and 10,954 rows of fairface_label_val.csv
        ),
        *MEASURED_PROTOCOLS,
    )
}


def get_protocol(name: str, dataset: str) -> Protocol:
    """Return the protocol of this name; UserError when there is none or it does not fit the data set."""
    protocol = PROTOCOLS.get(name)
    if protocol is None or dataset not in protocol.datasets:
        known = {name for other in PROTOCOLS.values() for name in other.datasets}
        if dataset not in known:
            raise UserError(f"data.name={dataset}: there is no such data set, choose from {', '.join(sorted(known))}")
        fitting = ", ".join(other.name for other in PROTOCOLS.values() if dataset in other.datasets)
        problem = "there is no protocol" if protocol is None else f"data set {dataset} cannot be used with protocol"
        raise UserError(f"{problem} '{name}': choose from {fitting} for {dataset}")
    return protocol


def apply_protocol(
    manifest: pd.DataFrame, name: str, dataset: str, *, fraction: float = 1.0, partial: bool = False
) -> pd.DataFrame:
    """Return the rows of a data set's full manifest that count, with age groups and folds read by the protocol's rules.

    `fraction` (0 < fraction <= 1, not on Adience) keeps the first ceil(fraction x n) rows of every (fold, age
    stratum, gender) in the order of `rank_in_strata`: smaller fractions are subsets of larger ones. On `adience`
    the counts are compared with the published lists, unless the manifest is known to be `partial` (rows of missing
    images taken out). Where the protocol has `lists`, only the rows they name are kept, and a column `listed` names
    their part in each test fold 0..4, as in "train test validation train none". UserError when counts differ, for an
    unfit protocol, for lists that were not read and for a fraction out of range.
    """
    protocol = get_protocol(name, dataset)
    if not _has(manifest, protocol.requires):
        raise UserError(
            f"protocol {name} needs the column {protocol.requires}, which this data set leaves out: choose from "
            f"{', '.join(fitting(manifest, dataset))}"
        )
    rows = manifest.drop_duplicates("image") if protocol.distinct else manifest
    if protocol.lists is not None:
        rows = _listed(rows, protocol.lists, name)
    rows = rows.assign(**{get_task(protocol.age_task).column: protocol.age_group(rows), "fold": protocol.fold(rows)})
    rows = rows[rows["fold"].notna()]
    if protocol.shares_subjects:
        rows = rows.assign(subject=pd.Series(pd.NA, index=rows.index, dtype="string"))
    labelled = rows[list(protocol.labels)].notna()
    rows = rows[labelled.all(axis=1) if protocol.complete else labelled.any(axis=1)]
    if dataset == "adience" and not partial:
        check_counts(rows, protocol.counts, name)
    if fraction != 1:
        rows = _subset(protocol, rows, fraction)
    return rows.reset_index(drop=True)


def fitting(manifest: pd.DataFrame, dataset: str) -> list[str]:
    """Name the protocols that can read this manifest: those of its data set whose lists and column are there."""
    return [
        name
        for name, protocol in PROTOCOLS.items()
        if dataset in protocol.datasets
        and (protocol.lists is None or protocol.lists in manifest)
        and _has(manifest, protocol.requires)
    ]


def _has(manifest: pd.DataFrame, column: str | None) -> bool:
    return column is None or (column in manifest and bool(manifest[column].notna().any()))


def _listed(rows: pd.DataFrame, column: str, name: str) -> pd.DataFrame:
    if column not in rows:
        list_name = column.removeprefix("lists_")
        raise UserError(
            f"protocol {name} needs the authors' lists, test_fold_is_0/{list_name}_train.txt and so on: prepare the "
            "data with data.settings.lists=/path/to/them"
        )
    return rows[rows[column] != ""].assign(listed=rows[column])


def _subset(protocol: Protocol, rows: pd.DataFrame, fraction: float) -> pd.DataFrame:
    if protocol.stratum is None:
        raise UserError(
            f"fraction={fraction}: protocol {protocol.name} has no subsets, its counts are fixed; use fraction=1"
        )
    if not 0 < fraction < 1:
        raise UserError(f"fraction={fraction}: expected a number above 0 and at most 1")
    strata = rows.assign(stratum=protocol.stratum(rows))
    return rows[first_share(strata, ["fold", "stratum", "gender"], fraction)]
