"""Any data set that is brought as one CSV table of images and labels; docs/how-to/your-data.md shows the table."""

from pathlib import Path

import pandas as pd

from agegender.datasets import columns as tables
from agegender.datasets.dataset import Dataset, Dropped
from agegender.datasets.folds import FOLDS, deal_folds, tested_first
from agegender.datasets.label_files import read_outside
from agegender.datasets.labels import PARTITION_LABELS, group_of_years, partition
from agegender.datasets.protocol import Protocol
from agegender.datasets.source import Folder, Source, open_source
from agegender.errors import UserError
from agegender.tasks import TASKS

EXPECTED = "the folder or .zip of the images that the table names"
LABELS = ("age_years", "age_group", "gender", "score")
COLUMNS = ("image", "subject", "fold", "split", "age_years", "age_years_sd", "age_group", "gender", "score", "score_sd")
WHOLE = ("fold", "age_group", "gender")  # columns whose numbers are codes
SPLITS = ("train", "val", "test")

AGE_GROUPS = {name: group for group, label in enumerate(TASKS["age"].labels) for name in (label, str(group))}
GENDERS = {"m": 0, "f": 1, "0": 0, "1": 1}


def read_csv_table(root: Path, *, table: str | None = None) -> tuple[pd.DataFrame, Dropped]:
    """Read the faces of a `table`, a CSV in UTF-8: a file of the folder or .zip of images, or one elsewhere.

    Its columns: image (name within the folder or .zip), subject, fold (0..4) or split (train, val, test), age_years
    (0..100) with age_years_sd, age_group (0..7 or a name as in 4-6), gender (m or f, 0 or 1), score (1..5) with
    score_sd. A code may be written as 3.0. Only image and one label are needed; an empty field is an unknown label.
    Other columns are refused, so that a misspelt one is not overlooked. Without fold and split the faces are dealt to
    five folds (`folds.deal_folds`, within age group and annotated gender).

    Columns: image, subject (<NA>: unknown), fold 0..4 (<NA> beside a split), split (text, where the table has it),
    age_group 0..7, age_years (Int64, Float64 where some are fractions), gender (0 m, 1 f), attractiveness (Float64),
    age_years_sd and attractiveness_sd (Float64, where the table has them), row. UserError names file, line, column and
    value.
    """
    if table is None:
        raise UserError("data.settings.table is not set: name the table of faces, data.settings.table=faces.csv")
    with open_source(root, EXPECTED) as source:
        path, content = _find(source, table)
    expected = f"columns separated by commas, image and others of {', '.join(COLUMNS[1:])}"
    lines = tables.read_table(path, content, ["image"], expected)
    lines = lines.assign(**{name: tables.to_whole(lines[name]) for name in WHOLE if name in lines})
    _check_columns(path, lines)
    rows = _rows(path, lines.reindex(columns=list(COLUMNS), fill_value=""))
    rows = rows.drop(columns=[name for name in ("age_years_sd", "attractiveness_sd") if rows[name].isna().all()])
    if "split" in lines:
        _keep_subjects_apart(path, rows, tested_first(rows["split"]))
        return rows.reset_index(drop=True), {}
    rows = rows.drop(columns="split")
    if "fold" in lines:
        _keep_subjects_apart(path, rows, rows["fold"])
        return rows.reset_index(drop=True), {}
    age = rows["age_group"].fillna(group_of_years(rows["age_years"], "partition"))
    return rows.assign(fold=deal_folds(rows.assign(age=age), ["age", "gender"])).reset_index(drop=True), {}


def _find(source: Source, table: str) -> tuple[Path, bytes]:
    """Return path and content of the table."""
    if table in source.names():
        return source.path / table, source.read(table)
    elsewhere = Path(table).expanduser()
    if not elsewhere.is_file():
        raise UserError(f"there is no {table} in {source.path}, nor a file {elsewhere}: correct data.settings.table")
    return elsewhere, read_outside(Folder(elsewhere.parent), elsewhere.name)


