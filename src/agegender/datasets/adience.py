"""Adience (Eidinger, Enbar, Hassner, TIFS 2014): the five fold files, the images they stand for, and the protocols."""

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd

from agegender.datasets.adience_lists import read_lists
from agegender.datasets.dataset import Dataset
from agegender.datasets.labels import EIDINGER, MIVOLO, group_around_label, group_of_label
from agegender.datasets.protocol import Protocol
from agegender.datasets.source import Source, open_source
from agegender.errors import UserError

EXPECTED = (
    "Adience's folder, holding aligned/ or faces/ and fold_0_data.txt to fold_4_data.txt, beside them or in folds/"
)
HEADER = [
    *("user_id", "original_image", "face_id", "age", "gender"),
    *("x", "y", "dx", "dy", "tilt_ang", "fiducial_yaw_angle", "fiducial_score"),
]
# Of the published files fold_0_data.txt to fold_4_data.txt, since the corrections that Adience's page tells of.
FOLD_ROWS = (4496, 3745, 3953, 3459, 3834)
GENDER_ROWS = {"f": 9411, "m": 8192, "u": 1100, "empty": 784}
FIRST_LIST = re.compile(r"(.*?/)??(?:folds/)?fold_0_data\.txt")
PREFIXES = {"aligned": "landmark_aligned_face", "faces": "coarse_tilt_aligned_face"}

# What a column may hold: a name must not lead out of the image folder.
COLUMNS = {
    "user_id": (r"[^./\\][^/\\]*", "a Flickr user id"),
    "original_image": (r"[^./\\][^/\\]*", "a file name"),
    "face_id": (r"[0-9]+", "a number"),
    "age": (r"(\([0-9]+, [0-9]+\)|[0-9]+|None)?", "a range as in '(25, 32)', a number, None or nothing"),
    "gender": (r"[mfu]?", "m, f, u or nothing"),
}


def read_adience(
    root: Path, *, official: bool = True, variant: str = "auto", lists: Path | str | None = None
) -> pd.DataFrame:
    """Read all rows of the five fold files, in file order.

    `root` is Adience's folder or a .zip, also one that holds everything in one folder: `image` then begins with it.
    `variant` is `aligned`, `faces` or `auto`: `aligned` where that folder exists. Whether all images exist is not
    checked here (`manifest.missing_images`). `lists` is the folder or .zip of the lists that the authors trained with
    (`adience_lists.read_lists`).

    Columns: image, subject (the Flickr user), fold 0..4, age_group 0..7 (where the label is exactly one of the eight),
    age_years (<NA>: Adience annotates ranges), gender (0 m, 1 f), row, face_id, age_label, gender_label (as in the
    file), and those of the lists. With `official` rows and annotated genders are counted as in the published files.
    UserError names file, line and value.
    """
    with open_source(root, EXPECTED) as source:
        held = source.names()
        top = _find_top(held)
        names = {name.removeprefix(top) for name in held}
        table = pd.concat([_read_fold(source, top, names, fold) for fold in range(5)], ignore_index=True)
        path = source.path / top
    variant = _find_variant(table, names, variant, path)
    rows = _rows(table, variant)
    _check_users(rows)
    _check_copies(rows)
    if official:
        _check_published(table, path)
    if lists is not None:
        rows = rows.assign(**read_lists(Path(lists), rows))
    return rows.assign(image=top + rows["image"])


def _find_top(names: list[str]) -> str:
    """Return the folder that holds everything, as where a whole folder was zipped: "" or "name/"."""
    tops = [match[1] for match in map(FIRST_LIST.fullmatch, names) if match and match[1]]
    return next((top for top in tops if all(name.startswith(top) for name in names)), "")


def _rows(table: pd.DataFrame, variant: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image": _images(table, variant),
            "subject": table["user_id"],
            "fold": table["fold"].astype("Int64"),
            "age_group": group_of_label(table["age"]),
            "age_years": pd.Series(pd.NA, index=table.index, dtype="Int64"),
            "gender": table["gender"].map({"m": 0, "f": 1}).astype("Int64"),
            "row": table["row"],
            "face_id": table["face_id"],
            "age_label": table["age"],
            "gender_label": table["gender"],
        }
    )


