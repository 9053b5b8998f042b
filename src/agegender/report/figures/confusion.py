"""A figure of the annotated against the predicted labels of one row."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from agegender.metrics import headline_of
from agegender.report.figures.style import SHADES, SMALL, new_figure, style_axes
from agegender.report.table import Row
from agegender.tasks import TASKS


def draw_confusion(row: Row, task: str) -> Figure:
    """Draw the pooled counts; the shade and the upper number are the share of the true label's faces."""
    counts, labels = row.confusion[task], row.labels[task]
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    side = 1.9 + 0.72 * max(len(labels), 4)
    figure = new_figure(side, side)
    axes = figure.add_subplot()
    axes.imshow(shares, cmap=SHADES, vmin=0, vmax=1)
    for true, predicted in np.ndindex(counts.shape):
        text = f"{100 * shares[true, predicted]:.0f}%\n{counts[true, predicted]}" if totals[true] else "–"
        shade = "white" if shares[true, predicted] > 0.65 else "black"
        axes.text(predicted, true, text, ha="center", va="center", fontsize=SMALL, color=shade, in_layout=False)
    axes.set_xticks(range(len(labels)), labels)
    axes.set_yticks(range(len(labels)), labels)
    style_axes(axes, title=title_of(row, task), x="predicted", y="annotated (100% in each row)")
    return figure


def title_of(row: Row, task: str) -> str:
    """Name the row, the task, the number of answers, the folds, and how many runs they are where some are missing."""
    count, cell = row.confusion[task].sum(), row.cells[headline_of(TASKS[task]).name]
    counted = f"{count:,} faces" if len(row.seeds) == 1 else f"{count:,} answers of {len(row.seeds)} seeds"
    folds = f"fold{'s' if len(cell.folds) > 1 else ''} {', '.join(map(str, cell.folds))}"
    runs = "" if cell.complete else f" ({cell.done} of {cell.expected} runs)"
    return f"{row.title} ({row.mode})\n{TASKS[task].title}: {counted}\n{folds}{runs}"
