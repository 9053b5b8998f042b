"""A figure of the answers to a measured task against the annotations."""

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from agegender.report.cells import COLUMNS
from agegender.report.table import Row
from agegender.tasks import TASKS

_TEXT = 11


def draw_answers(row: Row, task: str) -> Figure:
    """Draw how many faces have which annotation and answer, rounded to the label values; on the diagonal is right."""
    counts, found = row.confusion[task].T, TASKS[task]
    edges = np.append(found.values, found.values[-1] + found.step) - found.step / 2
    figure = Figure(figsize=(5.6, 5.4), layout="constrained")
    axes = figure.add_subplot()
    shades = axes.pcolormesh(edges, edges, np.ma.masked_equal(counts, 0), cmap="Greys", norm=LogNorm(0.3, counts.max()))
    axes.plot(edges[[0, -1]], edges[[0, -1]], color="#0072B2", linewidth=1)
    truth = counts.sum(axis=0) > 0
    middle = (counts * np.array(found.values)[:, None]).sum(axis=0)[truth] / counts.sum(axis=0)[truth]
    axes.plot(np.array(found.values)[truth], middle, color="#D55E00", linewidth=1.5, label="mean answer")
    axes.legend(loc="upper left", fontsize=10, frameon=False)
    axes.set_aspect("equal")
    axes.set_xlabel(f"annotated, {found.unit}", fontsize=_TEXT)
    axes.set_ylabel(f"predicted, {found.unit}", fontsize=_TEXT)
    figure.colorbar(shades, ax=axes, label="faces", shrink=0.8, format="{x:,.0f}").minorticks_off()
    counted = (
        f"{counts.sum():,} faces" if len(row.seeds) == 1 else f"{counts.sum():,} answers of {len(row.seeds)} seeds"
    )
    axes.set_title(f"{row.title} ({row.mode})\n{found.title}: {counted}\n{folds_in(row, task)}", fontsize=_TEXT)
    return figure


def folds_in(row: Row, task: str) -> str:
    """Name the folds of a row, and how many of its runs they are where some are missing."""
    cell = next(row.cells[column.metric] for column in COLUMNS if column.task == task)
    folds = f"fold{'s' if len(cell.folds) > 1 else ''} {', '.join(map(str, cell.folds))}"
    return folds if cell.complete else f"{folds} ({cell.done} of {cell.expected} runs)"
