"""The catalogue of metrics: per-face values give each metric, and headlines serve validation as they serve tables."""

import numpy as np
import pandas as pd
import pytest
import torch

from agegender.metrics import METRICS, Metric, bootstrap, face_values, headline_of, metrics_of
from agegender.metrics.catalogue import answers_of, headline_values, selection_score
from agegender.tasks import TASKS, Task


def faces_of(task: Task, count: int = 60) -> pd.DataFrame:
    """Random answers to a task, of twelve subjects."""
    rng = np.random.default_rng(11)
    posterior = rng.dirichlet(np.ones(len(task.labels)), count)
    if task.measured:
        truth, answer = rng.uniform(task.values[0], task.values[-1], (2, count))
    else:
        truth, answer = rng.integers(0, len(task.labels), count), posterior.argmax(axis=1)
    columns = {f"{task.name}_p{label}": posterior[:, label] for label in range(len(task.labels))}
    columns |= {f"{task.name}_true": truth, f"{task.name}_pred": answer, f"{task.name}_sd": rng.uniform(1, 3, count)}
    return pd.DataFrame({"image": [f"{n}.jpg" for n in range(count)], "subject": np.arange(count) % 12, **columns})


@pytest.mark.parametrize("metric", METRICS.values(), ids=list(METRICS))
def test_what_the_faces_contribute_makes_the_metric_and_its_interval(metric: Metric) -> None:
    task = TASKS[metric.task]
    faces = faces_of(task)
    value = metric.formula(answers_of(faces, task))
    low, high = metric.interval(faces)
    if metric.per_face is None:
        assert np.isnan([low, high]).all()
        return
    values = pd.Series(face_values(faces, task, metric.kind))
    found = {
        "faces": values.mean(),
        "labels": values.groupby(faces[f"{task.name}_true"]).mean().mean(),
        "root": values.mean() ** 0.5,
    }
    assert found[metric.average] == pytest.approx(value)
    assert low < value < high
    if metric.average == "faces":
        assert (low, high) == bootstrap.cluster_bootstrap(values, faces["subject"])


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_every_task_has_one_headline_which_is_a_mean_over_faces_in_words(task: Task) -> None:
    (headline,) = (metric for metric in metrics_of(task) if metric.headline)
    assert headline is headline_of(task) is METRICS[headline.name]
    assert (headline.average, headline.needs_sd) == ("faces", False) and headline.per_face and headline.meaning


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_tensors_and_arrays_have_the_same_headline(task: Task) -> None:
    faces = faces_of(task)
    truth, answer = (faces[f"{task.name}_{name}"].to_numpy() for name in ("true", "pred"))
    values = headline_values(task, truth, answer)
    assert values.mean() == pytest.approx(headline_of(task).formula(answers_of(faces, task)))
    tensors = headline_values(task, torch.tensor(truth), torch.tensor(answer))
    assert tensors.is_floating_point()
    assert tensors.numpy() == pytest.approx(values)


def test_the_score_that_selects_weights_grows_as_answers_get_better() -> None:
    assert selection_score(TASKS["gender"], 0.75) == 0.75
    assert selection_score(TASKS["age_years"], 25.0) == 0.75, "a quarter of 100 years"
    assert selection_score(TASKS["attractiveness"], torch.tensor(1.0)).item() == 0.75, "one of four points"


def test_values_are_printed_in_their_unit() -> None:
    share, error, bare = (METRICS[name] for name in ("age_exact", "age_years_rmse", "age_years_pearson"))
    assert [share.text(0.125), error.text(12.5), bare.text(0.5), bare.text(float("nan"))] == [
        *("12.5", "12.50", "0.500", "undefined")
    ]
    assert [share.signed_text(-0.125), error.signed_text(12.5)] == ["−12.5", "+12.50"]
    assert [share.label, error.label, bare.label] == [*("age exact, %", "age years RMSE, years", "age years Pearson")]
