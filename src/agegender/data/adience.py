"""Reader of Adience (Eidinger, Enbar, Hassner, TIFS 2014): the five fold files and the images they stand for."""

from pathlib import Path

import pandas as pd

from agegender.data.protocols import group_of_label
from agegender.data.source import Source, open_source
from agegender.errors import UserError

EXPECTED = (
    "Adience's folder, holding aligned/ or faces/ and fold_0_data.txt to fold_4_data.txt, beside them or in folds/"
)
HEADER = [
    *("user_id", "original_image", "face_id", "age", "gender"),
    *("x", "y", "dx", "dy", "tilt_ang", "fiducial_yaw_angle", "fiducial_score"),
]
FOLD_ROWS = (4496, 3745, 3953, 3459, 3834)  # of the published files fold_0_data.txt to fold_4_data.txt
PREFIXES = {"aligned": "landmark_aligned_face", "faces": "coarse_tilt_aligned_face"}

# What a column may hold: a name must not lead out of the image folder.
COLUMNS = {
    "user_id": (r"[^./\\][^/\\]*", "a Flickr user id"),
    "original_image": (r"[^./\\][^/\\]*", "a file name"),
    "face_id": (r"\d+", "a number"),
    "age": (r"(\(\d+, \d+\)|\d+|None)?", "a range as in '(25, 32)', a number, None or nothing"),
    "gender": (r"[mfu]?", "m, f, u or nothing"),
}


def read_adience(root: Path, *, official: bool = True, variant: str = "auto") -> pd.DataFrame:
    """Read all rows of the five fold files, in file order.

    `root` is Adience's folder (or a .zip of its content). `variant` is `aligned`, `faces`
    or `auto`: `aligned` where that folder exists. Whether they exist is not checked here (`manifest.missing_images`).

    Columns: image, subject (the Flickr user), fold 0..4, age_group 0..7 (where the label is exactly one of the eight),
    age_years (<NA>: Adience annotates ranges), gender (0 m, 1 f), row, face_id, age_label, gender_label (as in the
    file). With `official` each file must have as many rows as the published one. UserError names file, line and value.
    """
    with open_source(root, EXPECTED) as source:
        names = source.names()
        if variant == "auto":
            variant = "aligned" if any(name.startswith("aligned/") for name in names) else "faces"
        if variant not in PREFIXES:
            raise UserError(f"Adience has no variant '{variant}': choose from {', '.join(PREFIXES)}")
        table = pd.concat([_read_fold(source, set(names), fold, official) for fold in range(5)], ignore_index=True)

    user, face, image = table["user_id"], table["face_id"], table["original_image"]
    rows = pd.DataFrame(
        {
            "image": f"{variant}/" + user + f"/{PREFIXES[variant]}." + face + "." + image,
            "subject": user,
            "fold": table["fold"].astype("Int64"),
            "age_group": group_of_label(table["age"]),
            "age_years": pd.Series(pd.NA, index=table.index, dtype="Int64"),
            "gender": table["gender"].map({"m": 0, "f": 1}).astype("Int64"),
            "row": table["row"],
            "face_id": face,
            "age_label": table["age"],
            "gender_label": table["gender"],
        }
    )
    _check_users(rows)
    return rows


def _read_fold(source: Source, names: set[str], fold: int, official: bool) -> pd.DataFrame:
    """Read one fold file as text columns, with `fold` and `row`; UserError for anything that is not its format."""
    file = f"fold_{fold}_data.txt"
    name = next((name for name in (file, f"folds/{file}") if name in names), None)
    if name is None:
        raise UserError(f"{source.path} has no {file}: expected {EXPECTED}")
    path = source.path / name
    header, *lines = _read_lines(source, name)
    if header.split("\t") != HEADER:
        expected = " ".join(HEADER)
        raise UserError(f"{path} line 1: the header is '{header[:80]}', expected, separated by tabs, {expected}")
    for number, line in enumerate(lines, start=2):
        columns = line.count("\t") + 1
        if columns != len(HEADER):
            problem = "the file is cut off" if number == len(lines) + 1 else "the line is damaged"
            raise UserError(
                f"{path} line {number}: {columns} columns, expected {len(HEADER)}: {problem}, fetch the file again"
            )
    table = pd.DataFrame([line.split("\t") for line in lines], columns=HEADER, dtype="string")
    _check_values(table, path)
    if official and len(table) != FOLD_ROWS[fold]:
        raise UserError(
            f"{path} has {len(table)} rows where the published list has {FOLD_ROWS[fold]}: "
            "it is not the published list, fetch it again"
        )
    return table.assign(fold=fold, row=[f"{file}:{line}" for line in range(2, len(table) + 2)])


def _check_values(table: pd.DataFrame, path: Path) -> None:
    for column, (pattern, expected) in COLUMNS.items():
        wrong = ~table[column].str.fullmatch(pattern).to_numpy(bool)
        if wrong.any():
            first = int(wrong.argmax())
            raise UserError(
                f"{path} line {first + 2}: {column} is '{table[column].iloc[first]}', expected {expected}: "
                "correct the line or fetch the file again"
            )


def _read_lines(source: Source, name: str) -> list[str]:
    try:
        text = source.read(name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{source.path / name} is not a UTF-8 text file ({error}): fetch it again") from error
    return text.replace("\r\n", "\n").rstrip("\n").split("\n")


def _check_users(rows: pd.DataFrame) -> None:
    """Refuse lists that put a user into two folds: training and test would share a person."""
    folds = rows.groupby("subject")["fold"].nunique()
    if (folds > 1).any():
        user = folds.index[folds > 1][0]
        first, second = rows[rows["subject"] == user].drop_duplicates("fold")["row"].iloc[:2]
        raise UserError(f"user {user} stands in two folds, {first} and {second}: fetch the published fold files again")
