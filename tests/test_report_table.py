"""The numbers of a table, from run folders."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix

from agegender.errors import UserError
from agegender.report.markdown import to_markdown
from agegender.report.published import read_published, why_not_comparable
from agegender.report.records import Record, load_records
from agegender.report.table import build_table
from agegender.runs.job import Job
from finished_runs import FACTS, PUBLISHED, fail, finish, job, table_of, three_systems


def named(job: Job, group: str, name: str) -> Job:
    """The job with another name in a group of its run's settings."""
    settings = getattr(job.run, group).model_copy(update={"name": name})
    return replace(job, run=job.run.model_copy(update={group: settings}))


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    return three_systems(tmp_path)


def test_numbers_by_hand(jobs: list[Job]) -> None:
    lmtcnn, plain, _ = table_of(jobs).rows
    exact = lmtcnn.cells["age_exact"]
    assert exact.folds == pytest.approx({0: 13 / 16, 1: 15 / 16, 2: 7 / 12})
    assert exact.mean == pytest.approx((13 / 16 + 15 / 16 + 7 / 12) / 3)
    assert exact.sd == pytest.approx(np.std([13 / 16, 15 / 16, 7 / 12], ddof=1))
    assert exact.pooled == pytest.approx(35 / 44)
    assert exact.low < exact.pooled < exact.high
    assert (exact.n, exact.complete) == (44, True)
    assert lmtcnn.cells["gender_accuracy"].counts == {0: 15, 1: 15, 2: 11}
    assert (plain.cells["age_exact"].done, plain.cells["age_exact"].expected) == (2, 3)
    assert lmtcnn.parameters == 7614634


def test_states_of_run_folders(tmp_path: Path) -> None:
    done, failed, missing, started = (job(tmp_path, "lmtcnn", ("age",), fold) for fold in range(4))
    finish(done)
    fail(failed, "out of memory")
    for announced in (missing, started):
        announced.folder.write("identity", {"identity": announced.identity})
    started.folder.log.touch()
    records = load_records([done, failed, missing, started])
    assert [record.state for record in records] == ["done", "failed", "missing", "missing"]
    assert [record.error for record in records] == ["", "out of memory", "not run yet", "not finished"]
    assert records[0].commit == "a1b2c3d4e"


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_text(""),
        lambda path: path.write_text("image,subject\na,b\n"),
        lambda path: path.write_bytes(path.read_bytes()[:700]),
        lambda path: path.write_text(path.read_text().replace(",0,", ",3,")),
        lambda path: (path.parent / "metrics.json").write_text("{"),
    ],
    ids=["gone", "empty", "columns", "truncated", "other fold", "broken metrics.json"],
)
def test_a_broken_run_is_named_and_does_not_hide_the_others(jobs: list[Job], damage) -> None:
    damage(jobs[0].folder.path / "predictions.csv")
    records = load_records(jobs)
    assert records[0].state == "failed"
    assert str(jobs[0].folder.path) in str(records[0].error)
    assert "run it again" in str(records[0].error)
    assert records[1].state == "done"
    assert "(2/3 folds)" in to_markdown(table_of(jobs), {})


def test_seeds_are_averaged_within_their_fold(tmp_path: Path) -> None:
    seeds = [finish(job(tmp_path, "lmtcnn", ("age",), 0, seed), wrong=range(2 * seed)) for seed in (0, 1, 2)]
    other = [job(tmp_path, "lmtcnn", ("age",), 1, seed) for seed in (0, 1, 2)]
    finish(other[0], wrong=[0])
    table = table_of([*seeds, *other])
    (row,) = table.rows
    cell = row.cells["age_exact"]
    assert cell.folds == pytest.approx({0: (1 + 14 / 16 + 12 / 16) / 3, 1: 15 / 16})
    assert (cell.n, cell.done, cell.expected, row.seeds) == (32, 4, 6, (0, 1, 2))
    text = to_markdown(table, {})
    assert "(4/6 runs)" in text
    assert "mean over the seeds 0, 1, 2" in text


