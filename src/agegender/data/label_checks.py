"""Before a run trains: whether its faces have the labels that its heads learn from."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from agegender.errors import UserError
from agegender.tasks import ANNOTATED, Task, get_task


def check_labels(faces: pd.DataFrame, heads: Mapping[str, Mapping[str, Any]], place: str) -> None:
    """Refuse faces (rows of a manifest) that lack the labels of a task, or have some that its head cannot learn from.

    `heads`: by task the head's settings. `place` names data set and protocol. UserError names the image and the value.
    """
    for name, head in heads.items():
        task = get_task(name)
        if task.column not in faces or faces[task.column].isna().all():
            raise UserError(
                f"{place} has no {task.title} in its column '{task.column}', which the head {name} of this system "
                "learns from: choose other data, another protocol or another system"
            )
        known = faces[faces[task.column].notna()]
        _refuse_outside(known, task, place)
        if head.get("sigma") == ANNOTATED:
            _refuse_without_spread(known, task, place)


def _refuse_outside(faces: pd.DataFrame, task: Task, place: str) -> None:
    low, high = task.values[0], task.values[-1]
    outside = faces[~faces[task.column].astype(float).between(low, high)]
    if len(outside):
        face = outside.iloc[0]
        raise UserError(
            f"{place}: {len(outside)} faces have {task.column} outside {low:g} to {high:g}, such as {face['image']} "
            f"with {face[task.column]}: correct the labels, or choose a protocol that leaves such faces out"
        )


def _refuse_without_spread(faces: pd.DataFrame, task: Task, place: str) -> None:
    remedy = f"give the head a number of {task.unit or 'groups'}, system.heads.{task.name}.sigma=..."
    if task.spread_column not in faces:
        raise UserError(f"{place} names no standard deviations of the {task.title} (sigma=annotated): {remedy}")
    spread = faces[task.spread_column].astype("Float64")
    bad = faces[~(spread > 0).fillna(False)]
    if len(bad):
        face = bad.iloc[0]
        value = "none" if pd.isna(face[task.spread_column]) else f"{face[task.spread_column]:g}"
        raise UserError(
            f"{place}: {face['image']} has {task.spread_column} {value}, and sigma=annotated needs one above 0 for "
            f"every face: correct it, or {remedy}"
        )
