"""A figure of accuracy against latency: a panel per runtime."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from agegender.metrics import Metric
from agegender.report.figures.style import TEXT, add_legend, new_figure, style_axes
from agegender.report.table import Table
from agegender.report.tradeoff import Point, panels_of, points_of
from agegender.runtimes.catalogue import title_of
from agegender.tasks import TASKS


def draw_pareto(table: Table, metric: Metric) -> Figure:
    """Draw a panel per runtime, one below the other: towards the upper left is better."""
    panels = [(setting, points) for setting in panels_of(table) if (points := points_of(table, metric, setting))]
    figure = new_figure(7.5, 1.2 + 2.4 * len(panels) + 0.2 * 8)
    axes: Sequence[Axes] = list(figure.subplots(len(panels), 1, sharex=True, sharey=True, squeeze=False)[:, 0])
    titles = list(dict.fromkeys(point.title for _, points in panels for point in points))
    several = len({setting.device for setting, _ in panels}) > 1
    for each, (setting, points) in zip(axes, panels, strict=True):
        _draw_points(each, metric, points, titles)
        runtime = title_of(setting.runtime)
        style_axes(each, title=f"{runtime} on {setting.device}" if several else runtime, y=metric.label, grid="both")
        each.tick_params(labelbottom=True)
        each.margins(x=0.02, y=0.25)
    axes[0].set_xlim(0, 1.1 * max(point.ms for _, points in panels for point in points))  # shared
    axes[-1].set_xlabel("ms to answer all tasks of one face (median), one thread, float32", fontsize=TEXT)
    # Names beside the points would cover each other: the networks of a family take about the same time.
    names = [f"{number}  {title}" for number, title in enumerate(titles, start=1)]
    nothing = [Line2D([], [], linestyle="none")] * len(names)
    add_legend(figure, nothing, names, loc="outside lower left", handlelength=0, fontsize=TEXT)
    figure.suptitle(
        f"{TASKS[metric.task].title}: mean and deviation of the folds against latency\n"
        "square: two single-task networks; filled: none is both faster and better",
        fontsize=TEXT,
    )
    return figure


def _draw_points(axes: Axes, metric: Metric, points: Sequence[Point], titles: Sequence[str]) -> None:
    """Draw the points of a panel, numbered as their titles are, and a line through those that nothing beats."""
    for point in points:
        place = (point.ms, metric.scale * point.value)
        axes.errorbar(
            *place,
            metric.scale * point.sd,
            color="black",
            ecolor="0.6",
            marker="o" if point.networks == 1 else "s",
            markersize=8,
            markerfacecolor="black" if point.best else "white",
        )
        number = str(1 + titles.index(point.title))
        axes.annotate(number, place, (6, 5), textcoords="offset points", fontsize=TEXT + 1)
    front = sorted((point.ms, metric.scale * point.value) for point in points if point.best)
    axes.plot(*zip(*front, strict=True), color="0.4", linewidth=1, zorder=1)  # above the grid