def _check_columns(path: Path, lines: pd.DataFrame) -> None:
    unknown = [name for name in lines if name not in COLUMNS]
    if unknown:
        raise UserError(
            f"{path} has a column '{unknown[0]}', which is none of {', '.join(COLUMNS)}: rename or remove it"
        )
    if "fold" in lines and "split" in lines:
        raise UserError(f"{path} has both columns fold and split: remove one of them")
    if not lines.columns.isin(LABELS).any():
        raise UserError(f"{path} has none of the columns {', '.join(LABELS)}: add one with labels")
    if lines.empty:
        raise UserError(f"{path} has no line below its header: add a line for each face")
    for name, values in (("fold", [str(fold) for fold in range(FOLDS)]), ("split", SPLITS)):
        if name in lines:
            tables.refuse(path, lines[name], ~lines[name].isin(list(values)), f"one of {', '.join(values)}")


def _rows(path: Path, lines: pd.DataFrame) -> pd.DataFrame:
    """Check every column of the table and return the manifest's rows, with the table's fold and split."""
    inside = lines["image"].map(_is_inside).astype(bool)
    tables.refuse(path, lines["image"], ~inside, "a name within the folder or .zip, as in a/1.jpg")
    tables.refuse_repeats(path, lines["image"])
    years = tables.to_years(path, lines["age_years"])
    scores = tables.to_numbers(path, lines["score"], tables.SCORES)
    spreads = {
        name: tables.to_spreads(path, lines[name], of) if lines[name].ne("").any() else pd.Series(pd.NA, lines.index)
        for name, of in (("age_years_sd", years), ("score_sd", scores))
    }
    groups = f"0 to {len(TASKS['age'].labels) - 1} or one of {', '.join(TASKS['age'].labels)}"
    return pd.DataFrame(
        {
            "image": lines["image"],
            "subject": lines["subject"].replace("", pd.NA),
            "fold": lines["fold"].replace("", pd.NA).astype("Int64"),
            "split": lines["split"],
            "age_group": tables.to_codes(path, lines["age_group"], AGE_GROUPS, groups),
            "age_years": years,
            "age_years_sd": spreads["age_years_sd"],
            "gender": tables.to_codes(path, lines["gender"], GENDERS, "m or f, or 0 (m) or 1 (f)"),
            "attractiveness": scores,
            "attractiveness_sd": spreads["score_sd"],
            "row": tables.to_rows(path, lines),
        }
    )


def _is_inside(image: str) -> bool:
    return "\\" not in image and not {"", ".", ".."} & set(image.split("/"))


def _keep_subjects_apart(path: Path, rows: pd.DataFrame, fold: pd.Series) -> None:
    """Refuse a table that puts a person into two folds: training and test would share them."""
    several = fold.groupby(rows["subject"]).nunique() > 1
    if several.any():
        subject = several.idxmax()
        theirs = fold[rows["subject"] == subject].drop_duplicates().index
        raise UserError(
            f"{path}: subject {subject} is both for training and for test, in line {theirs[0]} and in line "
            f"{theirs[1]}: put all images of a person into one fold or split"
        )


def _labelled(rows: pd.DataFrame) -> pd.Series:
    """Return the age groups of a table: its own, and those of its years where it has none."""
    return rows["age_group"].fillna(partition(rows))


TABLE_LABELS = ("age_years", "age_group", "gender", "attractiveness")
CSV = Dataset(
    "csv",
    read_csv_table,
    (
        Protocol(
            name="csv_folds",
            description="the five folds of the table, or where it has none whole persons dealt within age group and "
            "annotated gender (folds.deal_folds); a face with any label counts, for the tasks it has labels of",
            age_group=_labelled,
            age_labels=PARTITION_LABELS,
            labels=TABLE_LABELS,
            complete=False,
            stratum=_labelled,
            requires="fold",
        ),
        Protocol(
            name="csv_split",
            description="the table's split: tested on its test faces (fold 0, the only one), or on its val faces where "
            "there is no test, trained on the others; a face with any label counts, for the tasks it has labels of",
            age_group=_labelled,
            age_labels=PARTITION_LABELS,
            labels=TABLE_LABELS,
            complete=False,
            folds=1,
            fold=lambda rows: tested_first(rows["split"]),
            stratum=_labelled,
            requires="split",
        ),
    ),
)