def _images(table: pd.DataFrame, variant: str) -> pd.Series:
    file = PREFIXES[variant] + "." + table["face_id"] + "." + table["original_image"]
    return variant + "/" + table["user_id"] + "/" + file


def _find_variant(table: pd.DataFrame, names: set[str], variant: str, path: Path) -> str:
    """Return the image folder to read; UserError where it holds the other's images, or `auto` cannot tell."""
    if variant not in (*PREFIXES, "auto"):
        raise UserError(f"Adience has no variant '{variant}': choose from {', '.join(PREFIXES)}")
    present = [folder for folder in PREFIXES if any(name.startswith(f"{folder}/") for name in names)]
    for folder, other in (("aligned", "faces"), ("faces", "aligned")):
        if variant in (folder, "auto"):
            stray = sorted(name for name in names if name.startswith(f"{folder}/") and f"/{PREFIXES[other]}." in name)
            if stray:
                raise UserError(
                    f"{path / folder} holds {len(stray)} images of {other}/, such as {stray[0]}: published accuracies "
                    f"differ between the two, move these to {path / other}"
                )
    if variant == "auto" and len(present) == 2:
        faces = table.drop_duplicates(["user_id", "face_id", "original_image"])
        held = {folder: _images(faces, folder).isin(names) for folder in PREFIXES}
        if (held["faces"] & ~held["aligned"]).any():
            raise UserError(
                f"{path} is a mix, aligned/ holds {held['aligned'].sum()} and faces/ {held['faces'].sum()} of the "
                f"{len(faces)} images, and published accuracies differ between the two: complete aligned/, or choose "
                "with data.settings.variant=aligned or data.settings.variant=faces"
            )
    return variant if variant != "auto" else (*present, "faces")[0]


def _check_published(table: pd.DataFrame, path: Path) -> None:
    """Refuse fold files that differ from the published ones, saying whether in the split or in the annotated gender."""
    rows = tuple(table["fold"].value_counts().reindex(range(5), fill_value=0).tolist())
    genders = table["gender"].replace("", "empty").value_counts().reindex(list(GENDER_ROWS), fill_value=0).to_dict()
    problems = []
    if rows != FOLD_ROWS:
        problems.append(
            f"the split ({', '.join(map(str, rows))} rows in fold 0 to 4, expected {', '.join(map(str, FOLD_ROWS))}; "
            "the page corrected the split files on 17 November 2014)"
        )
    if sum(rows) == sum(FOLD_ROWS) and genders != GENDER_ROWS:
        have, want = (", ".join(f"{kind} {n:,}" for kind, n in counts.items()) for counts in (genders, GENDER_ROWS))
        problems.append(
            f"the gender labels ({have}, expected {want}; the page corrected the gender labels on 15 December 2014)"
        )
    if problems:
        raise UserError(
            f"the fold files of {path} are not the published ones, they differ in {' and in '.join(problems)}: "
            "fetch all five again"
        )


def _read_fold(source: Source, top: str, names: set[str], fold: int) -> pd.DataFrame:
    """Read one fold file as text columns, with `fold` and `row`; UserError for anything that is not its format."""
    file = f"fold_{fold}_data.txt"
    name = next((top + name for name in (file, f"folds/{file}") if name in names), None)
    if name is None:
        raise UserError(f"{source.path / top} has no {file}: expected {EXPECTED}")
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


def _check_copies(rows: pd.DataFrame) -> None:
    """Refuse lists where rows of the same image carry conflicting labels; the published ones have none."""
    labels = ["age_label", "gender_label"]
    versions = rows.drop_duplicates(["image", *labels])
    conflicting = versions[versions.duplicated("image", keep=False)]
    if not conflicting.empty:
        image = conflicting["image"].iloc[0]
        first, second = (
            f"{row} (age {age or 'empty'}, gender {gender or 'empty'})"
            for row, age, gender in conflicting.loc[conflicting["image"] == image, ["row", *labels]].to_numpy()[:2]
        )
        raise UserError(
            f"{image} has conflicting labels, in {first} and in {second}: fetch the published fold files again"
        )


def _lists_of(protocol: Protocol, name: str, column: str, **sizes: tuple[int, ...]) -> Protocol:
    description = (
        f"the authors' own lists of {protocol.name}; their training and validation share users, persons and copies of "
        "images"
    )
    counts = {**protocol.counts, **sizes}
    return replace(protocol, name=name, description=description, lists=column, tests_as=protocol.name, counts=counts)


