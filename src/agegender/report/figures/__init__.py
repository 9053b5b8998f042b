"""All figures of a table, by file name."""

from __future__ import annotations

from matplotlib.figure import Figure

from agegender.report.figures.answers import draw_answers
from agegender.report.figures.confusion import draw_confusion
from agegender.report.figures.curve import draw_curves, has_curves
from agegender.report.figures.differences import against, draw_differences
from agegender.report.figures.folds import draw_folds
from agegender.report.figures.pareto import draw_pareto
from agegender.report.figures.style import take_dollars_for_text
from agegender.report.table import Table
from agegender.report.tradeoff import compared_metrics
from agegender.tasks import TASKS

PATTERNS = ("folds.png", "training_faces.png", "pareto_*.png", "differences.png", "confusion_*.png")
"""The file names that figures have."""


def draw_figures(table: Table) -> dict[str, tuple[str, Figure]]:
    """Draw all figures: file name (`folds.png`, `confusion_<system>_<task>.png`) -> (title, figure).

    A `$` in their text is a dollar and begins no formula.
    """
    figures = {}
    headlines = [
        metric
        for metric in table.metrics
        if metric.headline and any(row.cells[metric.name].folds for row in table.rows if metric.name in row.cells)
    ]
    if headlines:
        figures["folds.png"] = ("Every fold across the systems", draw_folds(table, headlines))
    if headlines and has_curves(table):
        figures["training_faces.png"] = ("What the number of training faces changes", draw_curves(table, headlines))
    for metric in compared_metrics(table):
        title = f"{metric.title} against latency"
        figures[f"pareto_{metric.name}.png"] = (title, draw_pareto(table, metric))
    if any(each.folds for row in table.rows for each in row.differences.values()):
        figures["differences.png"] = (f"Against {against(table)}", draw_differences(table))
    for row in table.rows:
        for task, counts in row.confusion.items():
            # One system's matrix is enough; what evaluations and fewer faces change is in figures of their own.
            if counts.sum() and row.training_share == 1 and not (row.variant and row.differences):
                title = f"{row.title} ({row.mode}): {TASKS[task].title}"
                draw = draw_answers if TASKS[task].measured else draw_confusion
                figures[f"confusion_{row.key}_{task}.png"] = (title, draw(row, task))
    for _, figure in figures.values():
        take_dollars_for_text(figure)
    return figures