def test_majority_row_answers_with_the_folds_own_most_frequent_label(jobs: list[Job]) -> None:
    baseline = table_of(jobs).baseline
    # Fold 2 has 12 faces of groups 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5: of the groups seen twice the lowest is answered.
    assert baseline.cells["age_exact"].folds == pytest.approx({0: 2 / 16, 1: 2 / 16, 2: 2 / 12})
    assert baseline.cells["age_top2"].folds[2] == pytest.approx(4 / 12)
    assert baseline.cells["age_balanced_exact"].folds[2] == pytest.approx(1 / 8)
    assert baseline.cells["gender_accuracy"].folds[0] == pytest.approx(9 / 15)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocl": "joint"}, "there is no setting 'table.published.1.protocl': choose from system, metric"),
        ({"source": ""}, "table.published.1.source= must have at least 1 character"),
        ({"metric": "accuracy"}, "table.published.1.metric=accuracy is unknown.*age_exact"),
    ],
)
def test_misspelt_published_rows_are_refused(change: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_published([PUBLISHED[0] | change])


def test_runs_that_must_not_share_a_table_are_refused(jobs: list[Job]) -> None:
    records = load_records(jobs[:2])
    other = Record(named(jobs[1], "data", "utkface"), "missing", "not run yet")
    with pytest.raises(UserError, match=r"several data sets \(drawn, utkface\)"):
        build_table([*records, other], (), FACTS)
    other = Record(named(jobs[1], "protocol", "age_only"), "missing", "not run yet")
    with pytest.raises(UserError, match="several protocols"):
        build_table([*records, other], (), FACTS)
    with pytest.raises(UserError, match="no run to report"):
        build_table([], (), FACTS)


def test_confusion_counts_agree_with_scikit_learn(jobs: list[Job]) -> None:
    row = table_of(jobs).rows[0]
    frames = [record.predictions for record in load_records(jobs[:3])]
    faces = pd.concat([frame.dropna(subset="gender_true") for frame in frames])
    reference = confusion_matrix(faces["gender_true"].astype(int), faces["gender_pred"].astype(int))
    assert np.array_equal(row.confusion["gender"], reference)
    assert row.confusion["age"].sum() == 44


def test_published_numbers_are_read() -> None:
    first, _, last = read_published(PUBLISHED)
    assert (first.system, first.metric, first.value, first.sd) == ("lmtcnn", "age_exact", 44.83, 4.77)
    assert (first.dataset, first.protocol, first.note) == ("drawn", "joint", "single view")
    assert (last.value, last.note) == (None, "")


def test_the_authors_lists_are_compared_with_numbers_of_the_protocol_they_are_lists_of() -> None:
    (entry,) = read_published([PUBLISHED[0] | {"dataset": "adience", "protocol": "lmtcnn_joint"}])
    assert why_not_comparable(entry, "adience", "lmtcnn_joint", "") == ""
    assert why_not_comparable(entry, "adience", "lmtcnn_lists", "") == ""
    assert why_not_comparable(entry, "adience", "age_lists", "") == "other protocol (lmtcnn_joint)"


@pytest.mark.parametrize(("key", "place"), [("recipe", "the row of lmtcnn"), ("data", "a table")])
def test_what_differs_in_more_than_fold_and_seed_is_not_averaged(tmp_path: Path, key: str, place: str) -> None:
    made = [finish(job(tmp_path, "lmtcnn", ("age",), fold)) for fold in range(2)]
    mixed = [replace(one, keys={"fold": one.run.fold, key: f"other {one.run.fold}"}) for one in made]
    with pytest.raises(UserError, match=f"runs with different {key} must not share {place}"):
        table_of(mixed)
    assert table_of([replace(one, keys={"fold": one.run.fold, key: "same"}) for one in made]).rows
