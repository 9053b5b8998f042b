"""Ages in years from the predictions file to the report: metrics, reference, decades, figures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

from agegender import metrics
from agegender.report.csv_files import table_csv
from agegender.report.figures import draw_figures
from agegender.report.latex import to_latex
from agegender.report.markdown import name_best, to_markdown
from agegender.report.records import load_records
from agegender.report.table import Table, build_table
from agegender.runs.job import Job
from agegender.runs.predictions import predictions_table, predictions_text, read_predictions
from finished_runs import job

TRUTH = np.array([3.0, 14.5, 25.0, 25.0, 36.0, 47.0, 58.0, 90.0])


def predictions_of(errors: Sequence[float], fold: int = 0, spread: Sequence[float] | None = None) -> pd.DataFrame:
    """Faces whose answers are off by these years; the last has no label."""
    answers = np.append(TRUTH + np.array(errors), 20.0).astype(np.float32)
    rows = pd.DataFrame(
        {
            "image": [f"{fold}/{number}.jpg" for number in range(9)],
            "subject": pd.array([None] * 9, dtype="string"),
            "fold": fold,
            "age_years": pd.array([*TRUTH, None], dtype="Float64"),
        }
    )
    if spread is not None:
        rows["age_years_sd"] = pd.array([*spread, None], dtype="Float64")
    posterior = np.eye(101, dtype=np.float32)[answers.clip(0, 100).round().astype(int)]
    return predictions_table(rows, {"age_years": posterior}, {"age_years": answers})


def finish(each: Job, errors: Sequence[float], spread: Sequence[float] | None = None) -> Job:
    run = each.folder
    run.write_text("predictions.csv", predictions_text(predictions_of(errors, each.run.fold, spread)))
    run.write("environment", {"commit": "a1b2c3d4e5f6", "dirty": False})
    run.write("metrics", {"test/age_years_n": 8.0, "parameters": 934869, "validation/age_years": 4.25})
    run.finish()
    return each


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Two systems on two folds: `near` is 1 and 2 years off, `far` 3 and 5, always upwards."""
    runs = [finish(job(tmp_path, "near", ["age_years"], fold), [1 + fold] * 8) for fold in (0, 1)]
    runs += [finish(job(tmp_path, "far", ["age_years"], fold), [3 + 2 * fold] * 8) for fold in (0, 1)]
    return build_table(load_records(runs), (), {}, reference="near")


def test_metrics_agree_with_scikit_learn_and_scipy(tmp_path: Path) -> None:
    errors = [0.5, -1, 6, 3, -3, 5, 0, -20]
    file = tmp_path / "predictions.csv"
    file.write_text(predictions_text(predictions_of(errors)), encoding="utf-8")
    read = read_predictions(file)
    assert read["age_years_true"].isna().sum() == 1 and str(read["age_years_pred"].dtype) == "Float64"
    found, answers = metrics.evaluate(read, ["age_years"]), TRUTH + errors
    assert found == {
        "age_years_n": 8,
        "age_years_mae": pytest.approx(mean_absolute_error(TRUTH, answers)),
        "age_years_rmse": pytest.approx(root_mean_squared_error(TRUTH, answers)),
        "age_years_cs3": 5 / 8,
        "age_years_cs5": 6 / 8,
        "age_years_pearson": pytest.approx(pearsonr(TRUTH, answers).statistic),
    }


def test_the_epsilon_error_is_given_where_every_label_has_a_deviation() -> None:
    spread = [1.0, 2.0, 3.0, 3.0, 4.0, 4.0, 5.0, 6.0]
    errors = np.array([1, 2, 3, 0, 4, 8, 0, 0.0])
    found = metrics.evaluate(predictions_of(errors, spread=spread), ["age_years"])["age_years_epsilon"]
    assert found == pytest.approx(np.mean(1 - np.exp(-(errors**2) / (2 * np.array(spread) ** 2))))
    partly = predictions_of(errors, spread=[*spread[:7], None])
    assert "age_years_epsilon" not in metrics.evaluate(partly, ["age_years"])


