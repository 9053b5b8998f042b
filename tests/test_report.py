import csv
import io
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from omegaconf import OmegaConf
from PIL import Image
from sklearn.metrics import confusion_matrix

from agegender.errors import UserError
from agegender.experiments import Job
from agegender.predictions import predictions_table, predictions_text
from agegender.report.figures import draw_figures
from agegender.report.published import Published, read_published
from agegender.report.records import Record, load_records
from agegender.report.render import name_best, to_csv, to_latex, to_markdown
from agegender.report.table import Table, best_rows, build_table
from agegender.report.write import write_report
from agegender.runs import RunFolder

GOLDEN = Path(__file__).parent / "golden"
FACTS = {"experiment": "two networks", "digest": "0123abcd", "selection": "last step", "date": "2026-11-22"}
PUBLISHED = [
    {"system": "lmtcnn", "metric": "age_exact", "value": 44.83, "sd": 4.77, "dataset": "drawn", "protocol": "joint",
     "note": "single look", "source": "the authors' logs"},
    {"system": "lmtcnn", "metric": "gender_accuracy", "value": 85.46, "sd": None, "dataset": "adience",
     "protocol": "joint", "source": "the authors' logs"},
    {"system": "plain_age", "metric": "age_top2", "value": None, "dataset": "drawn", "protocol": "other",
     "source": "the paper"},
]  # fmt: skip


def job(root: Path, system: str, tasks: Sequence[str], fold: int, seed: int = 0, mode: str = "sound") -> Job:
    identity = f"{system}-f{fold}-s{seed}-{mode}"
    return Job(
        system=system,
        title=system.replace("_age", ", age only").upper(),
        tasks=tuple(tasks),
        fold=fold,
        seed=seed,
        mode=mode,
        variant="",
        protocol="joint",
        dataset="drawn",
        identity=identity,
        run=root / identity,
        keys={},
        overrides=(),
        config=OmegaConf.create({}),
    )


