"""A table as Markdown, LaTeX and CSV text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isnan
from urllib.parse import quote

from agegender.report.cells import HEADLINES, Cell
from agegender.report.grid import Grid
from agegender.report.grids import build_grids
from agegender.report.markup import LATEX, MARKDOWN, code
from agegender.report.records import Record
from agegender.report.table import Row, Table, best_rows
from agegender.report.words import number

CSV_HEAD = ("system", "mode", "evaluation", "fold", "metric", "value", "sd", "low", "high", "n", "runs")


def to_markdown(table: Table, figures: Mapping[str, str]) -> str:
    """Print the whole report: means, caption, missing runs, other grids, figures (relative path: title), runs."""
    means, *others = build_grids(table, MARKDOWN)
    heading = MARKDOWN.escape(table.facts.get("experiment", table.dataset))
    blocks = [f"# {heading}", *_markdown_section(means), "## What was run"]
    blocks.append("\n".join(f"- **{key}**: {MARKDOWN.escape(text)}" for key, text in _caption(table).items()))
    if table.absent:
        blocks += ["## Missing runs", "\n".join(f"- {MARKDOWN.escape(_absence(record))}" for record in table.absent)]
    blocks += [block for grid in others for block in _markdown_section(grid)]
    if figures:
        blocks += ["## Figures", *(f"![{MARKDOWN.escape(title)}]({quote(path)})" for path, title in figures.items())]
    blocks += ["## Runs", _markdown_grid(_runs_grid(table))]
    return "\n\n".join(blocks) + "\n"


def summarize(table: Table) -> str:
    """Print the best rows and the means alone, as Markdown: MLflow takes 8,000 characters, and first shows a few."""
    means, *_ = build_grids(table, MARKDOWN)
    return "\n\n".join([*filter(None, [name_best(table)]), *_markdown_section(means)]) + "\n"


def name_best(table: Table) -> str:
    """Say in a sentence, Markdown, which rows have the best means; empty while runs are missing or nothing competes."""
    found = []
    for column in table.columns:
        rows = best_rows(table, column) if column.metric in HEADLINES else []
        if rows:
            value = number(rows[0].cells[column.metric].mean, column)
            names = " and ".join(MARKDOWN.escape(row.title) for row in rows)
            found.append(f"{column.title} {value} {column.unit} ({names})")
    return f"Best mean over the folds: {'; '.join(found)}." if found else ""


def to_latex(table: Table) -> str:
    """Print one table per grid, for a document that uses the packages booktabs and graphicx."""
    lines = [r"% needs \usepackage{booktabs} and \usepackage{graphicx}; every number's runs are in table.csv"]
    caption = "; ".join(f"{key}: {text}" for key, text in _caption(table).items())
    absent = [f"Missing runs: {'; '.join(map(_absence, table.absent))}."] if table.absent else []
    for grid in build_grids(table, LATEX):
        title = f"{grid.title}. {caption}." if grid.name == "means" else f"{grid.title}."
        lines += ["", *_latex_grid(grid, title, [*grid.notes, *(absent if grid.name == "means" else [])])]
    return "\n".join(lines) + "\n"


def to_csv(table: Table) -> str:
    """Print every number in long form: one line per system, metric and fold, then "mean" and "pooled".

    A row that is compared with another (the mode's own evaluation, or the reference) has "mean difference" and "pooled
    difference" too. Shares are fractions 0..1, errors are in groups or in their unit. `value` is empty where the runs
    are missing; what a system does not predict has no line. `runs` are the identities of the runs behind the number.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_HEAD)
    for row in [*table.rows, table.baseline]:
        for column in table.columns:
            if column.metric in row.cells:
                lines = _csv_lines(table, column.metric, row.cells[column.metric])
                writer.writerows([row.system, row.mode, row.variant, *line] for line in lines)
        for metric, found in row.differences.items():
            name, end = [row.system, row.mode, row.variant], [str(found.n), " ".join(found.runs)]
            mean, sd, pooled, low, high = map(_exactly, (found.mean, found.sd, found.pooled, found.low, found.high))
            writer.writerow([*name, "mean difference", metric, mean, sd, "", "", *end])
            writer.writerow([*name, "pooled difference", metric, pooled, "", low, high, *end])
    return text.getvalue()


