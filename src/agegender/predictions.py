"""The predictions file: one row per test face; every table, interval, slice and figure is computed from it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from agegender.tasks import get_task


def predictions_table(
    rows: pd.DataFrame, posteriors: Mapping[str, npt.NDArray[np.float32]], answers: Mapping[str, npt.NDArray[Any]]
) -> pd.DataFrame:
    """Join test rows (N) with each task's posterior (N, K) and answer (N).

    Columns: image, subject, fold, then per task T: T_true (empty where the face has no such label), T_sd (the label's
    standard deviation, where the data set names any), T_pred, T_p0 ... Labels and answers are whole numbers, or of a
    measured task numbers in its unit.
    """
    columns: dict[str, object] = {name: rows[name].to_numpy() for name in ("image", "subject", "fold")}
    for name, posterior in posteriors.items():
        task = get_task(name)
        columns[f"{name}_true"] = rows[task.column].astype("Float64" if task.measured else "Int64").array
        if task.spread_column in rows:
            columns[f"{name}_sd"] = rows[task.spread_column].astype("Float64").array
        columns[f"{name}_pred"] = answers[name]
        columns |= {f"{name}_p{k}": posterior[:, k] for k in range(posterior.shape[1])}
    return pd.DataFrame(columns)


def predictions_text(table: pd.DataFrame) -> str:
    """Print a predictions table as CSV; nine digits give every float32 back exactly."""
    return table.to_csv(index=False, float_format="%.9g", lineterminator="\n")


def read_predictions(file: Path) -> pd.DataFrame:
    """Read a predictions file: labels and answers as nullable integers (measured: numbers), posteriors as float32."""
    text = {"image": "string", "subject": "string"}
    table = pd.read_csv(file, dtype=text)
    return table.astype({name: _kind(name) for name in table.columns.astype(str) if name not in text})


def _kind(column: str) -> Any:
    if column == "fold":
        return "Int64"
    task, _, what = column.rpartition("_")
    if what in ("true", "pred"):
        return "Float64" if get_task(task).measured else "Int64"
    return "Float64" if what == "sd" else np.float32
