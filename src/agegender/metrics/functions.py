"""Metrics of a set of test faces: pure functions of truths and predictions.

All shares are fractions 0..1 and all results Python floats. Faces without a label are removed by the caller; empty
input, shapes that do not match and values that are not finite raise ValueError. Top-2 and 1-off are different metrics:
top-2 asks whether the truth is among the two most probable labels, 1-off whether the prediction is at most one group
away from the truth.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


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
    return float(np.mean(top_k_hits(truth, posterior, k)))


def top_k_hits(truth: ArrayLike, posterior: ArrayLike, k: int) -> NDArray[np.bool_]:
    """Whether each face's true label is among the k most probable, shape (n,); arguments as of `top_k`."""
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
