"""A figure of what rows change against the row they are compared with."""

from __future__ import annotations

from matplotlib.figure import Figure

from agegender.report.figures.folds import draw_signs, make_panels
from agegender.report.figures.style import REFERENCE, add_legend, style_axes
from agegender.report.table import Table


def draw_differences(table: Table) -> Figure:
    """Draw a panel per headline: rows from top to bottom, the folds' differences, the interval of all faces."""
    shown = {
        metric: [row for row in table.rows if metric.name in row.differences]
        for metric in table.metrics
        if any(metric.name in row.differences for row in table.rows)
    }
    figure, panels = make_panels(table, list(shown), list(shown.values()))
    for axes, (metric, rows) in zip(panels, shown.items(), strict=True):
        found = [row.differences[metric.name] for row in rows]
        axes.axvline(0, color=REFERENCE, linewidth=1)
        draw_signs(axes, table, metric, [each.folds for each in found], [each.mean for each in found])
        for place, each in enumerate(found):
            axes.hlines(place, metric.scale * each.low, metric.scale * each.high, color="black", linewidth=2)
        unit = "points of %" if metric.unit == "%" else metric.unit
        title = f"{metric.title}: {unit}, against {against(table)}\nbar: 95 % interval over all faces"
        style_axes(axes, title=title, aligned="right", grid="x")
    add_legend(figure, *panels[0].get_legend_handles_labels(), ncols=3)
    return figure


def against(table: Table) -> str:
    """Name what rows are compared with."""
    return table.reference_title or "the mode's own evaluation"