def finish(job: Job, wrong: Sequence[int] = (), faces: int = 16, commit: str = "a1b2c3d4e5f6") -> Job:
    """Write the run folder of a finished job: truths in a fixed pattern, the faces numbered `wrong` answered wrongly.

    Wrong ages are one to three groups off; second place has the label two below, which is the truth when two off.
    """
    number = np.arange(faces)
    age, gender = (number + job.fold) % 8, (number // 3) % 2
    answer = {
        "age": np.where(np.isin(number, wrong), (age + 1 + number % 3) % 8, age),
        "gender": gender ^ np.isin(number, wrong),
    }
    rows = pd.DataFrame(
        {
            "image": [f"{job.fold}/{n:02}.jpg" for n in number],
            "subject": pd.array([f"user{job.fold}{n // 4}" for n in number], dtype="string"),
            "fold": job.fold,
            "age_group": pd.array(age, dtype="Int64"),
            "gender": pd.array(gender, dtype="Int64"),
        }
    )
    rows.loc[faces - 1, "gender"] = pd.NA
    size = {"age": 8, "gender": 2}
    posteriors = {
        task: (0.6 * np.eye(k) + 0.3 * np.roll(np.eye(k), -2, axis=1) + 0.1 / k)[answer[task]].astype(np.float32)
        for task, k in size.items()
        if task in job.tasks
    }
    run = RunFolder(job.run)
    run.write_text("predictions.csv", predictions_text(predictions_table(rows, posteriors, answer)))
    run.write(
        "environment", {"commit": commit, "dirty": False, "hardware": {"cores": 2}, "versions": {"torch": "2.14.1"}}
    )
    run.write("metrics", {"test/age_exact": 0.999, "test/age_n": float(faces), "parameters": 7614634})
    run.finish()
    return job


def fail(job: Job, error: str = "the loss became NaN | at step 7") -> Job:
    RunFolder(job.run).write("failed", {"error": error, "traceback": "..."})
    return job


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    """Three systems on three folds: one complete, one with a failed fold and another commit, one never run."""
    return [
        finish(job(tmp_path, "lmtcnn", ("age", "gender"), 0), wrong=[1, 5, 9]),
        finish(job(tmp_path, "lmtcnn", ("age", "gender"), 1), wrong=[2]),
        finish(job(tmp_path, "lmtcnn", ("age", "gender"), 2), wrong=[0, 1, 2, 3, 4], faces=12),
        finish(job(tmp_path, "plain_age", ("age",), 0), wrong=[3], commit="fffeee000111"),
        fail(job(tmp_path, "plain_age", ("age",), 1)),
        finish(job(tmp_path, "plain_age", ("age",), 2), wrong=range(6), faces=12),
        *(job(tmp_path, "plain_gender", ("gender",), fold) for fold in range(3)),
    ]


def table_of(jobs: Sequence[Job], **facts: str) -> Table:
    return build_table(load_records(jobs), read_published(PUBLISHED), FACTS | facts)


def test_report_is_the_golden_one(jobs: list[Job]) -> None:
    """To accept a change of the format: read the new text, then save it as tests/golden/table.{md,csv,tex}."""
    table = table_of(jobs)
    assert to_markdown(table, {"figures/folds.png": "folds"}) == (GOLDEN / "table.md").read_text(encoding="utf-8")
    assert to_csv(table) == (GOLDEN / "table.csv").read_text(encoding="utf-8")
    assert to_latex(table) == (GOLDEN / "table.tex").read_text(encoding="utf-8")


def test_validation_stands_beside_test_where_runs_tell_it(tmp_path: Path) -> None:
    jobs = [finish(job(tmp_path, "lmtcnn", ["age", "gender"], fold), wrong=[0, 1, 2, 3]) for fold in (0, 1)]
    for each, share in zip(jobs, (0.5, 0.75), strict=True):
        run = RunFolder(each.run)
        run.write("metrics", run.read("metrics") | {"validation/age": share})
    table = build_table(load_records(jobs), (), {})
    assert table.rows[0].validation == {"age": pytest.approx(0.625)}
    text = to_markdown(table, {})
    grid = text.split("## Validation against test")[1].split("##")[0]
    assert "| LMTCNN | sound | 62.5 | 75.0 | — |" in grid
    silent = [finish(job(tmp_path, "plain", ["age"], 0))]
    assert "Validation against test" not in to_markdown(build_table(load_records(silent), (), {}), {})


def test_the_best_rows_are_named_in_a_sentence_once_no_run_is_missing(jobs: list[Job], tmp_path: Path) -> None:
    assert name_best(table_of(jobs)) == ""
    better = [finish(job(tmp_path, "better", ["age"], fold), wrong=[0]) for fold in (0, 1)]
    worse = [finish(job(tmp_path, "worse", ["age"], fold), wrong=[0, 1]) for fold in (0, 1)]
    table = build_table(load_records([*worse, *better]), (), {})
    assert name_best(table) == "Best mean over the folds: age exact 93.8 % (BETTER)."


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


def test_metrics_come_from_the_predictions_not_from_what_the_run_claims(jobs: list[Job]) -> None:
    record = load_records(jobs)[0]
    assert record.metrics is not None
    assert record.metrics["age_exact"] == 13 / 16


def test_states_of_run_folders(tmp_path: Path) -> None:
    done, failed, missing, started = (job(tmp_path, "lmtcnn", ("age",), fold) for fold in range(4))
    finish(done)
    fail(failed, "out of memory")
    for announced in (missing, started):
        RunFolder(announced.run).write("identity", {"identity": announced.identity})
    RunFolder(started.run).log.touch()
    records = load_records([done, failed, missing, started])
    assert [record.state for record in records] == ["done", "failed", "missing", "missing"]
    assert [record.error for record in records] == [None, "out of memory", "not run yet", "not finished"]
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
    damage(jobs[0].run / "predictions.csv")
    records = load_records(jobs)
    assert records[0].state == "failed"
    assert str(jobs[0].run) in str(records[0].error)
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


def test_not_predicted_and_missing_look_different(jobs: list[Job]) -> None:
    lines = to_markdown(table_of(jobs), {}).splitlines()
    plain_gender = next(line for line in lines if line.startswith("| PLAIN_GENDER"))
    assert plain_gender == "| PLAIN_GENDER | sound | — | — | — | — | — | missing (0/3 folds) | 0 | — |"


def test_best_is_bold_only_in_a_complete_column(jobs: list[Job], tmp_path: Path) -> None:
    table = table_of(jobs)
    age_exact = table.columns[0]
    assert best_rows(table, age_exact) == []
    finish(jobs[4], wrong=[5])
    table = table_of(jobs)
    assert [row.system for row in best_rows(table, age_exact)] == ["plain_age"]
    assert "**" in to_markdown(table, {}).split("## Mean over the folds")[1].split("## Pooled")[0]
    # Of an error the least is best: this system errs more often, but not as far.
    error = next(column for column in table.columns if column.metric == "age_mae")
    assert [row.system for row in best_rows(table, error)] == ["lmtcnn"]


def test_majority_row_answers_with_the_folds_own_most_frequent_label(jobs: list[Job]) -> None:
    baseline = table_of(jobs).baseline
    # Fold 2 has 12 faces of groups 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5: of the groups seen twice the lowest is answered.
    assert baseline.cells["age_exact"].folds == pytest.approx({0: 2 / 16, 1: 2 / 16, 2: 2 / 12})
    assert baseline.cells["age_top2"].folds[2] == pytest.approx(4 / 12)
    assert baseline.cells["age_balanced_exact"].folds[2] == pytest.approx(1 / 8)
    assert baseline.cells["gender_accuracy"].folds[0] == pytest.approx(9 / 15)


def test_ours_stand_beside_published_numbers_only_for_the_same_data_and_protocol(jobs: list[Job]) -> None:
    text = to_markdown(table_of(jobs), {}).split("## Published numbers")[1]
    same, other_data, other_protocol = text.strip().splitlines()[2:5]
    assert "| 44.83 ± 4.77 | sound 77.8 |" in same
    assert "| 85.46 | not comparable: other data (adience) |" in other_data
    assert "| not found | not comparable: other protocol (other) |" in other_protocol
    partial = to_markdown(table_of(jobs, partial="every tenth face"), {}).split("## Published numbers")[1]
    assert "not comparable: part of the data (every tenth face)" in partial
    assert "sound 77.8" not in partial


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocl": "joint"}, "row 1 .*unknown key 'protocl'"),
        ({"source": ""}, "row 1 .*lacks 'source'"),
        ({"metric": "accuracy"}, "row 1 .*metric 'accuracy'.*age_exact"),
    ],
)
def test_misspelt_published_rows_are_refused(change: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_published([PUBLISHED[0] | change])


def test_runs_that_must_not_share_a_table_are_refused(jobs: list[Job]) -> None:
    records = load_records(jobs[:2])
    other = Record(replace(jobs[1], dataset="utkface"), "missing", "not run yet")
    with pytest.raises(UserError, match=r"several data sets \(drawn, utkface\)"):
        build_table([*records, other], (), FACTS)
    other = Record(replace(jobs[1], protocol="age_only"), "missing", "not run yet")
    with pytest.raises(UserError, match="several protocols"):
        build_table([*records, other], (), FACTS)
    with pytest.raises(UserError, match="no run to report"):
        build_table([], (), FACTS)


def test_a_system_in_two_modes_has_two_rows_and_two_matrices(tmp_path: Path) -> None:
    modes = [finish(job(tmp_path, "lmtcnn", ("age",), 0, mode=mode), wrong=[1]) for mode in ("sound", "faithful")]
    table = table_of(modes)
    assert [(row.mode, row.key) for row in table.rows] == [("sound", "lmtcnn_sound"), ("faithful", "lmtcnn_faithful")]
    names = {"folds.png", "confusion_lmtcnn_sound_age.png", "confusion_lmtcnn_faithful_age.png"}
    assert set(draw_figures(table)) == names


def test_csv_is_complete_and_traces_every_number_to_its_runs(jobs: list[Job]) -> None:
    table = table_of(jobs)
    lines = list(csv.DictReader(io.StringIO(to_csv(table))))
    for line in lines:
        assert bool(line["value"]) == bool(line["runs"]) == (line["n"] != "0")
    mean = next(
        line for line in lines if (line["system"], line["fold"], line["metric"]) == ("lmtcnn", "mean", "age_exact")
    )
    assert float(mean["value"]) == pytest.approx(table.rows[0].cells["age_exact"].mean, abs=1e-6)
    assert mean["runs"].split() == [job.identity for job in jobs[:3]]
    assert not [line for line in lines if line["system"] == "plain_gender" and line["metric"].startswith("age")]


def test_latex_is_balanced_and_escaped(jobs: list[Job]) -> None:
    text = to_latex(table_of(jobs, licence="50 % of A&B_c #1 {x} $5 ~ ^ \\"))
    bare = re.sub(r"\\[{}%&#_$\\]", "", re.sub(r"(?m)(?<!\\)%.*$", "", text.replace(r"\\", "")))
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert re.findall(r"\\begin{(.*?)}", text) and sorted(re.findall(r"\\begin{(.*?)}", text)) == sorted(
        re.findall(r"\\end{(.*?)}", text)
    )
    for spec, body in re.findall(r"\\begin{tabular}{(\S+)}\n(.*?)\\end{tabular}", text, flags=re.DOTALL):
        columns = len(re.sub(r"{.*?}", "", spec))
        lines = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert lines
        assert {len(re.findall(r"(?<!\\)&", line)) + 1 for line in lines} == {columns}
    assert text.isascii()


def test_confusion_counts_agree_with_scikit_learn(jobs: list[Job]) -> None:
    row = table_of(jobs).rows[0]
    frames = [record.predictions for record in load_records(jobs[:3])]
    faces = pd.concat([frame.dropna(subset="gender_true") for frame in frames if frame is not None])
    reference = confusion_matrix(faces["gender_true"].astype(int), faces["gender_pred"].astype(int))
    assert np.array_equal(row.confusion["gender"], reference)
    assert row.confusion["age"].sum() == 44


def test_words_in_figures_are_large_enough(jobs: list[Job]) -> None:
    for _, figure in draw_figures(table_of(jobs)).values():
        sizes = {text.get_fontsize() for text in figure.findobj(Text) if text.get_text()}
        assert min(sizes) >= 9


def test_report_is_written_whole_and_again(jobs: list[Job], tmp_path: Path) -> None:
    folder = tmp_path / "reports" / "with a space"
    files = write_report(load_records(jobs[3:]), PUBLISHED, FACTS, folder)
    names = ["folds", "confusion_plain_age_age"]
    expected = [folder / "table.md", folder / "table.tex", folder / "table.csv"]
    assert files == [*expected, *(folder / "figures" / f"{name}.png" for name in names)]
    before = {file: file.read_bytes() for file in files}
    for image in files[3:]:
        with Image.open(image) as opened:
            assert min(opened.size) > 300
        assert f"(figures/{image.name})" in files[0].read_text(encoding="utf-8")
    write_report(load_records(jobs[3:]), PUBLISHED, FACTS, folder)
    assert {file: file.read_bytes() for file in files} == before
    assert not list(folder.rglob("*.partial"))


def test_nothing_run_yet_gives_a_report_that_says_so(tmp_path: Path) -> None:
    jobs = [job(tmp_path, "lmtcnn", ("age", "gender"), fold) for fold in range(5)]
    files = write_report(load_records(jobs), [], FACTS, tmp_path / "report")
    assert [file.name for file in files] == ["table.md", "table.tex", "table.csv"]
    text = files[0].read_text(encoding="utf-8")
    assert text.count("not run yet") == 5
    assert "missing (0/5 folds)" in text


def test_published_numbers_are_read() -> None:
    first, _, last = read_published(PUBLISHED)
    assert first == Published("lmtcnn", "age_exact", 44.83, 4.77, "drawn", "joint", "single look", "the authors' logs")
    assert (last.value, last.note) == (None, "")


@pytest.mark.parametrize(("key", "place"), [("recipe", "the row of lmtcnn"), ("data", "a table")])
def test_what_differs_in_more_than_fold_and_seed_is_not_averaged(tmp_path: Path, key: str, place: str) -> None:
    made = [finish(job(tmp_path, "lmtcnn", ("age",), fold)) for fold in range(2)]
    mixed = [replace(one, keys={"fold": one.fold, key: f"other {one.fold}"}) for one in made]
    with pytest.raises(UserError, match=f"runs with different {key} must not share {place}"):
        table_of(mixed)
    assert table_of([replace(one, keys={"fold": one.fold, key: "same"}) for one in made]).rows