def test_mae_by_decade_by_hand() -> None:
    found = metrics.mae_by_decade([0, 9.9, 10, 25, 25], [1, 9.9, 13, 20, 26])
    assert found == {0: (pytest.approx(0.5), 2), 10: (3.0, 1), 20: (3.0, 2)}
    assert metrics.pearson([1, 2, 3], [5, 5, 5]) != metrics.pearson([1, 2, 3], [5, 5, 5]), "undefined: NaN"


def test_numbers_of_the_table_by_hand(table: Table) -> None:
    near, far = table.rows
    assert [metric.kind for metric in table.metrics] == ["mae", "rmse", "cs3", "cs5", "pearson"]
    cell = far.cells["age_years_mae"]
    assert (cell.mean, cell.sd, cell.pooled, cell.n) == (4.0, pytest.approx(2**0.5), 4.0, 16)
    assert cell.low < 4.0 < cell.high
    root = far.cells["age_years_rmse"]
    assert root.pooled == pytest.approx(17**0.5) and 3 <= root.low < root.pooled < root.high <= 5
    assert np.isnan(far.cells["age_years_pearson"].low)
    assert table.baseline.cells["age_years_mae"].mean == pytest.approx(np.abs(TRUTH - 30.5).mean()), "the median"
    assert not near.differences
    difference = far.differences["age_years_mae"]
    assert difference.folds == pytest.approx({0: 2.0, 1: 3.0}) and difference.pooled == pytest.approx(2.5)
    assert 2.0 < difference.low < 2.5 < difference.high < 3.0
    assert far.decades[20] == (pytest.approx(4.0), 4)


def test_the_report_says_units_and_the_reference(table: Table) -> None:
    text = to_markdown(table, {})
    assert "| system | mode | age years MAE | age years RMSE | age years CS@3 |" in text
    assert (
        "| FAR | sound | 4.00 ± 1.41 | 4.00 ± 1.41 | 50.0 ± 70.7 | **100.0 ± 0.0** | **1.000 ± 0.000** | 16 |" in text
    )
    grid = text.split("## Against NEAR")[1].split("\n## ")[0]
    assert "| FAR | sound | +2.50 ± 0.71 | +2.50 [+2.2" in grid and "| NEAR |" not in grid
    decades = text.split("## MAE by decade of the annotated age")[1].split("\n## ")[0]
    assert "| FAR | sound | 4.00 (2) | 4.00 (2) | 4.00 (4) | 4.00 (2) | 4.00 (2) | 4.00 (2) | 4.00 (2) |" in decades
    assert "| median of the test fold | — | 20.44 ± 0.00 |" in text and "| undefined | 16 |" in text
    assert "| NEAR | sound | 4.25 | 1.50 |" in text.split("## Validation against test")[1]
    assert name_best(table) == "Best mean over the folds: age years MAE 1.50 years (NEAR)."
    assert r"\caption{Against NEAR" in to_latex(table)
    assert "far,sound,,mean difference,age_years_mae,2.500000,0.707107,,,16," in table_csv(table)


def test_the_figures_are_drawn(table: Table) -> None:
    figures = draw_figures(table)
    assert {"folds.png", "differences.png", "confusion_near_age_years.png"} <= set(figures)
    title, figure = figures["differences.png"]
    assert title == "Against NEAR" and figure.axes[0].get_yticklabels()[0].get_text() == "FAR"
    shades, line, _ = figures["confusion_far_age_years.png"][1].axes[0].get_children()[:3]
    counts = np.ma.filled(shades.get_array(), 0)
    assert counts.sum() == 16 and counts[28, 25] == 2, "answered 28, annotated 25, in one fold of two faces"
    assert line.get_xdata()[0] == -0.5
