"""The metrics of every task: all that tables, figures, validation, exports and the notebook know of one stands here.

To add a metric, add its function to `functions.py` and one entry to the tasks that have it below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from math import isnan, nan
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from agegender.metrics import bootstrap
from agegender.metrics import functions as f
from agegender.tasks import TASKS, Task, get_task

# The k of the cumulative scores of a measured task, in its unit: CS@3 and CS@5 are the usual ones of ages.
TOLERANCES: dict[str, dict[str, float]] = {"age_years": {"cs3": 3, "cs5": 5}}
RIGHT, ERROR = "right answers", "mean absolute error"  # what headlines are


class Answers(NamedTuple):
    """The answers to one task: truths and predictions (n,), posteriors (n, K) and the labels' deviations (n,) if any.

    The arrays are NumPy's. For the per-face values of a headline, truths and predictions may be torch's.
    """

    truth: Any
    prediction: Any
    posterior: Any = None
    sd: Any = None


@dataclass(frozen=True)
class Metric:
    """A metric of one task. `title` heads its column, `meaning` says in a sentence what a headline is.

    `formula` computes it: a fraction, printed in percent where the `unit` is "%", or a number in that unit ("": none).
    `per_face` gives what each face contributes, shape (n,), and `average` says how that makes the metric: the mean over
    the faces, the mean of the means by true label, or the root of the mean. Intervals resample these contributions;
    a metric without them has no interval.
    A `headline`, of which every task has one, is shown fold by fold, compared between rows and used on validation; it
    is a mean over the faces. `needs_sd`: only where every label has a standard deviation above 0.
    """

    task: str
    kind: str
    title: str
    formula: Callable[[Answers], float]
    per_face: Callable[[Answers], Any] | None = None
    average: Literal["faces", "labels", "root"] = "faces"
    unit: str = "%"
    meaning: str = ""
    less_is_better: bool = False
    headline: bool = False
    needs_sd: bool = False

    @property
    def name(self) -> str:
        """The name in tables, run folders and MLflow, such as `age_exact`."""
        return f"{self.task}_{self.kind}"

    @property
    def label(self) -> str:
        """The title with the unit, as on an axis."""
        return f"{self.title}, {self.unit}" if self.unit else self.title

    @property
    def scale(self) -> int:
        """What values are multiplied by where people read them."""
        return 100 if self.unit == "%" else 1

    @property
    def digits(self) -> int:
        """The decimals that are printed: one of percent, three of a bare number, two in another unit."""
        return {"%": 1, "": 3}.get(self.unit, 2)

    def text(self, value: float) -> str:
        """Print a value in its unit; "undefined" where it is NaN, as a correlation with a constant."""
        return "undefined" if isnan(value) else f"{self.scale * value:.{self.digits}f}"

    def signed_text(self, value: float) -> str:
        """Print a difference of two values with its sign, of shares in points of percent."""
        return f"{self.scale * value:+.{self.digits}f}".replace("-", "−")

    def interval(self, faces: pd.DataFrame) -> tuple[float, float]:
        """Return the 95 % interval over a predictions table of labelled faces, subjects resampled; NaN without one."""
        if self.per_face is None:
            return nan, nan
        answers = answers_of(faces, TASKS[self.task])
        low, high = bootstrap.cluster_bootstrap(
            self.per_face(answers),
            bootstrap.clusters_of(faces),
            classes=answers.truth.astype(int) if self.average == "labels" else None,
        )
        return (low**0.5, high**0.5) if self.average == "root" else (low, high)


def _errors(a: Answers) -> Any:
    return abs(a.truth - a.prediction)


def _within(k: float) -> Callable[[Answers], Any]:
    """1 for a face whose answer is at most k off, else 0."""
    return lambda a: (_errors(a) <= k) * 1.0


def _pair(function: Callable[[ArrayLike, ArrayLike], float]) -> Callable[[Answers], float]:
    return lambda a: function(a.truth, a.prediction)


def _of_classes(task: Task) -> tuple[Metric, ...]:
    title = f"{task.title} accuracy"
    return (Metric(task.name, "accuracy", title, _pair(f.exact), _within(0), meaning=RIGHT, headline=True),)


def _of_groups(task: Task) -> tuple[Metric, ...]:
    name, share = _plain_name(task), partial(Metric, task.name)
    error = partial(Metric, task.name, unit="groups", meaning=ERROR, less_is_better=True)
    return (
        share("exact", f"{name} exact", _pair(f.exact), _within(0), meaning=RIGHT, headline=True),
        share("one_off", f"{name} 1-off", _pair(f.one_off), _within(1)),
        share("top2", f"{name} top-2", lambda a: f.top_k(a.truth, a.posterior, 2), _among_two),
        share("balanced_exact", f"{name} balanced exact", _pair(f.balanced_exact), _within(0), average="labels"),
        error("mae", f"{name} MAE (groups)", _pair(f.mae), _errors),
    )


def _of_measured(task: Task) -> tuple[Metric, ...]:
    name, share = _plain_name(task), partial(Metric, task.name)
    error = partial(Metric, task.name, unit=task.unit, less_is_better=True)
    bare = partial(Metric, task.name, unit="")
    return (
        error("mae", f"{name} MAE", _pair(f.mae), _errors, meaning=ERROR, headline=True),
        error("rmse", f"{name} RMSE", _pair(f.rmse), lambda a: _errors(a) ** 2, average="root"),
        *(
            share(kind, f"{name} CS@{k:g}", partial(_cumulative_score, k), _within(k))
            for kind, k in TOLERANCES.get(task.name, {}).items()
        ),
        bare("pearson", f"{name} Pearson", _pair(f.pearson)),
        bare("epsilon", f"{name} epsilon-error", _epsilon_error, _epsilons, less_is_better=True, needs_sd=True),
    )


def _plain_name(task: Task) -> str:
    return task.name.replace("_", " ")


def _among_two(a: Answers) -> Any:
    return f.top_k_hits(a.truth, a.posterior, 2) * 1.0


def _cumulative_score(k: float, a: Answers) -> float:
    return f.cumulative_score(a.truth, a.prediction, k)


def _epsilon_error(a: Answers) -> float:
    return f.epsilon_error(a.truth, a.prediction, a.sd)


def _epsilons(a: Answers) -> Any:
    return 1.0 - np.exp(-(_errors(a) ** 2) / (2.0 * a.sd**2))


@cache
def metrics_of(task: Task) -> tuple[Metric, ...]:
    """Return the metrics of a task, in the order of a table's columns."""
    if not task.ordinal:
        return _of_classes(task)
    return _of_measured(task) if task.measured else _of_groups(task)


