"""The predictions file: one row per test face; every table, interval, slice and figure is computed from it."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from agegender.errors import UserError
from agegender.runs.folder import RunFolder
from agegender.spreadsheets import guard, quoting, unguard
from agegender.tasks import Task, get_task

_WORDS = ("image", "subject")
_SPREAD = 1e6  # no annotators are further apart
_ROUNDING = 1e-3  # of a sum of float32 probabilities; a head in bfloat16 rounds no further


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
    words = {name: table[name].map(guard, na_action="ignore") for name in _WORDS}
    quotes = quoting(word for name in _WORDS for word in table[name].dropna())
    return table.assign(**words).to_csv(index=False, float_format="%.9g", lineterminator="\n", quoting=quotes)


def read_predictions(file: Path) -> pd.DataFrame:
    """Read the predictions file of a run folder: labels and answers as nullable integers (measured: numbers).

    Posteriors are float32. Damaged where it cannot be read, is not the file that a finished run has left, or holds what
    no head answers.
    """
    run = RunFolder(file.parent)
    text = run.content(file.name)
    try:
        head = [str(name) for name in pd.read_csv(io.BytesIO(text), nrows=0).columns]
        kinds = {name: _kind(name) for name in head}
        # Only an empty cell is empty: a file may be called NA.
        table = pd.read_csv(io.BytesIO(text), dtype=kinds, keep_default_na=False, na_values=[""])
        _check(table)
    except (UserError, ValueError, TypeError, OverflowError) as error:
        raise run.damaged(file.name, f"cannot be used ({_first_line(error)})") from None
    return table.assign(**{name: table[name].map(unguard, na_action="ignore").astype("string") for name in _WORDS})


def _kind(column: str) -> Any:
    if column in _WORDS:
        return "string"
    if column == "fold":
        return "Int64"
    task, _, what = column.rpartition("_")
    if what in ("true", "pred"):
        return "Float64" if get_task(task).measured else "Int64"
    return "Float64" if what == "sd" else np.float32


def _check(table: pd.DataFrame) -> None:
    """Refuse what `predictions_table` does not make; ValueError says what it is."""
    tasks = [get_task(name.removesuffix("_true")) for name in table.columns if name.endswith("_true")]
    expected = [*_WORDS, "fold"]
    for task in tasks:
        spread = [f"{task.name}_sd"] if f"{task.name}_sd" in table else []
        expected += [f"{task.name}_true", *spread, f"{task.name}_pred", *_posterior(task)]
    if list(table.columns) != expected or not tasks:
        raise ValueError("its columns are not those of predictions")
    if table.empty or table[["image", "fold"]].isna().any(axis=None):
        raise ValueError("faces are missing in it")
    for task in tasks:
        _check_task(table, task)


def _check_task(table: pd.DataFrame, task: Task) -> None:
    true, answer = table[f"{task.name}_true"], table[f"{task.name}_pred"]
    half = task.step / 2 if task.measured else 0  # what rounds to a label value
    low, high = task.values[0] - half, task.values[-1] + half
    if answer.isna().any() or not (answer.between(low, high).all() and true.dropna().between(low, high).all()):
        raise ValueError(f"a label or an answer of {task.name} is missing or none of its values")
    if f"{task.name}_sd" in table and not table[f"{task.name}_sd"].dropna().between(0, _SPREAD).all():
        raise ValueError(f"a standard deviation of {task.name} is none")
    posterior = table[_posterior(task)].to_numpy(np.float64)
    if not (posterior >= 0).all() or not np.allclose(posterior.sum(axis=1), 1, rtol=0, atol=_ROUNDING):
        raise ValueError(f"the probabilities of {task.name} are none")


def _posterior(task: Task) -> list[str]:
    return [f"{task.name}_p{k}" for k in range(len(task.labels))]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
