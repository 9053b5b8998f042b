"""A table as Markdown: the report's page, and the summary that MLflow shows."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from agegender.report.markup import MARKDOWN, Section, code
from agegender.report.sections import build_sections, main_section
from agegender.report.table import Row, Table, best_rows


def to_markdown(table: Table, figures: Mapping[str, str]) -> str:
    """Print the whole report: means, caption, missing runs, other sections, figures (relative path: title), runs."""
    main, *others = build_sections(table, MARKDOWN)
    heading = MARKDOWN.escape(table.facts.get("experiment", table.dataset))
    blocks = [f"# {heading}", *_section(main), "## What was run"]
    blocks.append("\n".join(f"- **{key}**: {MARKDOWN.escape(text)}" for key, text in table.caption.items()))
    if table.absent:
        blocks += ["## Missing runs", "\n".join(f"- {MARKDOWN.escape(record.absence)}" for record in table.absent)]
    blocks += [block for section in others for block in _section(section)]
    if figures:
        blocks += ["## Figures", *(f"![{MARKDOWN.escape(title)}]({quote(path)})" for path, title in figures.items())]
    blocks += ["## Runs", _lines(_runs(table))]
    return "\n\n".join(blocks) + "\n"


def of_other_data(report: str, other: str) -> bool:
    """Whether two reports, as Markdown, are on different data, protocols or test faces."""
    names = tuple(f"- **{name}**:" for name in ("data", "protocol", "tested on"))
    ours, theirs = ({line for line in text.splitlines() if line.startswith(names)} for text in (report, other))
    return ours != theirs


def summarize(table: Table) -> str:
    """Print the best rows and the means alone, as Markdown: MLflow takes 8,000 characters, and first shows a few."""
    best = name_best(table)
    return "\n\n".join([*([best] if best else []), *_section(main_section(table, MARKDOWN))]) + "\n"


def name_best(table: Table) -> str:
    """Say in a sentence, Markdown, which rows have the best means; empty while runs are missing or nothing competes."""
    found = []
    for metric in table.metrics:
        if metric.headline and (rows := best_rows(table, metric)):
            value = metric.text(rows[0].cells[metric.name].mean)
            names = " and ".join(MARKDOWN.escape(row.title) for row in rows)
            found.append(f"{metric.title} {value} {metric.unit} ({names})")
    return f"Best mean over the folds: {'; '.join(found)}." if found else ""


def _section(section: Section) -> list[str]:
    return [f"## {MARKDOWN.escape(section.title)}", _lines(section), *(MARKDOWN.escape(note) for note in section.notes)]


def _lines(section: Section) -> str:
    rules = ["---:" if side == "r" else "---" for side in section.align]
    return "\n".join(f"| {' | '.join(line)} |" for line in [section.head, rules, *section.body])


def _runs(table: Table) -> Section:
    """The identities of the runs behind every row."""

    def identities(row: Row, fold: int) -> str:
        runs = {run: None for cell in row.cells.values() for run in cell.runs.get(fold, ())}
        return "<br>".join(map(code, runs)) or "missing"

    head = ["system", "mode", *(f"fold {fold}" for fold in table.folds)]
    body = [
        [MARKDOWN.escape(row.title), row.mode, *(identities(row, fold) for fold in table.folds)] for row in table.rows
    ]
    return Section("runs", "Runs", head, body, [], "l" * len(head))