def _csv_lines(table: Table, metric: str, cell: Cell) -> Iterator[list[str]]:
    runs = " ".join(run for runs in cell.runs.values() for run in runs)
    for fold in table.folds:
        if fold in cell.folds:
            value, count = _exactly(cell.folds[fold]), str(cell.counts[fold])
            yield [str(fold), metric, value, "", "", "", count, " ".join(cell.runs[fold])]
        else:
            yield [str(fold), metric, "", "", "", "", "0", ""]
    yield ["mean", metric, _exactly(cell.mean), _exactly(cell.sd), "", "", str(cell.n), runs]
    yield ["pooled", metric, _exactly(cell.pooled), "", _exactly(cell.low), _exactly(cell.high), str(cell.n), runs]


def _exactly(value: float) -> str:
    return "" if isnan(value) else f"{value:.6f}"


def _caption(table: Table) -> dict[str, str]:
    modes = ", ".join(dict.fromkeys(row.mode for row in table.rows))
    folds = ", ".join(map(str, table.folds))
    known = {"data": table.dataset, "protocol": table.protocol, "mode": modes, "folds": folds}
    facts = known | {key: text for key, text in table.facts.items() if text}
    facts.pop("experiment", None)
    if table.main_commit:
        facts["commit"] = table.main_commit
    if table.hardware:
        facts["made with"] = " / ".join(table.hardware)
    return facts


def _absence(record: Record) -> str:
    job = record.job
    return (
        f"{job.title} ({job.mode}), fold {job.fold}, seed {job.seed}: {record.state}: {record.error} ({job.identity})"
    )


def _runs_grid(table: Table) -> Grid:
    def identities(row: Row, fold: int) -> str:
        runs = {run: None for cell in row.cells.values() for run in cell.runs.get(fold, ())}
        return "<br>".join(map(code, runs)) or "missing"

    body = [
        [MARKDOWN.escape(row.title), row.mode, *(identities(row, fold) for fold in table.folds)] for row in table.rows
    ]
    return Grid(
        "runs",
        "Runs",
        ["system", "mode", *(f"fold {fold}" for fold in table.folds)],
        body,
        [],
        "l" * (2 + len(table.folds)),
    )


def _markdown_section(grid: Grid) -> list[str]:
    return [f"## {MARKDOWN.escape(grid.title)}", _markdown_grid(grid), *(MARKDOWN.escape(note) for note in grid.notes)]


def _markdown_grid(grid: Grid) -> str:
    rules = ["---:" if side == "r" else "---" for side in grid.align]
    return "\n".join(f"| {' | '.join(line)} |" for line in [grid.head, rules, *grid.body])


def _latex_lines(lines: Iterable[Sequence[str]]) -> list[str]:
    r"""Print lines of a table; the braces keep the end of a line before, `\\`, from reading `[` or `*` as its own."""
    return [rf"{{}}{' & '.join(line)} \\" for line in lines]


def _latex_grid(grid: Grid, title: str, notes: list[str]) -> list[str]:
    columns = grid.align.replace("p", r"p{0.5\textwidth}")
    return [
        r"\begin{table*}",
        r"\centering",
        rf"\caption{{{LATEX.escape(title)}}}",
        rf"\label{{tab:{grid.name}}}",
        # Shrinks what is too wide and leaves the rest as it is.
        r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        *_latex_lines([grid.head]),
        r"\midrule",
        *_latex_lines(grid.body),
        r"\bottomrule",
        r"\end{tabular}}",
        *(rf"\par\footnotesize {LATEX.escape(note)}" for note in notes),
        r"\end{table*}",
    ]
