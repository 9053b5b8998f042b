"""Write a report: table.md, table.tex, table.csv and figures/*.png."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from agegender.files import write_whole
from agegender.report.costs import SystemCost, is_measured
from agegender.report.costs import to_csv as costs_to_csv
from agegender.report.figures import draw_figures
from agegender.report.pareto import to_csv as pareto_to_csv
from agegender.report.published import read_published
from agegender.report.records import Record
from agegender.report.render import to_csv, to_latex, to_markdown
from agegender.report.table import Table, build_table


def write_report(
    records: Sequence[Record],
    published: Iterable[Mapping[str, Any]],
    facts: Mapping[str, str],
    folder: Path,
    costs: Mapping[str, SystemCost] | None = None,
    reference: str = "",
) -> list[Path]:
    """Write the report of an experiment's records into `folder` and return the files, table.md first.

    `published`: the experiment's rows of published numbers, see `read_published`. `facts`: what the caption says, in
    order (protocol and version, digest, selection, date, ...). Two keys mean more: "experiment" is the heading;
    "partial", when not empty, says how the data fall short of the whole data set, which rules comparisons out.
    `costs`: what each system costs, see `load_costs`; with measurements there are costs.csv and a figure of accuracy
    against latency with its points, pareto.csv. `reference`: the system that every other is compared with.
    Each file is replaced as a whole. UserError for records that must not share a table or wrong `published` rows.
    """
    table = build_table(records, read_published(published), facts, costs, reference)
    figures = draw_figures(table)
    markdown = to_markdown(table, {f"figures/{name}": title for name, (title, _) in figures.items()})
    files = {
        "table.md": markdown.encode(),
        "table.tex": to_latex(table).encode(),
        "table.csv": to_csv(table).encode(),
        **_cost_files(table),
        **{f"figures/{name}": _png(figure) for name, (_, figure) in figures.items()},
    }
    for name, content in files.items():
        write_whole(folder / name, content)
    return [folder / name for name in files]


def _cost_files(table: Table) -> dict[str, bytes]:
    if not is_measured(table.costs):
        return {}
    return {"costs.csv": costs_to_csv(table.costs).encode(), "pareto.csv": pareto_to_csv(table).encode()}


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=150)
    return content.getvalue()
