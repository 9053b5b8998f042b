"""What a protocol is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import pandas as pd

from agegender.datasets.folds import FOLDS
from agegender.datasets.labels import PARTITION_LABELS, partition


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Which rows count and how labels are read.

    `age_group` reads the groups of the task `age_task` from the manifest; a row counts when it has all of the `labels`
    (`complete`) or any of them; `distinct` counts an image once. `fold` says which of the `folds` tests a face (-1:
    none, it always trains; <NA>: it does not count). Subsets take a share of every (fold, `stratum`, gender); without a
    `stratum` there are none. `lists` is the manifest's column of the authors' lists where these say which rows count
    and which part they stand in. `variant` is the image folder of Adience that published results under the protocol
    were measured on, where known. `counts` are the published counts, in the form of `protocols.count`. `tests_as` names
    the protocol that tests the same faces and differs in training only: its published numbers compare. `requires` is a
    column that a manifest may lack or leave empty, and without which the protocol cannot read it. With
    `shares_subjects` who a face shows is set aside: a person may stand in training and test, as in papers that split by
    image. `age_labels` are the names of its age groups where they are not those of `age_task`.
    """

    name: str
    description: str
    age_group: Callable[[pd.DataFrame], pd.Series]
    labels: tuple[str, ...] = ("age_group", "gender")
    complete: bool = True
    distinct: bool = False
    lists: str | None = None
    variant: str | None = None
    tests_as: str | None = None
    counts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    age_task: str = "age"
    folds: int = FOLDS
    fold: Callable[[pd.DataFrame], pd.Series] = lambda rows: rows["fold"]
    stratum: Callable[[pd.DataFrame], pd.Series] | None = None
    requires: str | None = None
    shares_subjects: bool = False
    age_labels: tuple[str, ...] | None = None
    version: int = 1


by_partition = partial(Protocol, age_group=partition, age_labels=PARTITION_LABELS, stratum=partition)
"""A protocol of faces with ages in years, which gives every age a group."""
