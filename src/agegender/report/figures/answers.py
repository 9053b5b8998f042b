"""A figure of the answers to a measured task against the annotations."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from agegender.report.figures.confusion import title_of
from agegender.report.figures.style import BLUE, SHADES, SMALL, TEXT, VERMILION, new_figure, style_axes
from agegender.report.table import Row
from agegender.tasks import TASKS


def draw_answers(row: Row, task: str) -> Figure:
    """Draw how many faces have which annotation and answer, rounded to the label values; on the diagonal is right."""
    counts, found = row.confusion[task].T, TASKS[task]
    values = np.array(found.values)
    edges = np.append(values, values[-1] + found.step) - found.step / 2
    figure = new_figure(5.6, 5.4)
    axes = figure.add_subplot()
    shades = axes.pcolormesh(edges, edges, np.ma.masked_equal(counts, 0), cmap=SHADES, norm=LogNorm(0.3, counts.max()))
    axes.plot(edges[[0, -1]], edges[[0, -1]], color=BLUE, linewidth=1)
    truth = counts.sum(axis=0) > 0
    middle = (counts * values[:, None]).sum(axis=0)[truth] / counts.sum(axis=0)[truth]
    axes.plot(values[truth], middle, color=VERMILION, linewidth=1.5, label="mean answer")
    axes.legend(loc="upper left", fontsize=SMALL, frameon=False)
    axes.set_aspect("equal")
    style_axes(axes, title=title_of(row, task), x=f"annotated, {found.unit}", y=f"predicted, {found.unit}")
    bar = figure.colorbar(shades, ax=axes, shrink=0.8, format="{x:,.0f}")
    bar.set_label("faces", fontsize=TEXT)
    bar.ax.tick_params(labelsize=TEXT)
    bar.minorticks_off()
    return figure
