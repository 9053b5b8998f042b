"""Metrics of a set of test faces: pure functions of truths and predictions.

All shares are fractions 0..1 and all results Python floats. Faces without a label are removed by the caller; empty
input, shapes that do not match and values that are not finite raise ValueError. Top-2 and 1-off are different metrics:
top-2 asks whether the truth is among the two most probable labels, 1-off whether the prediction is at most one group
away from the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agegender.tasks import Task, get_task

if TYPE_CHECKING:
    import pandas as pd


# The k of the cumulative scores of a measured task, in its unit: CS@3 and CS@5 are the usual ones of ages.
TOLERANCES: dict[str, dict[str, float]] = {"age_years": {"cs3": 3, "cs5": 5}}


def _vectors(truth: ArrayLike, prediction: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    # Labels (below 2^53) are exact in float64, so one check serves labels and years alike.
    t, p = np.asarray(truth, dtype=np.float64), np.asarray(prediction, dtype=np.float64)
    if t.ndim != 1 or t.shape != p.shape:
        raise ValueError(f"truth and prediction must be vectors of one length, not of shapes {t.shape} and {p.shape}")
    if t.size == 0:
        raise ValueError("there is no face to compute a metric of")
    if not (np.isfinite(t).all() and np.isfinite(p).all()):
        raise ValueError("truth and prediction must be finite: remove the faces without a label first")
    return t, p


def exact(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Share of faces whose predicted label is the true one, mean(t = p): plain accuracy, 0..1.

    `truth`, `prediction`: labels, shape (n,). Not the "exact" of Eidinger et al. 2014: see `balanced_exact`.
    """
    t, p = _vectors(truth, prediction)
    return float(np.mean(t == p))


