"""The predictions file: one row per test face; every table, interval, slice and figure is computed from it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from agegender.tasks import get_task


def predictions_table(
    rows: pd.DataFrame, posteriors: Mapping[str, npt.NDArray[np.float32]], answers: Mapping[str, npt.NDArray[np.int64]]
) -> pd.DataFrame:
    """Join test rows (N) with each task's posterior (N, K) and answer (N).

    Columns: image, subject, fold, then per task T: T_true (empty where the face has no such label), T_pred, T_p0 ...
    """
    columns: dict[str, object] = {name: rows[name].to_numpy() for name in ("image", "subject", "fold")}
    for task, posterior in posteriors.items():
        columns[f"{task}_true"] = rows[get_task(task).column].astype("Int64").array
        columns[f"{task}_pred"] = answers[task]
        columns |= {f"{task}_p{k}": posterior[:, k] for k in range(posterior.shape[1])}
    return pd.DataFrame(columns)


def predictions_text(table: pd.DataFrame) -> str:
    """Print a predictions table as CSV; nine digits give every float32 back exactly."""
    return table.to_csv(index=False, float_format="%.9g", lineterminator="\n")


def read_predictions(file: Path) -> pd.DataFrame:
    """Read a predictions file: labels and answers as nullable integers, posteriors as float32."""
    table = pd.read_csv(file, dtype={"image": "string", "subject": "string"})
    labels = [name for name in table.columns.astype(str) if name == "fold" or name.endswith(("_true", "_pred"))]
    posteriors = [name for name in table.columns.astype(str) if name not in labels and name not in ("image", "subject")]
    return table.astype(dict.fromkeys(labels, "Int64") | dict.fromkeys(posteriors, np.float32))
