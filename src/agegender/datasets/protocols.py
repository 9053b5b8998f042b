"""The protocols by name, and what each makes of a manifest: the rows that count, their labels and their folds."""

import pandas as pd

from agegender.datasets.catalogue import DATASETS, get_dataset
from agegender.datasets.counts import check_counts
from agegender.datasets.folds import first_share
from agegender.datasets.protocol import Protocol
from agegender.errors import UserError
from agegender.tasks import get_task

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol for dataset in DATASETS.values() for protocol in dataset.protocols
}


def get_protocol(name: str, dataset: str) -> Protocol:
    """Return the protocol of this name that a data set has; UserError when it has none or there is no such data set."""
    own = {protocol.name: protocol for protocol in get_dataset(dataset).protocols}
    if name not in own:
        problem = f"data set {dataset} cannot be used with" if name in PROTOCOLS else "there is no"
        raise UserError(f"{problem} protocol '{name}': choose from {', '.join(own)} for {dataset}")
    return own[name]


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
    if get_dataset(dataset).counted and not partial:
        check_counts(rows, protocol.counts, name)
    if fraction != 1:
        rows = _subset(protocol, rows, fraction)
    return rows.reset_index(drop=True)


def fitting(manifest: pd.DataFrame, dataset: str) -> list[str]:
    """Name the protocols that can read this manifest: those of its data set whose lists and column are there."""
    return [
        protocol.name
        for protocol in get_dataset(dataset).protocols
        if (protocol.lists is None or protocol.lists in manifest) and _has(manifest, protocol.requires)
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
