"""A table as LaTeX, for a document that uses the packages booktabs and graphicx."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agegender.report.markup import LATEX, Section
from agegender.report.sections import build_sections
from agegender.report.table import Table


def to_latex(table: Table) -> str:
    """Print a table* per section; the first has what was run in its caption, and what is missing below it."""
    lines = [r"% needs \usepackage{booktabs} and \usepackage{graphicx}; every number's runs are in table.csv"]
    main, *others = build_sections(table, LATEX)
    caption = "; ".join(f"{key}: {text}" for key, text in table.caption.items())
    absent = "; ".join(record.absence for record in table.absent)
    notes = [*main.notes, *([f"Missing runs: {absent}."] if absent else [])]
    lines += ["", *_section(main, f"{main.title}. {caption}.", notes)]
    for section in others:
        lines += ["", *_section(section, f"{section.title}.", section.notes)]
    return "\n".join(lines) + "\n"


def _section(section: Section, title: str, notes: Sequence[str]) -> list[str]:
    columns = section.align.replace("p", r"p{0.5\textwidth}")
    return [
        r"\begin{table*}",
        r"\centering",
        rf"\caption{{{LATEX.escape(title)}}}",
        rf"\label{{tab:{section.name}}}",
        # Shrinks what is too wide and leaves the rest as it is.
        r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        *_lines([section.head]),
        r"\midrule",
        *_lines(section.body),
        r"\bottomrule",
        r"\end{tabular}}",
        *(rf"\par\footnotesize {LATEX.escape(note)}" for note in notes),
        r"\end{table*}",
    ]


def _lines(lines: Iterable[Sequence[str]]) -> list[str]:
    r"""Print lines of a table; the braces keep the end of a line before, `\\`, from reading `[` or `*` as its own."""
    return [rf"{{}}{' & '.join(line)} \\" for line in lines]
