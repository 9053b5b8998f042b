"""The notebook runs from top to bottom on a finished sweep, and is kept without outputs."""

import json
import re
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from agegender.report.csv_files import table_csv
from agegender.report.records import load_records
from agegender.report.table import build_table
from commands import agegender
from finished_runs import job
from test_cli import SHORT
from test_measured_tasks import finish

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "compare_systems.ipynb"


@pytest.fixture(scope="module")
def swept(packs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder after a small sweep of the demo's two systems over two of its folds, and the demo's report."""
    folder = tmp_path_factory.mktemp("a desk of mine")
    words = ["experiment=demo", f"data.pack='{packs}'", *SHORT]
    agegender("train", "-m", "fold=0,1", *words, cwd=folder)
    agegender("report", *words, cwd=folder)
    return folder


def execute(folder: Path) -> list[nbformat.NotebookNode]:
    """Run the notebook on a working folder and return the outputs of its cells."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    tags = [cell.metadata.get("tags", []) for cell in notebook.cells]
    given = nbformat.v4.new_code_cell(f"FOLDER = Path({str(folder)!r})")  # type: ignore[no-untyped-call]
    notebook.cells.insert(tags.index(["parameters"]) + 1, given)
    NotebookClient(notebook, kernel_name="python3", timeout=900, startup_timeout=900).execute()
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def test_every_cell_runs_and_the_numbers_agree_with_mlflow(swept: Path) -> None:
    outputs = execute(swept)
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    # 2 systems x 2 folds x 6 metrics
    assert "24 numbers of the table follow from the predictions" in printed
    assert "24 numbers of 4 runs agree with MLflow" in printed
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 4, "the folds, a confusion matrix per task, the slices"


def test_a_number_that_does_not_follow_from_the_predictions_fails(swept: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").symlink_to(swept / "runs")
    shutil.copytree(swept / "reports", tmp_path / "reports")
    file = tmp_path / "reports" / "demo" / "table.csv"
    text = file.read_text()
    file.write_text(re.sub(r"age_exact,0\.\d+", "age_exact,0.987654", text, count=1))
    assert file.read_text() != text
    with pytest.raises(CellExecutionError, match="Mismatched elements: 1 / 24"):
        execute(tmp_path)


def test_answers_in_years_are_shown_in_years(tmp_path: Path) -> None:
    """Not in percent, as only the cumulative scores are."""
    errors = {"near": 2.5, "far": 12.5}
    jobs = [job(tmp_path / "runs", name, ["age_years"], fold) for name in errors for fold in (0, 1)]
    for each in jobs:
        finish(each, [errors[each.run.system.name]] * 7 + [-errors[each.run.system.name]])
        run = each.folder
        made = {"started": "2026-11-22T10:00:00+00:00", "hardware": {"processor": "some CPU"}}
        run.write("environment", run.read("environment") | made)
        run.write("metrics", run.read("metrics") | {"seconds": 60.0})
        run.finish()
    (tmp_path / "reports" / "demo").mkdir(parents=True)
    table = build_table(load_records(jobs), (), {})
    (tmp_path / "reports" / "demo" / "table.csv").write_text(table_csv(table), encoding="utf-8")
    outputs = execute(tmp_path)
    shown = "".join(output.get("data", {}).get("text/html", "") for output in outputs)
    assert [metric.label for metric in table.metrics if metric.label not in shown] == []
    assert "12.50 ± 0.00 (2 runs, n = 16)" in shown, "RMSE and MAE"
    assert "100.0 ± 0.0 (2 runs, n = 16)" in shown, "CS@3 of `near`"
    assert "<td>10.00</td>" in shown, "the difference in years"


def test_it_is_kept_without_outputs() -> None:
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None
        assert "attachments" not in cell
