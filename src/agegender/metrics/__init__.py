"""Metrics of a set of test faces; see `agegender.metrics.functions` for conventions."""

from agegender.metrics.functions import (
    TOLERANCES,
    balanced_exact,
    cumulative_score,
    epsilon_error,
    evaluate,
    exact,
    face_values,
    mae,
    mae_by_decade,
    one_off,
    pearson,
    rmse,
    top_k,
)

__all__ = [
    "TOLERANCES",
    "balanced_exact",
    "cumulative_score",
    "epsilon_error",
    "evaluate",
    "exact",
    "face_values",
    "mae",
    "mae_by_decade",
    "one_off",
    "pearson",
    "rmse",
    "top_k",
]
