import numpy as np
import pandas as pd
import pytest
import scipy.stats

from agegender import metrics
from agegender.metrics import bootstrap


def test_fold_summary_has_the_sample_deviation() -> None:
    # LMTCNN-2-1, age exact of the authors' five logged folds: mean 44.83, deviation 4.77 with ddof 1 (4.27 with ddof 0)
    mean, sd = bootstrap.fold_summary([50.15, 39.42, 49.56, 42.19, 42.82])
    assert (round(mean, 2), round(sd, 2)) == (44.83, 4.77)


def test_a_single_fold_has_no_deviation() -> None:
    mean, sd = bootstrap.fold_summary([0.5])
    assert mean == 0.5
    assert np.isnan(sd)


def test_no_fold_is_refused() -> None:
    with pytest.raises(ValueError, match="no fold"):
        bootstrap.fold_summary([])


def test_interval_of_independent_faces_agrees_with_scipy() -> None:
    correct = np.random.default_rng(3).random(400) < 0.45
    reference = scipy.stats.bootstrap(
        (correct.astype(float),), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    low, high = bootstrap.cluster_bootstrap(correct, None, repeats=4000)
    assert low == pytest.approx(reference.low, abs=0.004)
    assert high == pytest.approx(reference.high, abs=0.004)


def test_interval_of_an_error_agrees_with_scipy() -> None:
    error = np.random.default_rng(4).integers(0, 8, 300).astype(float)
    reference = scipy.stats.bootstrap(
        (error,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    assert bootstrap.cluster_bootstrap(error, None, repeats=4000) == pytest.approx(tuple(reference), abs=0.04)


def test_interval_of_subjects_agrees_with_drawing_whole_subjects_one_by_one() -> None:
    rng = np.random.default_rng(5)
    subjects = rng.integers(0, 20, 600)
    correct = rng.random(600) < np.linspace(0.1, 0.9, 20)[subjects]
    faces_of = [correct[subjects == subject] for subject in range(20)]
    drawn = [np.concatenate([faces_of[s] for s in rng.integers(0, 20, 20)]).mean() for _ in range(4000)]
    low, high = bootstrap.cluster_bootstrap(correct, [f"user{s}" for s in subjects], repeats=4000)
    assert (low, high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.015)
    independent = bootstrap.cluster_bootstrap(correct, None)
    assert high - low > 2 * (independent[1] - independent[0])


def test_missing_subjects_are_their_own_clusters() -> None:
    correct = np.random.default_rng(6).random(200) < 0.5
    nobody = pd.array([pd.NA] * 200, dtype="string")
    assert bootstrap.cluster_bootstrap(correct, nobody) == bootstrap.cluster_bootstrap(correct, None)
    one_known = pd.array(["someone"] * 100 + [pd.NA] * 100, dtype="string")
    two_subjects = pd.array(["someone"] * 100 + ["another"] * 100, dtype="string")
    assert bootstrap.cluster_bootstrap(correct, one_known) != bootstrap.cluster_bootstrap(correct, two_subjects)


def test_balanced_interval_agrees_with_the_metric_on_drawn_faces() -> None:
    rng = np.random.default_rng(8)
    truth = rng.choice(3, 300, p=[0.7, 0.2, 0.1])
    prediction = np.where(rng.random(300) < np.array([0.9, 0.5, 0.2])[truth], truth, (truth + 1) % 3)
    drawn = [metrics.balanced_exact(truth[i], prediction[i]) for i in rng.integers(0, 300, (2000, 300))]
    interval = bootstrap.cluster_bootstrap(truth == prediction, None, classes=truth)
    assert interval == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.015)


def test_many_clusters_in_bounded_memory_give_the_same_kind_of_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(9).normal(size=500)
    at_once = bootstrap.cluster_bootstrap(values, None, repeats=1000)
    monkeypatch.setattr(bootstrap, "_COUNTS_AT_ONCE", 5000)
    assert bootstrap.cluster_bootstrap(values, None, repeats=1000) == pytest.approx(at_once)


def test_same_seed_same_interval() -> None:
    error = np.random.default_rng(11).normal(size=50)
    assert bootstrap.cluster_bootstrap(error, None, seed=1) == bootstrap.cluster_bootstrap(error, None, seed=1)
    assert bootstrap.cluster_bootstrap(error, None, seed=1) != bootstrap.cluster_bootstrap(error, None, seed=2)


@pytest.mark.parametrize(
    ("correct", "clusters", "classes"),
    [([], None, None), ([1.0, 0.0], ["a"], None), ([1.0, 0.0], None, [1]), ([[1.0]], None, None)],
    ids=["empty", "clusters", "classes", "matrix"],
)
def test_shapes_that_do_not_match_are_refused(correct, clusters, classes) -> None:
    with pytest.raises(ValueError, match="vectors of one length"):
        bootstrap.cluster_bootstrap(correct, clusters, classes=classes)


def test_no_repeat_is_refused() -> None:
    with pytest.raises(ValueError, match="repeat"):
        bootstrap.cluster_bootstrap([1.0], None, repeats=0)


def test_paired_interval_agrees_with_drawing_whole_subjects_one_by_one() -> None:
    rng = np.random.default_rng(7)
    subjects = rng.integers(0, 30, 500)
    hard = np.linspace(0.1, 0.9, 30)[subjects]
    theirs, ours = (rng.random(500) < hard), (rng.random(500) < hard + 0.05)
    repeated = np.concatenate([np.arange(500), np.arange(40)])  # as when a batch is filled by faces counted again
    gaps = []
    for _ in range(4000):
        drawn = rng.integers(0, 30, 30)
        weight = np.bincount(drawn, minlength=30)[subjects]
        gaps.append(np.average(ours[repeated], weights=weight[repeated]) - np.average(theirs, weights=weight))
    low, high = bootstrap.paired_bootstrap(ours[repeated], subjects[repeated], theirs, subjects, repeats=4000)
    assert (low, high) == pytest.approx(tuple(np.quantile(gaps, [0.025, 0.975])), abs=0.008)
    alone = bootstrap.cluster_bootstrap(ours, subjects)
    assert high - low < alone[1] - alone[0]


def test_paired_interval_needs_a_cluster_for_each_face() -> None:
    with pytest.raises(ValueError, match="a cluster for each face"):
        bootstrap.paired_bootstrap([1, 0], ["a"], [1], ["a"])
    with pytest.raises(ValueError, match="a cluster for each face"):
        bootstrap.paired_bootstrap([], [], [1], ["a"])