METRICS: Mapping[str, Metric] = {metric.name: metric for task in TASKS.values() for metric in metrics_of(task)}
"""Every metric of every task by name, in the order of a table's columns."""


def headline_of(task: Task) -> Metric:
    """Return the metric that a task is first judged by."""
    return next(metric for metric in metrics_of(task) if metric.headline)


def headline_values(task: Task, truth: Any, prediction: Any) -> Any:
    """Return what each face contributes to a task's headline metric: 1 where right, else 0; measured: its error.

    Arrays of NumPy or torch, shape (n,), of faces that have the label; float64 or, of torch, its default type.
    """
    per_face = headline_of(task).per_face
    assert per_face is not None  # a headline is a mean over faces
    return per_face(Answers(truth, prediction))


def selection_score(task: Task, value: Any) -> Any:
    """Return a headline's value as a score to maximise: itself, of an error one less its share of the label range."""
    if not headline_of(task).less_is_better:
        return value
    return 1 - value / (task.values[-1] - task.values[0])


def answers_of(faces: pd.DataFrame, task: Task) -> Answers:
    """Return a task's columns of a predictions table whose faces all have its label; KeyError for a missing column."""
    names = ["true", "pred", *(f"p{label}" for label in range(len(task.labels)))]
    values = faces[[f"{task.name}_{name}" for name in names]].to_numpy(np.float64, na_value=np.nan)
    sd = faces.get(f"{task.name}_sd", pd.Series(dtype=np.float64)).to_numpy(np.float64, na_value=np.nan)
    return Answers(values[:, 0], values[:, 1], values[:, 2:], sd if len(sd) and (sd > 0).all() else None)


def evaluate(predictions: pd.DataFrame, tasks: Sequence[str]) -> dict[str, float]:
    """Compute every metric of a predictions table by name: `<task>_n` and the metrics over the faces with that label.

    Those of `metrics_of`, which need the labels' standard deviations only where all have one. `predictions` has the
    columns `<task>_true`, `<task>_pred`, `<task>_p0` ... of the predictions file of a run. Where no face has the label,
    only `<task>_n` = 0 is given. UserError for an unknown task, KeyError for a missing column, ValueError for a
    labelled face without a prediction.
    """
    values: dict[str, float] = {}
    for name in tasks:
        faces = predictions[predictions[f"{name}_true"].notna()]
        values[f"{name}_n"] = float(len(faces))
        if len(faces):
            answers = answers_of(faces, get_task(name))
            known = (m for m in metrics_of(get_task(name)) if answers.sd is not None or not m.needs_sd)
            values |= {metric.name: metric.formula(answers) for metric in known}
    return values


def face_values(faces: pd.DataFrame, task: Task, kind: str) -> NDArray[np.float64]:
    """Return what each face contributes to a metric of `evaluate` (without the task's name), shape (n,).

    The metric is the mean of these values (`balanced_exact`: of their means by true label; `rmse`: the root of it),
    which is what an interval resamples. `faces`: a predictions table of faces that all have the task's label.
    """
    per_face = next((metric.per_face for metric in metrics_of(task) if metric.kind == kind), None)
    if per_face is None:
        raise ValueError(f"there is no metric '{kind}' that is a mean over faces")
    return np.asarray(per_face(answers_of(faces, task)), dtype=np.float64)
