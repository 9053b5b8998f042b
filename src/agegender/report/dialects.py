"""How Markdown and LaTeX write what a table says."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Dialect:
    """How a format writes what plain text has no sign for."""

    escape: Callable[[str], str]
    bold: Callable[[str], str]
    plus_minus: str
    to: str
    dash: str
    dagger: str


def _escape(signs: Mapping[str, str]) -> Callable[[str], str]:
    pattern = re.compile("|".join(map(re.escape, signs)))
    return lambda text: pattern.sub(lambda match: signs[match[0]], text)


_LATEX_SIGNS = {sign: f"\\{sign}" for sign in "{}$&#_%"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "—": "---",
    "–": "--",
    "±": r"$\pm$",
    "−": "$-$",
    "†": r"\textdagger{}",
}
_MARKDOWN_SIGNS = {"|": "\\|", "*": "\\*", "<": "&lt;", "\n": " "}

MARKDOWN = Dialect(_escape(_MARKDOWN_SIGNS), lambda text: f"**{text}**", " ± ", "–", "—", " †")
LATEX = Dialect(_escape(_LATEX_SIGNS), lambda text: rf"\textbf{{{text}}}", r"\,$\pm$\,", "--", "---", r"\textdagger{}")
