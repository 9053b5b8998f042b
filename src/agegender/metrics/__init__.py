"""Metrics of a set of test faces: pure functions, the catalogue of all metrics by task, and intervals."""

from agegender.metrics.catalogue import (
    METRICS,
    TOLERANCES,
    Metric,
    evaluate,
    face_values,
    headline_of,
    headline_values,
    metrics_of,
    selection_score,
)
from agegender.metrics.functions import (
    balanced_exact,
    cumulative_score,
    epsilon_error,
    exact,
    mae,
    mae_by_decade,
    one_off,
    pearson,
    rmse,
    top_k,
)

__all__ = [
    "METRICS",
    "TOLERANCES",
    "Metric",
    "balanced_exact",
    "cumulative_score",
    "epsilon_error",
    "evaluate",
    "exact",
    "face_values",
    "headline_of",
    "headline_values",
    "mae",
    "mae_by_decade",
    "metrics_of",
    "one_off",
    "pearson",
    "rmse",
    "selection_score",
    "top_k",
]
