"""Tables of labels in text files: columns and numbers, each checked, and named with its line where it is wrong."""

import csv
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from agegender.errors import UserError

AGES, SCORES = (0, 100), (1, 5)  # what the tasks age_years and attractiveness reach over
NUMBER = r"-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"  # `\d` would take the digits of other scripts


def read_table(
    path: Path, content: bytes, required: Sequence[str], expected: str, *, header: bool = True, separator: str = ","
) -> pd.DataFrame:
    """Read a table of text in UTF-8, its line numbers as index; empty lines are left out, blanks around a field too.

    Without a `header` its columns are the `required` ones. UserError for what is no table, a column that is `required`
    and not there (saying what was `expected`) or there twice, and a line with too few or too many fields.
    """
    try:
        reader = csv.reader(content.decode("utf-8-sig").splitlines(), delimiter=separator)
        numbered = [(reader.line_num, [field.strip() for field in line]) for line in reader if line]
    except UnicodeDecodeError as error:
        place = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path} is not in UTF-8, as line {place} shows: save it as 'CSV UTF-8', or convert it with `iconv -t "
            "UTF-8 -f` and its encoding, such as LATIN1"
        ) from error
    except csv.Error as error:
        raise UserError(f"{path} is not a CSV file ({error}): correct it or fetch it again") from error
    columns = numbered.pop(0)[1] if header and numbered else [] if header else list(required)
    missing = [name for name in required if name not in columns]
    if missing:
        raise UserError(
            f"{path} has no column {missing[0]}, its first line is '{separator.join(columns)[:80]}': expected "
            f"{expected}"
        )
    twice = [name for name in columns if columns.count(name) > 1]
    if twice:
        raise UserError(f"{path} has two columns '{twice[0]}': remove or rename one of them")
    for number, line in numbered:
        if len(line) != len(columns):
            raise UserError(
                f"{path} line {number}: {len(line)} columns, expected {len(columns)}: the line is damaged, correct it "
                "or fetch the file again"
            )
    lines = [line for _, line in numbered]
    return pd.DataFrame(lines, columns=columns, index=[number for number, _ in numbered], dtype="string")


def refuse(path: Path, values: pd.Series, wrong: pd.Series, expected: str) -> None:
    """Raise a UserError for the first of the `values` of a column that is `wrong`, if any; the index is of lines."""
    if wrong.any():
        line = int(wrong[wrong].index[0])
        raise UserError(
            f"{path} line {line}: {values.name} is '{values[line]}', expected {expected}: correct the line or fetch "
            "the file again"
        )


def to_whole(values: pd.Series) -> pd.Series:
    """Write the whole numbers of a column of text without a point: pandas saves 3 as 3.0 where a field is empty."""
    return values.str.replace(r"^([0-9]+)\.0*$", r"\1", regex=True)


def to_codes(path: Path, values: pd.Series, codes: dict[str, int], expected: str) -> pd.Series:
    """Map a column of text to Int64 by `codes`, an empty field to <NA>; UserError for any other value."""
    refuse(path, values, ~values.isin(["", *codes]), expected)
    return values.map(codes).astype("Int64")


def to_numbers(path: Path, values: pd.Series, within: tuple[int, int]) -> pd.Series:
    """Turn a column of text into Float64, an empty field into <NA>; UserError outside `within`, bounds included."""
    low, high = within
    numbers = _to_floats(path, values, expected := f"a number from {low} to {high}")
    refuse(path, values, ~numbers.between(low, high).fillna(True), expected)
    return numbers


def to_years(path: Path, values: pd.Series) -> pd.Series:
    """Turn a column of text into ages 0..100: Int64 where all are whole years, else Float64."""
    years = to_numbers(path, values, AGES)
    return years.astype("Int64") if (years.dropna() % 1 == 0).all() else years


def to_spreads(path: Path, values: pd.Series, of: pd.Series, *, zero: bool = False) -> pd.Series:
    """Turn a column of standard deviations into Float64: one above 0 (or 0) for each label in `of`, and no other."""
    refuse(path, values, (values == "") & of.notna(), f"a standard deviation beside {of.name}")
    refuse(path, values, (values != "") & of.isna(), f"nothing, since there is no {of.name}")
    spreads = _to_floats(path, values, expected := f"a standard deviation {'of at least 0' if zero else 'above 0'}")
    refuse(path, values, ((spreads < 0) if zero else (spreads <= 0)).fillna(False), expected)
    return spreads


def to_rows(path: Path, table: pd.DataFrame) -> list[str]:
    """Say for each line of a table where it stands, as in faces.csv:2."""
    return [f"{path.name}:{line}" for line in table.index]


def refuse_repeats(path: Path, images: pd.Series) -> None:
    """Raise a UserError for an image that has two lines: it could stand in training and test at once."""
    repeated = images[images.duplicated()]
    if not repeated.empty:
        first = images[images == repeated.iloc[0]].index[0]
        raise UserError(
            f"{path}: {repeated.iloc[0]} stands in line {first} and in line {repeated.index[0]}: remove one of them"
        )


def _to_floats(path: Path, values: pd.Series, expected: str) -> pd.Series:
    refuse(path, values, ~(values.str.fullmatch(NUMBER) | (values == "")), expected)
    floats = [float(value) if value else None for value in values]  # Python's own parser: exact to the last bit
    return pd.Series(pd.array(floats, dtype="Float64"), index=values.index, name=values.name)
