import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, balanced_accuracy_score, mean_absolute_error, top_k_accuracy_score

from agegender import metrics
from agegender.errors import UserError
from agegender.tasks import TASKS

Labels = NDArray[np.int64]


@pytest.fixture
def faces() -> tuple[Labels, Labels, NDArray[np.float64]]:
    """500 truths, argmax predictions and posteriors over eight labels, right about half of the time."""
    rng = np.random.default_rng(7)
    truth = rng.integers(0, 8, 500)
    posterior = rng.dirichlet(np.ones(8), 500) + 0.35 * np.eye(8)[truth]
    posterior /= posterior.sum(axis=1, keepdims=True)
    return truth, posterior.argmax(axis=1), posterior


def test_agrees_with_scikit_learn(faces: tuple[Labels, Labels, NDArray[np.float64]]) -> None:
    truth, prediction, posterior = faces
    assert metrics.exact(truth, prediction) == pytest.approx(accuracy_score(truth, prediction))
    assert metrics.balanced_exact(truth, prediction) == pytest.approx(balanced_accuracy_score(truth, prediction))
    assert metrics.mae(truth, prediction) == pytest.approx(mean_absolute_error(truth, prediction))
    for k in (1, 2, 3):
        reference = top_k_accuracy_score(truth, posterior, k=k, labels=range(8))
        assert metrics.top_k(truth, posterior, k) == pytest.approx(reference)


def test_one_off_and_cumulative_score_count_the_error_in_groups() -> None:
    truth, prediction = [0, 3, 7, 5], [0, 2, 4, 7]  # errors 0, 1, 3, 2
    assert metrics.one_off(truth, prediction) == 0.5
    assert [metrics.cumulative_score(truth, prediction, k) for k in (0, 1, 2, 3)] == [0.25, 0.5, 0.75, 1.0]
    assert metrics.mae(truth, prediction) == 1.5


def test_top_2_and_one_off_are_different_metrics() -> None:
    posterior = np.array([[0.6, 0.0, 0.4], [0.6, 0.3, 0.1]])
    truth, prediction = [2, 2], posterior.argmax(axis=1)
    assert metrics.top_k(truth, posterior, 2) == 0.5
    assert metrics.one_off(truth, prediction) == 0.0


def test_equal_posteriors_rank_the_lower_label_first_so_that_top_1_is_exact() -> None:
    posterior = np.full((2, 4), 0.25)
    truth = [0, 3]
    assert metrics.top_k(truth, posterior, 1) == metrics.exact(truth, posterior.argmax(axis=1)) == 0.5
    assert metrics.top_k([1, 2], posterior, 2) == 0.5


def test_balanced_exact_weighs_classes_not_faces() -> None:
    truth, prediction = [0, 0, 0, 0, 5], [0, 0, 0, 1, 0]  # recalls 3/4 and 0
    assert metrics.balanced_exact(truth, prediction) == pytest.approx(0.375)
    assert metrics.exact(truth, prediction) == pytest.approx(0.6)


def test_epsilon_error_by_hand() -> None:
    by_hand = (1 - math.exp(-(3**2) / (2 * 3**2)) + 1 - math.exp(-(2**2) / (2 * 4**2))) / 2
    assert metrics.epsilon_error([20.0, 30.0], [23.0, 28.0], [3.0, 4.0]) == pytest.approx(by_hand)
    assert metrics.epsilon_error([20.0, 30.0], [20.0, 30.0], 2.0) == 0.0


@pytest.mark.parametrize("metric", [metrics.exact, metrics.one_off, metrics.balanced_exact, metrics.mae])
@pytest.mark.parametrize(
    ("truth", "prediction"),
    [([], []), ([1, 2], [1]), ([[1]], [[1]]), ([1.0, math.nan], [1.0, 1.0])],
    ids=["empty", "shapes", "matrix", "missing"],
)
def test_bad_input_is_refused(metric, truth, prediction) -> None:
    with pytest.raises(ValueError, match=r"face|vectors|finite"):
        metric(truth, prediction)


@pytest.mark.parametrize(
    ("truth", "posterior", "k"),
    [
        ([], np.zeros((0, 3)), 1),
        ([1], [0.2, 0.8], 1),
        ([1], [[0.2, 0.8]], 3),
        ([1], [[0.2, 0.8]], 0),
        ([2], [[0.2, 0.8]], 1),
        ([1], [[0.2, math.nan]], 1),
        ([1, 1], [[0.2, 0.8]], 1),
    ],
    ids=["empty", "vector", "k too large", "k zero", "label beyond", "not a number", "lengths"],
)
def test_top_k_refuses_bad_input(truth, posterior, k) -> None:
    with pytest.raises(ValueError):
        metrics.top_k(truth, posterior, k)


