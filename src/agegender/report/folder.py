"""The folder of a report: table.md, table.tex, table.csv and figures/*.png."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agegender.files import write_whole
from agegender.report.costs import SystemCost, is_measured
from agegender.report.csv_files import costs_csv, points_csv, table_csv
from agegender.report.figures import PATTERNS, draw_figures
from agegender.report.figures.style import to_png
from agegender.report.latex import to_latex
from agegender.report.markdown import of_other_data, to_markdown
from agegender.report.published import read_published
from agegender.report.records import Record
from agegender.report.table import build_table

log = logging.getLogger(__name__)


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
    Each file is replaced as a whole, and figures of an earlier report that this one does not have are removed.
    UserError for records that must not share a table or wrong `published` rows.
    """
    table = build_table(records, read_published(published), facts, costs, reference)
    figures = draw_figures(table)
    markdown = to_markdown(table, {f"figures/{name}": title for name, (title, _) in figures.items()})
    files = {
        "table.md": markdown.encode(),
        "table.tex": to_latex(table).encode(),
        "table.csv": table_csv(table).encode(),
    }
    if is_measured(table.costs):
        files |= {"costs.csv": costs_csv(table.costs).encode(), "pareto.csv": points_csv(table).encode()}
    files |= {f"figures/{name}": to_png(figure) for name, (_, figure) in figures.items()}
    earlier = folder / "table.md"
    if earlier.exists() and of_other_data(markdown, earlier.read_text(encoding="utf-8", errors="replace")):
        log.warning("%s held a report on other data or another protocol, which this one replaces", folder)
    for name, content in files.items():
        write_whole(folder / name, content)
    _remove_stale(folder / "figures", figures)
    return [folder / name for name in files]


def _remove_stale(folder: Path, names: Collection[str]) -> None:
    """Remove the figures of an earlier report that this one does not have."""
    for file in (file for pattern in PATTERNS for file in folder.glob(pattern)):
        if file.name not in names:
            file.unlink()