def one_off(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Share of faces predicted at most one group off, mean(|t - p| <= 1), 0..1.

    `truth`, `prediction`: ordinal labels, shape (n,). As in Eidinger, Enbar, Hassner, TIFS 2014, Table IV.
    """
    return cumulative_score(truth, prediction, 1)


def cumulative_score(truth: ArrayLike, prediction: ArrayLike, k: float) -> float:
    """CS@k = mean(|t - p| <= k), 0..1, for labels or years of shape (n,) and k >= 0.

    The cumulative score of Geng, Zhou, Smith-Miles, TPAMI 2007.
    """
    if not k >= 0:
        raise ValueError(f"k must not be negative, not {k}")
    t, p = _vectors(truth, prediction)
    return float(np.mean(np.abs(t - p) <= k))


def mae(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Mean absolute error mean(|t - p|) of vectors of shape (n,), in the unit of the label: groups or years."""
    t, p = _vectors(truth, prediction)
    return float(np.mean(np.abs(t - p)))


def top_k(truth: ArrayLike, posterior: ArrayLike, k: int) -> float:
    """Share of faces whose true label is among the k most probable, 0..1.

    `truth`: labels 0..K-1, shape (n,); `posterior`: probabilities or any score that grows with them, shape (n, K);
    1 <= k <= K. Among equals the lower label comes first, as in argmax.
    """
    return float(np.mean(_top_k_hits(truth, posterior, k)))


def _top_k_hits(truth: ArrayLike, posterior: ArrayLike, k: int) -> NDArray[np.bool_]:
    scores = np.asarray(posterior, dtype=np.float64)
    if scores.ndim != 2 or not np.isfinite(scores).all():
        raise ValueError(f"the posterior must be a finite matrix (faces, labels), not of shape {scores.shape}")
    if not 1 <= k <= scores.shape[1]:
        raise ValueError(f"k must be between 1 and the number of labels, {scores.shape[1]}, not {k}")
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    t, _ = _vectors(truth, best[:, 0])
    if not np.isin(t, np.arange(scores.shape[1])).all():
        raise ValueError(f"the labels must lie in 0..{scores.shape[1] - 1}, as many as the posterior has columns")
    return np.asarray((best == t[:, None]).any(axis=1))


def balanced_exact(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Mean of the recalls of the classes present in `truth`, mean_c mean(p = c | t = c), 0..1.

    `truth`, `prediction`: labels, shape (n,). The "exact" of Eidinger, Enbar, Hassner, TIFS 2014 (Table IV: mean
    accuracy across age groups).
    """
    t, p = _vectors(truth, prediction)
    _, classes = np.unique(t, return_inverse=True)
    return float(np.mean(np.bincount(classes, weights=t == p) / np.bincount(classes)))


def epsilon_error(truth: ArrayLike, prediction: ArrayLike, sigma: ArrayLike) -> float:
    """Mean of 1 - exp(-(p - t)^2 / (2 sigma^2)), 0..1: the error of ChaLearn LAP apparent age.

    `truth` (mean of the guessed ages) and `prediction` in years, shape (n,); `sigma` > 0, the standard deviation of
    the guesses in years, a scalar or of shape (n,). Formula: `utils/evaluation_age.m` of the authors' DLDL-v2 code.
    """
    t, p = _vectors(truth, prediction)
    s = np.asarray(sigma, dtype=np.float64)
    if s.shape not in ((), t.shape) or not (np.isfinite(s) & (s > 0)).all():
        raise ValueError("sigma must be positive: one number, or one for each face")
    return float(np.mean(1.0 - np.exp(-((p - t) ** 2) / (2.0 * s**2))))


def rmse(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Root of the mean squared error, sqrt(mean((t - p)^2)), of vectors of shape (n,), in the unit of the label."""
    t, p = _vectors(truth, prediction)
    return float(np.sqrt(np.mean((t - p) ** 2)))


def pearson(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Pearson's correlation of vectors of shape (n,), -1..1; NaN where one of them does not vary."""
    t, p = _vectors(truth, prediction)
    t, p = t - t.mean(), p - p.mean()
    norm = float(np.sqrt((t @ t) * (p @ p)))
    return float(t @ p) / norm if norm > 0 else float("nan")


def mae_by_decade(truth: ArrayLike, prediction: ArrayLike) -> dict[int, tuple[float, int]]:
    """Mean absolute error and number of faces by decade of the true age: {0: (of 0 to below 10 years), 10: ...}.

    `truth`, `prediction`: years, shape (n,). Decades without a face are left out.
    """
    t, p = _vectors(truth, prediction)
    decades = (t // 10 * 10).astype(int)
    return {
        int(decade): (mae(t[decades == decade], p[decades == decade]), int((decades == decade).sum()))
        for decade in np.unique(decades)
    }


def evaluate(predictions: pd.DataFrame, tasks: Sequence[str]) -> dict[str, float]:
    """Compute every metric of a predictions table by name: `<task>_n` and the metrics over the faces with that label.

    Groups give `age_exact, age_one_off, age_top2, age_balanced_exact, age_mae` (in groups), other labels
    `gender_accuracy`, and a measured task `age_years_mae, age_years_rmse, age_years_cs5` (CS@k for the k of
    `TOLERANCES`), `age_years_pearson` and, where the labels have standard deviations, `age_years_epsilon`.
    `predictions` has the columns `<task>_true`, `<task>_pred`, `<task>_p0` ... of the predictions
    file of a run. Where no face has the label, only `<task>_n` = 0 is given. UserError for an unknown task, KeyError
    for a missing column, ValueError for a labelled face without a prediction.
    """
    values: dict[str, float] = {}
    for name in tasks:
        faces = predictions[predictions[f"{name}_true"].notna()]
        values[f"{name}_n"] = float(len(faces))
        if len(faces):
            values |= {f"{name}_{metric}": value for metric, value in _evaluate_task(faces, get_task(name)).items()}
    return values


def face_values(faces: pd.DataFrame, task: Task, metric: str) -> NDArray[np.float64]:
    """Return what each face contributes to a metric of `evaluate` (without the task's name), shape (n,).

    The metric is the mean of these values (`balanced_exact`: of their means by true label), which is what an interval
    resamples. `faces`: a predictions table of faces that all have the task's label.
    """
    truth, prediction, posterior = _columns(faces, task)
    error: NDArray[np.float64] = np.abs(truth - prediction)
    tolerance = {"exact": 0, "accuracy": 0, "balanced_exact": 0, "one_off": 1} | TOLERANCES.get(task.name, {})
    if metric in tolerance:
        return np.where(error <= tolerance[metric], 1.0, 0.0)
    if metric == "top2":
        return np.where(_top_k_hits(truth, posterior, 2), 1.0, 0.0)
    if metric == "mae":
        return error
    if metric == "epsilon":
        spread = faces[f"{task.name}_sd"].to_numpy(np.float64, na_value=np.nan)
        return 1.0 - np.exp(-(error**2) / (2.0 * spread**2))
    raise ValueError(f"there is no metric '{metric}' that is a mean over faces")


def _columns(faces: pd.DataFrame, task: Task) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Truths (n,), predictions (n,) and posteriors (n, K) of a predictions table."""
    names = ["true", "pred", *(f"p{label}" for label in range(len(task.labels)))]
    values = faces[[f"{task.name}_{name}" for name in names]].to_numpy(np.float64, na_value=np.nan)
    return values[:, 0], values[:, 1], values[:, 2:]


def _evaluate_task(faces: pd.DataFrame, task: Task) -> dict[str, float]:
    truth, prediction, posterior = _columns(faces, task)
    if not task.ordinal:
        return {"accuracy": exact(truth, prediction)}
    if task.measured:
        close = {name: cumulative_score(truth, prediction, k) for name, k in TOLERANCES.get(task.name, {}).items()}
        error = {"mae": mae(truth, prediction), "rmse": rmse(truth, prediction)}
        return error | close | {"pearson": pearson(truth, prediction)} | _epsilon(faces, task, truth, prediction)
    return {
        "exact": exact(truth, prediction),
        "one_off": one_off(truth, prediction),
        "top2": top_k(truth, posterior, 2),
        "balanced_exact": balanced_exact(truth, prediction),
        "mae": mae(truth, prediction),
    }


def _epsilon(
    faces: pd.DataFrame, task: Task, truth: NDArray[np.float64], prediction: NDArray[np.float64]
) -> dict[str, float]:
    """The epsilon-error where the labels have standard deviations; nothing unless every face has one above 0."""
    if f"{task.name}_sd" not in faces:
        return {}
    sigma = faces[f"{task.name}_sd"].to_numpy(np.float64, na_value=np.nan)
    return {} if not (sigma > 0).all() else {"epsilon": epsilon_error(truth, prediction, sigma)}
