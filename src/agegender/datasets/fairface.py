"""FairFace (Karkkainen, Joo, WACV 2021; CC BY 4.0): label files, nine age groups, five fixed folds.

Race is read for slices of the results only: it is a column of the manifest and never a task.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from agegender.datasets.columns import read_table, refuse, to_rows
from agegender.datasets.dataset import Dataset, Dropped
from agegender.datasets.folds import FOLDS, rank_in_strata
from agegender.datasets.label_files import read_outside
from agegender.datasets.protocol import Protocol
from agegender.datasets.source import Folder, Source, hash_of, open_source
from agegender.errors import UserError
from agegender.tasks import TASKS

EXPECTED = (
    "FairFace's folder or .zip, holding train/ and val/ (or one of them), with fairface_label_train.csv and "
    "fairface_label_val.csv in it or beside it"
)
FOLD_RULE = "stratified_by_file_v1"  # the rule of `_deal_folds`; a change of it is a new name
LABEL_FILES = ("fairface_label_train.csv", "fairface_label_val.csv")
IMAGE = r"^(?P<folder>.*/)?(?P<file>(?:train|val)/[^/]+\.(?i:jpe?g|png|webp))$"

# What a column may hold, as published; the fifth column, service_test, is not used.
AGES = {label.replace("70+", "more than 70"): group for group, label in enumerate(TASKS["age_decades"].labels)}
GENDERS = {"Male": 0, "Female": 1}
RACES = ("White", "Black", "Latino_Hispanic", "East Asian", "Southeast Asian", "Indian", "Middle Eastern")
LABELS = {"age": AGES, "gender": GENDERS, "race": RACES}
STRATA = ["age_decades", "gender", "race"]

# A spreadsheet reads 3-9 as 9 March or 3 September, 10-19 as 19 October or October 2019, which it keeps as 1 October
# 2019; no other label is a date to it. Day and month tell the label, in whatever order and form they are shown.
DATES = {"3-9": [[3, 9]], "10-19": [[10, 19], [10, 2019], [1, 10], [10, 10]]}
MONTHS = {"mar": 3, "sep": 9, "oct": 10}


def read_fairface(root: Path, *, labels: str = "auto") -> tuple[pd.DataFrame, Dropped]:
    """Read FairFace from a folder or a .zip: the faces in the order of the label files, and what was dropped and why.

    `labels` is a label file (CSV) or the folder of the two; by default ("auto") they are looked for among the images,
    then beside the folder or .zip. A published part (train, val) without any image is dropped as not downloaded; other
    missing images keep their rows (`manifest.missing_images`).

    Columns: image, subject (<NA>: unknown; byte-identical faces of a part share one), fold (0..4 of the published
    training faces, <NA> of the validation faces), age_group and age_years (<NA>), age_decades 0..8, gender (0 m, 1 f),
    race (text, for slices only), published_part (train or val), row, repaired (the label as a spreadsheet had left it,
    <NA> elsewhere), sha256 (of the file's bytes; <NA> where it is missing). UserError names file, line and value.
    """
    with open_source(root, EXPECTED) as source:
        folder, files = _find_faces(source)
        table = pd.concat([_read_labels(*file) for file in _label_files(source, folder, labels)], ignore_index=True)
        dropped: Dropped = {}
        table = _drop_rows(table, files, dropped)
        unlabelled = files[~files.isin(table["file"])]
        dropped["image without a row in the label files"] = (folder + unlabelled).tolist()
        if table.empty:
            raise UserError(
                f"no label row names an image of {source.path}, such as {files.iloc[0]}: use its own labels"
            )
        here = folder + table["file"][table["file"].isin(files)]
        digests = {name: hash_of(source, name) for name in here}  # the builder lists those that cannot be read
    rows = _deal_folds(_rows(table, folder, digests))
    return rows, {reason: names for reason, names in dropped.items() if names}


def _rows(table: pd.DataFrame, folder: str, digests: Mapping[str, str | None]) -> pd.DataFrame:
    """Return the manifest's rows for those of the label files, without subject and fold."""
    image = folder + table["file"]
    unknown = pd.Series(pd.NA, index=table.index, dtype="Int64")
    return pd.DataFrame(
        {
            "image": image,
            "age_group": unknown,
            "age_years": unknown,
            "age_decades": table["age"].map(AGES).astype("Int64"),
            "gender": table["gender"].map(GENDERS).astype("Int64"),
            "race": table["race"],
            "published_part": table["file"].str.partition("/")[0],
            "row": table["row"],
            "repaired": table["repaired"],
            "sha256": image.map(digests).astype("string"),
        }
    )


def _find_faces(source: Source) -> tuple[str, pd.Series]:
    """Return the folder of train/ and val/ within the source ("" or "name/") and the faces' names below it."""
    found = pd.Series(source.names(), dtype="string").str.extract(IMAGE).dropna(subset="file")
    folders = found["folder"].fillna("").drop_duplicates().tolist()
    if not folders:
        raise UserError(f"{source.path} holds no face: expected {EXPECTED}")
    if len(folders) > 1:
        places = " and in ".join(f"'{folder or '.'}'" for folder in folders[:2])
        raise UserError(f"{source.path} holds faces in {places}: choose one of these folders as data.source")
    return folders[0], found["file"]


def _label_files(source: Source, folder: str, labels: str) -> list[tuple[Path, bytes]]:
    """Return path and content of the label files; of each name the first one found."""
    given = Path(labels).expanduser()
    if labels != "auto" and not given.is_dir():
        return [(given, read_outside(Folder(given.parent), given.name))]
    elsewhere = Folder(source.path.absolute().parent if labels == "auto" else given)
    inside = set(source.names()) if labels == "auto" else set()
    found = []
    for file in LABEL_FILES:
        name = next((name for name in (folder + file, file) if name in inside), None)
        if name:
            found.append((source.path / name, source.read(name)))
        elif (elsewhere.path / file).is_file():
            found.append((elsewhere.path / file, read_outside(elsewhere, file)))
    if not found:
        place = f"in {source.path} or beside it" if labels == "auto" else f"in {given}"
        raise UserError(
            f"there is no {' and no '.join(LABEL_FILES)} {place}: put them there, or say where they are with "
            "data.settings.labels=/path/to/them"
        )
    return found


def _read_labels(path: Path, content: bytes) -> pd.DataFrame:
    """Read a label file as text columns file, age, gender, race, with `row` and, for dates undone, `repaired`."""
    needed = ["file", *LABELS]
    table = read_table(path, content, needed, "file,age,gender,race,service_test, separated by commas")[needed]
    undated = table["age"].map(_undate).astype("string")
    repaired = table.assign(age=undated.fillna(table["age"]))
    wrong = {name: ~repaired[name].isin(list(values)) for name, values in LABELS.items()}
    wrong["file"] = ~table["file"].str.fullmatch(r"(train|val)/[^/\\]+").astype(bool)
    for name in wrong:
        expected = "a name as in train/1.jpg" if name == "file" else f"one of {', '.join(LABELS[name])}"
        refuse(path, table[name], wrong[name], expected)
    return repaired.assign(row=to_rows(path, table), repaired=table["age"].where(undated.notna()))


def _undate(label: str) -> str | None:
    """Return the age label that a spreadsheet has turned into this date; None for anything else."""
    if label in AGES:
        return None
    words = re.findall(r"[A-Za-z]+|[0-9]+", re.sub(r"[T ][0-9]+:.*", "", label))
    if not all(word.isdigit() or word[:3].lower() in MONTHS for word in words):
        return None
    numbers = [int(word) if word.isdigit() else MONTHS[word[:3].lower()] for word in words]
    if len(numbers) == 3:  # with a year: the one of four digits, or else the last
        numbers.remove(max(numbers) if max(numbers) > 31 else numbers[-1])
    return next((label for label, dates in DATES.items() if sorted(numbers) in dates), None)


def _drop_rows(table: pd.DataFrame, files: pd.Series, dropped: Dropped) -> pd.DataFrame:
    """Remove repeated rows and the rows of a published part without any image, noting them in `dropped`.

    UserError for an image with two different labels.
    """
    conflicting = table.groupby("file")[list(LABELS)].transform("nunique").gt(1).any(axis=1)
    if conflicting.any():
        face = table[table["file"] == table.loc[conflicting, "file"].iloc[0]]
        first, second = face.drop_duplicates(list(LABELS))["row"].iloc[:2]
        raise UserError(
            f"{face['file'].iloc[0]} has two rows with different labels, {first} and {second}: remove the wrong one"
        )
    repeated = table.duplicated("file")
    dropped["row repeated with the same labels"] = table.loc[repeated, "row"].tolist()
    table = table[~repeated]
    part = table["file"].str.extract("^([^/]*)", expand=False)
    downloaded = table["file"].isin(files).groupby(part).transform("any")
    for name in part[~downloaded].unique():
        reason = f"row of the published part {name}, of which no image is here"
        dropped[reason] = table.loc[~downloaded & (part == name), "file"].tolist()
    return table[downloaded].reset_index(drop=True)


def _deal_folds(rows: pd.DataFrame) -> pd.DataFrame:
    """Add subject and fold: copies of a face are one subject, and go where the first of them goes.

    The published training faces are dealt to folds 0, 1, 2, 3, 4, 0, ... sorted by age group, annotated gender,
    annotated race and the md5 of the stem: every such stratum, age group and (age group, gender) is spread evenly.
    """
    same = [rows["published_part"], rows["sha256"].fillna(rows["image"])]
    first = rows.groupby(same)["image"].transform("first")
    faces = rows[(rows["image"] == first) & (rows["published_part"] == "train")]
    faces = faces.assign(rank=rank_in_strata(faces, STRATA)).sort_values([*STRATA, "rank"])
    dealt = pd.Series(range(len(faces)), faces["image"]) % FOLDS
    subject = first.where(first.duplicated(keep=False)).astype("string")
    return rows.assign(subject=subject, fold=first.map(dealt).astype("Int64"))


def _decades(rows: pd.DataFrame) -> pd.Series:
    return rows["age_decades"]


FAIRFACE = Dataset(
    "fairface",
    read_fairface,
    (
        Protocol(
            name="fairface_folds",
            description=f"the published training faces in five folds ({FOLD_RULE}: dealt within every age group, "
            "annotated gender and annotated race, byte-identical faces together); the published validation faces are "
            "left out; subjects are unknown, so a person may stand in several folds",
            age_group=_decades,
            labels=("age_decades", "gender"),
            age_task="age_decades",
            stratum=_decades,
            counts={"distinct": (86744,)},  # rows of the published fairface_label_train.csv
        ),
        Protocol(
            name="fairface_published",
            description="the published parts: tested on the validation faces (fold 0, the only one), trained on the "
            "training faces; subjects are unknown, so a person, and even a byte-identical face, may stand in both",
            age_group=_decades,
            labels=("age_decades", "gender"),
            age_task="age_decades",
            folds=1,
            fold=lambda rows: rows["published_part"].map({"val": 0, "train": -1}).astype("Int64"),
            stratum=_decades,
            counts={"distinct": (97698,)},  # and 10,954 rows of fairface_label_val.csv
        ),
    ),
    crop=(0.98, 0.42),
)
