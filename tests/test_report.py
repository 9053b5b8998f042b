"""What a report says in words and pictures."""

import csv
import io
import re
from pathlib import Path

import pytest
from matplotlib.text import Text
from PIL import Image

from agegender.report.csv_files import table_csv
from agegender.report.figures import draw_figures
from agegender.report.folder import write_report
from agegender.report.latex import to_latex
from agegender.report.markdown import name_best, summarize, to_markdown
from agegender.report.records import load_records, progress
from agegender.report.table import best_rows, build_table
from agegender.runs.job import Job
from finished_runs import FACTS, PUBLISHED, finish, job, table_of, three_systems

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    return three_systems(tmp_path)


def test_report_is_the_golden_one(jobs: list[Job]) -> None:
    """To accept a change of the format: read the new text, then save it as tests/golden/table.{md,csv,tex}."""
    table = table_of(jobs)
    assert to_markdown(table, {"figures/folds.png": "folds"}) == (GOLDEN / "table.md").read_text(encoding="utf-8")
    assert table_csv(table) == (GOLDEN / "table.csv").read_text(encoding="utf-8")
    assert to_latex(table) == (GOLDEN / "table.tex").read_text(encoding="utf-8")


def test_validation_stands_beside_test_where_runs_tell_it(tmp_path: Path) -> None:
    jobs = [finish(job(tmp_path, "lmtcnn", ["age", "gender"], fold), wrong=[0, 1, 2, 3]) for fold in (0, 1)]
    for each, share in zip(jobs, (0.5, 0.75), strict=True):
        run = each.folder
        run.write("metrics", run.read("metrics") | {"validation/age": share})
        run.finish()
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
    assert summarize(table).startswith(name_best(table))


def test_the_summary_of_the_largest_experiment_fits_into_a_description_of_mlflow(tmp_path: Path) -> None:
    names = [f"{name}_of_a_long_name" for name in map(str, range(18))]
    runs = [finish(job(tmp_path, name, ["age", "gender"], fold), wrong=[0]) for name in names for fold in (0, 1)]
    text = summarize(build_table(load_records(runs), (), {}))
    assert all(name.upper() in text for name in names)
    assert len(text) < 8000


def test_not_predicted_and_missing_look_different(jobs: list[Job]) -> None:
    lines = to_markdown(table_of(jobs), {}).splitlines()
    plain_gender = next(line for line in lines if line.startswith("| PLAIN_GENDER"))
    assert plain_gender == "| PLAIN_GENDER | sound | — | — | — | — | — | missing (0/3 folds) | 0 | — |"


def test_best_is_bold_only_in_a_complete_column(jobs: list[Job], tmp_path: Path) -> None:
    table = table_of(jobs)
    age_exact = table.metrics[0]
    assert best_rows(table, age_exact) == []
    finish(jobs[4], wrong=[5])
    table = table_of(jobs)
    assert [row.system for row in best_rows(table, age_exact)] == ["plain_age"]
    assert "**" in to_markdown(table, {}).split("## Mean over the folds")[1].split("## Pooled")[0]
    # Of an error the least is best: this system errs more often, but not as far.
    error = next(metric for metric in table.metrics if metric.name == "age_mae")
    assert [row.system for row in best_rows(table, error)] == ["lmtcnn"]


def test_ours_stand_beside_published_numbers_only_for_the_same_data_and_protocol(jobs: list[Job]) -> None:
    text = to_markdown(table_of(jobs), {}).split("## Published numbers")[1]
    same, other_data, other_protocol = text.strip().splitlines()[2:5]
    assert "| 44.83 ± 4.77 | sound 77.8 |" in same
    assert "| 85.46 | not comparable: other data (adience) |" in other_data
    assert "| not found | not comparable: other protocol (other) |" in other_protocol
    partial = to_markdown(table_of(jobs, partial="every tenth face"), {}).split("## Published numbers")[1]
    assert "not comparable: part of the data (every tenth face)" in partial
    assert "sound 77.8" not in partial


def test_a_system_in_two_modes_has_two_rows_and_two_matrices(tmp_path: Path) -> None:
    modes = [finish(job(tmp_path, "lmtcnn", ("age",), 0, mode=mode), wrong=[1]) for mode in ("sound", "faithful")]
    table = table_of(modes)
    assert [(row.mode, row.key) for row in table.rows] == [("sound", "lmtcnn_sound"), ("faithful", "lmtcnn_faithful")]
    names = {"folds.png", "confusion_lmtcnn_sound_age.png", "confusion_lmtcnn_faithful_age.png"}
    assert set(draw_figures(table)) == names


def test_csv_is_complete_and_traces_every_number_to_its_runs(jobs: list[Job]) -> None:
    table = table_of(jobs)
    lines = list(csv.DictReader(io.StringIO(table_csv(table))))
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


def test_figures_of_rows_that_are_gone_are_removed_and_nothing_else(jobs: list[Job], tmp_path: Path) -> None:
    folder = tmp_path / "report"
    write_report(load_records(jobs[:3]), PUBLISHED, FACTS, folder)
    mine = folder / "figures" / "photo.png"
    mine.write_bytes(b"mine")
    files = write_report(load_records(jobs[3:6]), PUBLISHED, FACTS, folder)
    assert {*(folder / "figures").iterdir()} == {mine, *(file for file in files if file.suffix == ".png")}
    assert not (folder / "figures" / "confusion_lmtcnn_age.png").exists()


def test_a_report_on_other_data_is_not_replaced_silently(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder, records = tmp_path / "report", load_records([job(tmp_path, "lmtcnn", ("age",), 0)])
    facts = FACTS | {"data": "drawn_faces, digest 0123", "protocol": "joint v1: all"}
    for changed in ({}, {"date": "2026-11-23"}):
        write_report(records, [], facts | changed, folder)
    assert not caplog.messages
    write_report(records, [], facts | {"data": "drawn_faces, digest 4567"}, folder)
    assert caplog.messages == [f"{folder} held a report on other data or another protocol, which this one replaces"]


def test_progress_counts_the_runs_and_names_three_that_are_not_done(jobs: list[Job]) -> None:
    assert progress(load_records(jobs[:3])) == "3 of 3 runs are done"
    assert progress(load_records(jobs)) == (
        "5 of 9 runs are done; not done: PLAIN, AGE ONLY (sound), fold 1, seed 0 (failed); "
        "PLAIN_GENDER (sound), fold 0, seed 0 (missing); PLAIN_GENDER (sound), fold 1, seed 0 (missing) and 1 more"
    )


def test_nothing_run_yet_gives_a_report_that_says_so(tmp_path: Path) -> None:
    jobs = [job(tmp_path, "lmtcnn", ("age", "gender"), fold) for fold in range(5)]
    files = write_report(load_records(jobs), [], FACTS, tmp_path / "report")
    assert [file.name for file in files] == ["table.md", "table.tex", "table.csv"]
    text = files[0].read_text(encoding="utf-8")
    assert text.count("not run yet") == 5
    assert "missing (0/5 folds)" in text