def test_negative_k_and_sigma_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        metrics.cumulative_score([1], [1], -1)
    for sigma in (0.0, -1.0, [1.0, 2.0]):
        with pytest.raises(ValueError, match="sigma"):
            metrics.epsilon_error([1.0], [1.0], sigma)


def predictions_of(faces: tuple[Labels, Labels, NDArray[np.float64]]) -> pd.DataFrame:
    truth, prediction, posterior = faces
    frame = pd.DataFrame({"age_true": pd.array(truth, dtype="Int64"), "age_pred": pd.array(prediction, dtype="Int64")})
    for label in range(8):
        frame[f"age_p{label}"] = posterior[:, label].astype(np.float32)
    female = posterior[:, 1::2].sum(axis=1)
    return frame.assign(gender_true=truth % 2, gender_pred=prediction % 2, gender_p0=1 - female, gender_p1=female)


def test_evaluate_names_every_metric(faces: tuple[Labels, Labels, NDArray[np.float64]]) -> None:
    truth, prediction, posterior = faces
    values = metrics.evaluate(predictions_of(faces), ("age", "gender"))
    assert values == {
        "age_n": 500.0,
        "age_exact": metrics.exact(truth, prediction),
        "age_one_off": metrics.one_off(truth, prediction),
        "age_top2": metrics.top_k(truth, posterior, 2),
        "age_balanced_exact": metrics.balanced_exact(truth, prediction),
        "age_mae": metrics.mae(truth, prediction),
        "gender_n": 500.0,
        "gender_accuracy": metrics.exact(truth % 2, prediction % 2),
    }


def test_evaluate_leaves_out_faces_without_the_label(
    faces: tuple[Labels, Labels, NDArray[np.float64]], tmp_path: Path
) -> None:
    frame = predictions_of(faces)
    frame.loc[100:, [column for column in frame if column.startswith("age_")]] = pd.NA
    frame.to_csv(tmp_path / "predictions.csv", index=False)
    values = metrics.evaluate(pd.read_csv(tmp_path / "predictions.csv"), ("age", "gender"))
    assert (values["age_n"], values["gender_n"]) == (100, 500)
    assert values["age_exact"] == metrics.exact(faces[0][:100], faces[1][:100])


def test_evaluate_without_any_label_gives_only_the_count(faces: tuple[Labels, Labels, NDArray[np.float64]]) -> None:
    frame = predictions_of(faces).assign(gender_true=pd.array([pd.NA] * 500, dtype="Int64"))
    assert metrics.evaluate(frame, ("gender",)) == {"gender_n": 0.0}


def test_evaluate_refuses_a_labelled_face_without_prediction(
    faces: tuple[Labels, Labels, NDArray[np.float64]],
) -> None:
    frame = predictions_of(faces)
    frame.loc[3, "age_pred"] = pd.NA
    with pytest.raises(ValueError, match="finite"):
        metrics.evaluate(frame, ("age",))


def test_evaluate_refuses_an_unknown_task(faces: tuple[Labels, Labels, NDArray[np.float64]]) -> None:
    with pytest.raises(UserError, match="no task 'mood'"):
        metrics.evaluate(predictions_of(faces).assign(mood_true=0), ("mood",))


def test_metrics_are_means_of_what_the_faces_contribute(faces: tuple[Labels, Labels, NDArray[np.float64]]) -> None:
    frame = predictions_of(faces)
    values = metrics.evaluate(frame, ("age", "gender"))
    for metric in ("exact", "one_off", "top2", "mae"):
        assert metrics.face_values(frame, TASKS["age"], metric).mean() == pytest.approx(values[f"age_{metric}"])
    assert metrics.face_values(frame, TASKS["gender"], "accuracy").mean() == pytest.approx(values["gender_accuracy"])
    by_class = pd.Series(metrics.face_values(frame, TASKS["age"], "balanced_exact")).groupby(faces[0]).mean()
    assert by_class.mean() == pytest.approx(values["age_balanced_exact"])
    with pytest.raises(ValueError, match="no metric 'beauty'"):
        metrics.face_values(frame, TASKS["age"], "beauty")