# The counts of the protocols were computed from the fold files. `lmtcnn_joint` is the list of Lee, Chan, Chen, Chen
# (MIPR 2018) as their script `datapreparation.py` makes it, `age_only` and `gender_only` those of Levi and Hassner
# (CVPRW 2015); the sizes of `lmtcnn_lists` are those of the lists in the repository of Lee et al.
LMTCNN_JOINT = Protocol(
    name="lmtcnn_joint",
    description="age label exactly one of the eight groups and gender m or f; duplicate rows kept, '(25, 23)' lost",
    age_group=lambda rows: group_of_label(rows["age_label"]),
    variant="aligned",
    counts={
        "rows": (3879, 3005, 3121, 2866, 3387),
        "groups": (1427, 2162, 2125, 1653, 4897, 2300, 825, 869),
        "distinct": (16156,),
    },
)
AGE_ONLY = Protocol(
    name="age_only",
    description="age label exactly one of the eight groups; duplicate rows kept, '(25, 23)' lost",
    age_group=lambda rows: group_of_label(rows["age_label"]),
    labels=("age_group",),
    variant="aligned",
    counts={
        "rows": (4316, 3101, 3339, 2975, 3693),
        "groups": (2519, 2163, 2132, 1655, 4950, 2300, 830, 875),
    },
)
GENDER_ONLY = Protocol(
    name="gender_only",
    description="gender m or f; duplicate rows kept",
    age_group=lambda rows: group_of_label(rows["age_label"]),
    labels=("gender",),
    variant="aligned",
    counts={"rows": (4007, 3624, 3191, 3318, 3463)},
)

ADIENCE_PROTOCOLS = (
    LMTCNN_JOINT,
    AGE_ONLY,
    GENDER_ONLY,
    _lists_of(
        LMTCNN_JOINT,
        "lmtcnn_lists",
        "lists_agegender",
        train=(11136, 11905, 11814, 12056, 11593),
        validation=(1242, 1348, 1323, 1335, 1277),
    ),
    _lists_of(AGE_ONLY, "age_lists", "lists_age"),
    _lists_of(GENDER_ONLY, "gender_lists", "lists_gender"),
    Protocol(
        name="eidinger",
        description="age label exactly one of the eight groups, or '13', as '(8, 12)', or '(38, 42)', as "
        "'(38, 43)'; duplicate rows kept, '(25, 23)' lost",
        age_group=lambda rows: group_of_label(rows["age_label"], EIDINGER),
        labels=("age_group",),
        counts={
            "rows": (4319, 3287, 3340, 3004, 3693),
            "groups": (2519, 2163, 2301, 1655, 4950, 2350, 830, 875),
        },
    ),
    Protocol(
        name="mivolo",
        description="each face once; odd age labels moved to the group nearby, '(25, 23)' to '(25, 32)'; "
        "gender may be missing; published on faces/ images",
        age_group=lambda rows: group_of_label(rows["age_label"], MIVOLO),
        labels=("age_group",),
        distinct=True,
        variant="faces",
        counts={
            "rows": (4432, 3693, 3343, 3400, 3754),
            "groups": (2509, 2140, 2293, 1791, 5589, 2490, 909, 901),
        },
    ),
    Protocol(
        name="subject_exclusive",
        description="each face once; an age label counts when its whole range lies inside one group, '(25, 23)' as "
        "'(25, 32)'; a face with one usable label counts for that task only",
        age_group=lambda rows: group_around_label(rows["age_label"]),
        complete=False,
        distinct=True,
        counts={
            "rows": (4432, 3705, 3354, 3415, 3754),
            "age": (4377, 3110, 3299, 3069, 3679),
            "gender": (3995, 3609, 3137, 3306, 3445),
            "groups": (2491, 2140, 2124, 1642, 5095, 2340, 830, 872),
            "both": (16366,),
        },
    ),
)

ADIENCE = Dataset(
    "adience",
    lambda root, **options: (read_adience(root, **options), {}),
    ADIENCE_PROTOCOLS,
    counted=True,
    crop=(1.52, 0.48),
)
