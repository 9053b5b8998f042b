"""What an evaluation changes: paired by fold and by face."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from agegender.report.csv_files import table_csv
from agegender.report.figures import draw_figures
from agegender.report.latex import to_latex
from agegender.report.markdown import to_markdown
from agegender.report.records import load_records
from agegender.report.table import Table, build_table
from agegender.runs.job import Job
from finished_runs import finish, job


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """One system as its mode says and in a variant: worse by one face of 16, better by two of 12, once not run."""

    def one(fold: int, variant: str = "") -> Job:
        return job(tmp_path, "lmtcnn", ("age",), fold, variant=variant)

    plain = [finish(one(0), wrong=[1, 5]), finish(one(1), wrong=[2, 3, 4], faces=12), finish(one(2), wrong=[0])]
    other = [finish(one(0, "flip"), wrong=[1, 5, 7]), finish(one(1, "flip"), wrong=[2], faces=12), one(2, "flip")]
    return build_table(load_records([*plain, *other]), (), {})


def test_numbers_by_hand(table: Table) -> None:
    plain, flip = table.rows
    assert not plain.differences
    found = flip.differences["age_exact"]
    assert found.folds == pytest.approx({0: -1 / 16, 1: 2 / 12})
    assert found.mean == pytest.approx((-1 / 16 + 2 / 12) / 2)
    # Fold 2, which only one of them has, counts in neither.
    assert found.pooled == pytest.approx(24 / 28 - 23 / 28)
    assert found.low < found.pooled < found.high
    assert list(flip.differences) == ["age_exact"]


def test_the_same_answers_differ_by_nothing_and_for_certain(tmp_path: Path) -> None:
    same = [finish(job(tmp_path, "lmtcnn", ("age",), 0, variant=variant), wrong=[3, 4]) for variant in ("", "flip")]
    found = build_table(load_records(same), (), {}).rows[1].differences["age_exact"]
    assert (found.pooled, found.low, found.high) == (0, 0, 0)


def test_they_stand_in_the_grid_the_file_and_the_figure(table: Table) -> None:
    text = to_markdown(table, {}).split("## What the evaluation changes")[1]
    assert "| LMTCNN, views flip | sound | +5.2 ± 16.2 (2/3 folds) | +3.6 [" in text
    assert "] (2/3 folds) | 28 |" in text
    assert "$-$" in to_latex(table).split("What the evaluation changes")[1]
    lines = list(csv.DictReader(io.StringIO(table_csv(table))))
    mean, pooled = (line for line in lines if line["fold"].endswith("difference"))
    assert (mean["evaluation"], mean["value"], pooled["value"]) == ("flip", "0.052083", "0.035714")
    assert mean["n"] == pooled["n"] == "28"
    assert mean["runs"].split() == [f"lmtcnn-f{fold}-s0-soundflip" for fold in (0, 1)]
    figures = draw_figures(table)
    assert set(figures) == {"folds.png", "differences.png", "confusion_lmtcnn_age.png"}
    (axes,) = figures["differences.png"][1].axes
    drawn = {round(float(x), 2) for line in axes.lines for x in line.get_xdata()}
    assert {-6.25, 16.67, 5.21} <= drawn


def test_only_runs_that_both_have_are_compared(tmp_path: Path) -> None:
    def one(seed: int, variant: str, wrong: list[int]) -> Job:
        return finish(job(tmp_path, "lmtcnn", ("age",), 0, seed, variant=variant), wrong=wrong)

    jobs = [one(0, "", [1]), one(1, "", list(range(8))), one(0, "flip", [1])]
    jobs.append(job(tmp_path, "lmtcnn", ("age",), 0, 1, variant="flip"))
    found = build_table(load_records(jobs), (), {}).rows[1].differences["age_exact"]
    assert (found.folds, found.pooled, found.done, found.expected) == ({0: 0}, 0, 1, 2)


def test_a_variant_without_a_run_is_visibly_missing(tmp_path: Path) -> None:
    jobs = [finish(job(tmp_path, "lmtcnn", ("age",), 0)), job(tmp_path, "lmtcnn", ("age",), 0, variant="flip")]
    table = build_table(load_records(jobs), (), {})
    assert "| LMTCNN, views flip | sound | missing (0/1 folds) | missing (0/1 folds) | 0 |" in to_markdown(table, {})
    assert "differences.png" not in draw_figures(table)


def test_systems_of_different_tasks_share_the_figure(tmp_path: Path) -> None:
    tasks = {"plain_age": ("age",), "plain_gender": ("gender",)}
    jobs = [
        finish(job(tmp_path, name, of, fold, variant=variant), wrong=range(fold))
        for name, of in tasks.items()
        for variant in ("", "flip")
        for fold in (0, 1)
    ]
    figure = draw_figures(build_table(load_records(jobs), (), {}))["differences.png"][1]
    assert [len(axes.get_yticklabels()) for axes in figure.axes] == [1, 1]


def test_networks_that_were_trained_otherwise_are_not_called_an_evaluation(tmp_path: Path) -> None:
    jobs = [finish(job(tmp_path, "lmtcnn", ("age",), 0, variant=variant)) for variant in ("", "by_image_leaky")]
    jobs = [replace(one, keys={"validation": one.variant}) for one in jobs]
    table = build_table(load_records(jobs), (), {})
    assert not table.rows[1].differences
    assert "confusion_lmtcnn_by_image_leaky_age.png" in draw_figures(table)
