"""Uncertainty of fold results: spread over folds and intervals that resample whole subjects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

# Bounds the memory of one round of resampling: 4 million counts are 32 MB.
_COUNTS_AT_ONCE = 4_000_000


def fold_summary(values: Sequence[float]) -> tuple[float, float]:
    """Return mean and sample standard deviation (ddof 1) of the folds' values.

    The deviation of a single fold is NaN. ValueError when there is none.
    """
    if len(values) == 0:
        raise ValueError("there is no fold to summarise")
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    return float(np.mean(values)), sd


def clusters_of(faces: pd.DataFrame) -> pd.Series[str]:
    """Return what is drawn as a whole: the subject, or else the image: a face under another seed is the same face."""
    return faces["subject"].fillna(faces["image"])


def cluster_bootstrap(
    correct: ArrayLike,
    clusters: ArrayLike | None,
    repeats: int = 2000,
    seed: int = 0,
    classes: ArrayLike | None = None,
) -> tuple[float, float]:
    """Return the 95 % percentile interval (low, high) of a pooled mean, drawing whole subjects with replacement.

    `correct`: one value per face, shape (n,): 0/1 for a share, an error for an MAE. `clusters`: the faces' subjects,
    shape (n,); None, or a missing entry, makes a face its own cluster. With `classes`, shape (n,), the mean is the mean
    of the classes' means (balanced exact); a draw without a class averages the others. The cluster bootstrap of Field
    and Welsh, JRSS B 2007. Same seed, same interval.
    ValueError for empty input, shapes that do not match and repeats < 1.
    """
    values = np.asarray(correct, dtype=np.float64)
    groups = np.zeros(len(values), dtype=np.int64) if classes is None else np.unique(classes, return_inverse=True)[1]
    codes = np.arange(len(values)) if clusters is None else _cluster_codes(clusters)
    if values.ndim != 1 or values.size == 0 or not values.shape == groups.shape == codes.shape:
        raise ValueError(f"need vectors of one length, not of {values.shape}, {codes.shape} and {groups.shape}")
    if repeats < 1:
        raise ValueError(f"need at least one repeat, not {repeats}")
    drawn = _resampled_means(values, codes, groups, repeats, seed)
    low, high = np.quantile(np.nanmean(drawn, axis=1), [0.025, 0.975])
    return float(low), float(high)


def paired_bootstrap(
    ours: ArrayLike,
    ours_clusters: ArrayLike,
    theirs: ArrayLike,
    theirs_clusters: ArrayLike,
    repeats: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the 95 % percentile interval of mean(ours) - mean(theirs), drawing whole subjects with replacement.

    Two ways to answer the same faces: a drawn subject brings its faces of both, so what both find hard cancels out.
    `ours` and `theirs`: one value per face, shapes (n,) and (m,), with the subject of each (without one, its image).
    ValueError for empty input and lengths that do not match.
    """
    values = np.concatenate([np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)])
    codes = _cluster_codes(np.concatenate([np.asarray(c, dtype=object) for c in (ours_clusters, theirs_clusters)]))
    sides = np.repeat([0, 1], [np.size(ours), np.size(theirs)])
    if not np.size(ours) == np.size(ours_clusters) > 0 or not np.size(theirs) == np.size(theirs_clusters) > 0:
        raise ValueError(f"need a cluster for each face, not {np.size(ours_clusters)} and {np.size(theirs_clusters)}")
    drawn = _resampled_means(values, codes, sides, repeats, seed)
    low, high = np.nanquantile(drawn[:, 0] - drawn[:, 1], [0.025, 0.975])
    return float(low), float(high)


def _cluster_codes(clusters: ArrayLike) -> NDArray[np.int64]:
    codes = pd.factorize(np.asarray(clusters, dtype=object))[0].astype(np.int64)
    unknown = codes < 0
    codes[unknown] = codes.max(initial=-1) + 1 + np.arange(unknown.sum())
    return codes


def _totals(values: NDArray[np.float64], codes: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sum `values` by cluster and class: shape (clusters, classes)."""
    totals = np.zeros((codes.max() + 1, groups.max() + 1))
    np.add.at(totals, (codes, groups), values)
    return totals


def _resampled_means(
    values: NDArray[np.float64], codes: NDArray[np.int64], groups: NDArray[np.int64], repeats: int, seed: int
) -> NDArray[np.float64]:
    """Draw as many clusters as there are, `repeats` times: each group's mean, NaN where empty: (repeats, groups)."""
    totals = np.hstack([_totals(values, codes, groups), _totals(np.ones_like(values), codes, groups)])
    # Clusters with the same totals are interchangeable, so each kind is drawn at once: of thousands of single faces
    # that are right or wrong a handful of kinds is left; of errors in years nearly all.
    kinds, sizes = np.unique(totals, axis=0, return_counts=True)
    kind_sums, kind_counts = np.hsplit(kinds, 2)
    rng, means = np.random.default_rng(seed), []
    step = max(1, _COUNTS_AT_ONCE // len(kinds))
    for start in range(0, repeats, step):
        drawn = rng.multinomial(len(totals), sizes / len(totals), size=min(step, repeats - start)).astype(np.float64)
        faces = drawn @ kind_counts
        means.append(np.divide(drawn @ kind_sums, faces, out=np.full_like(faces, np.nan), where=faces > 0))
    return np.concatenate(means)
