"""Words in CSV files, which spreadsheets open: none may be taken for a formula."""

import csv
import re
from collections.abc import Iterable
from typing import Literal

# OWASP's list of how a cell begins that is computed (CSV injection), with the wide forms of East Asian keyboards.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")


def guard(text: str) -> str:
    """Return a word as a cell that is only shown: a quotation mark goes before what would be a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def unguard(cell: str) -> str:
    """Return the word that `guard` made the cell of."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def quoting(words: Iterable[str]) -> Literal[0, 2]:
    """Return how `csv` must quote these words: of what ends a line it leaves a carriage return bare."""
    return csv.QUOTE_NONNUMERIC if any("\r" in word for word in words) else csv.QUOTE_MINIMAL
