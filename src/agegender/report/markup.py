"""What Markdown and LaTeX print, a report section by section, and how each writes text and signs."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Section:
    """A titled table of a report, its cells in a format's markup; `title` and `notes` are plain text.

    `align` has a letter per column: l(eft), r(ight), p(aragraph).
    """

    name: str
    title: str
    head: Sequence[str]
    body: Sequence[Sequence[str]]
    notes: Sequence[str]
    align: str


@dataclass(frozen=True)
class Markup:
    """A format's escapes and signs: how it writes plain text, and what plain text has no sign for."""

    escape: Callable[[str], str]
    bold: Callable[[str], str]
    plus_minus: str
    to: str
    dash: str
    dagger: str


def _escape(signs: Mapping[str, str]) -> Callable[[str], str]:
    pattern = re.compile("|".join(map(re.escape, signs)))
    return lambda text: pattern.sub(lambda match: signs[match[0]], " ".join(text.split()))


# Everywhere: code, emphasis, links and images, cells, strikethrough, formulas, headings, HTML, entities. An underscore
# inside a word is none of these.
_MARKDOWN_SIGNS = re.compile(r"[\\`*\[\]|~$#<]|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])")
# Only where a block begins: quotations, lists, rules.
_MARKDOWN_BLOCK = re.compile(r"^(\d*)(>|[-+.)](?=\s|$)|[-=]+$)")
_ENTITIES = {"<": "&lt;", "&": "&amp;"}


def _escape_markdown(text: str) -> str:
    inside = _MARKDOWN_SIGNS.sub(lambda match: _ENTITIES.get(match[0], f"\\{match[0]}"), " ".join(text.split()))
    return _MARKDOWN_BLOCK.sub(r"\1\\\2", inside)


def code(text: str) -> str:
    """Print a name in Markdown as code, where it has no sign that ends code or a cell."""
    return f"`{text}`" if re.fullmatch(r"[\w.+@-]+", text) else _escape_markdown(text)


_LATEX_SIGNS = {sign: f"\\{sign}" for sign in "{}$&#_%"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "`": r"\textasciigrave{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "—": "---",
    "–": "--",
    "±": r"$\pm$",
    "−": "$-$",
    "†": r"\textdagger{}",
}

MARKDOWN = Markup(_escape_markdown, lambda text: f"**{text}**", " ± ", "–", "—", " †")
LATEX = Markup(_escape(_LATEX_SIGNS), lambda text: rf"\textbf{{{text}}}", r"\,$\pm$\,", "--", "---", r"\textdagger{}")
