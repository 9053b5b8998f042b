"""The lists that the authors trained with, where a protocol must use the very same ones.

Lee, Chan, Chen, Chen (MIPR 2018) publish them in their repository's `train_val_test_per_fold_agegender/`, Levi and
Hassner (CVPRW 2015) in `train_val_txt_files_per_fold/`: a folder `test_fold_is_k` for each test fold k with
`agegender_train.txt`, `agegender_val.txt`, `agegender_test.txt`, or the same of `age_` and of `gender_`. A line is
`user/landmark_aligned_face.<face_id>.<image>` and the labels, as in `7@N01/landmark_aligned_face.5.1_o.jpg 4 0`.
Their scripts draw validation image by image and lose at most one line of each fold between validation and training.
"""

from pathlib import Path

import pandas as pd

from agegender.datasets.folds import FOLDS
from agegender.datasets.label_files import read_outside
from agegender.datasets.source import Source, open_source
from agegender.errors import UserError

EXPECTED = "the authors' lists, a folder or .zip holding test_fold_is_0/ to test_fold_is_4/"
KINDS = {"agegender": ("age_group", "gender"), "age": ("age_group",), "gender": ("gender",)}
LABELS = {"age_group": ("[0-7]", "an age group 0 to 7"), "gender": ("[01]", "a gender 0 or 1")}
PARTS = {"val": "validation", "train": "train", "test": "test"}  # what a list's name calls a part, and what we do
LOST = 1  # lines of each test fold, at most, that the authors' scripts lose


def read_lists(path: Path, rows: pd.DataFrame) -> dict[str, pd.Series]:
    """Read the lists under `path` as columns for `rows`, a manifest of the fold files: one for each kind found.

    Column `lists_agegender`, `lists_age` or `lists_gender` (string): the part of each row in test fold 0..4, as in
    "train test validation train none"; empty for rows that are in no list. UserError for lists that are missing,
    malformed or cut off, let training and test overlap, or contradict the fold files.
    """
    with open_source(path, EXPECTED) as source:
        names = set(source.names())
        kinds = [kind for kind in KINDS if names & {_name(fold, kind, part) for fold in range(FOLDS) for part in PARTS}]
        if not kinds:
            raise UserError(f"{source.path} has no {_name(0, 'agegender', 'test')}: expected {EXPECTED}")
        return {f"lists_{kind}": _read_kind(source, kind, rows) for kind in kinds}


def _name(fold: int, kind: str, part: str) -> str:
    return f"test_fold_is_{fold}/{kind}_{part}.txt"


def _read_kind(source: Source, kind: str, rows: pd.DataFrame) -> pd.Series:
    face = rows["image"].str.replace(r"^\w+/", "", regex=True)
    face = face.str.replace("/coarse_tilt_aligned_face.", "/landmark_aligned_face.", regex=False)
    rows = rows.assign(face=face, copy=face.groupby(face).cumcount())
    parts = pd.DataFrame("none", index=rows.index, columns=range(FOLDS), dtype="string")
    for fold in range(FOLDS):
        lines = pd.concat([_read_list(source, fold, kind, part) for part in PARTS], ignore_index=True)
        parts.loc[_find(source.path, lines, rows, KINDS[kind], fold), fold] = lines["part"].to_numpy()
    listed = (parts != "none").any(axis=1)
    for fold in range(FOLDS):
        _check_complete(source.path, kind, rows[listed & (parts[fold] == "none")], fold)
    return parts[0].str.cat(parts[list(range(1, FOLDS))], sep=" ").where(listed, "")


def _read_list(source: Source, fold: int, kind: str, part: str) -> pd.DataFrame:
    """Read one list: `face`, the kind's labels, `part` and `place` of each line."""
    name, labels = _name(fold, kind, part), KINDS[kind]
    text = read_outside(source, name).decode("utf-8-sig", errors="replace")
    lines = pd.Series(text.rstrip().splitlines() or [""], dtype="string")
    pattern = "".join(f" (?P<{label}>{LABELS[label][0]})" for label in labels)
    table = lines.str.extract(rf"^(?P<face>[^/\s]+/landmark_aligned_face\.[0-9]+\.[^/\s]+){pattern}$")
    wrong = table["face"].isna().to_numpy(bool)
    if wrong.any():
        number = int(wrong.argmax())
        raise UserError(
            f"{source.path / name} line {number + 1} is '{lines[number][:120]}', expected "
            f"user/landmark_aligned_face.face_id.image and {' and '.join(LABELS[label][1] for label in labels)}: "
            "the list is cut off or edited, fetch it again"
        )
    place = [f"{name}:{number}" for number in range(1, len(table) + 1)]
    return table.astype(dict.fromkeys(labels, "Int64")).assign(part=PARTS[part], place=place)


def _find(path: Path, lines: pd.DataFrame, rows: pd.DataFrame, labels: tuple[str, ...], fold: int) -> pd.Index:
    """Return the rows that the lines of a test fold stand for: the k-th line of a face is its k-th row."""
    lines = lines.assign(copy=lines.groupby("face").cumcount())
    places = rows.reset_index(names="index")[["face", "copy", "index"]]
    known = rows.drop_duplicates("face")[["face", "fold", "row", *labels]]  # the copies of a face agree in these
    found = lines.merge(places, on=["face", "copy"], how="left")
    found = found.merge(known, on="face", how="left", suffixes=("", "_known"))
    problems = [
        (found["row"].isna(), "which the fold files do not hold"),
        ((found["part"] == "test") != (found["fold"] == fold), "where {row} has it: training and test would overlap"),
        (found["index"].isna(), "which the fold files do not hold that often ({row})"),
    ]
    for label in labels:
        differs = found[label] != found[f"{label}_known"].fillna(-1)
        problems.append((differs, f"with {label} {{{label}}} where {{row}} has {{{label}_known}}"))
    for wrong, problem in problems:
        if wrong.any():
            line = found[wrong.to_numpy(bool)].iloc[0]
            raise UserError(
                f"{path / line['place']} lists {line['face']}, {problem.format(**line)}: "
                "fetch lists and fold files of one origin"
            )
    return pd.Index(found["index"].astype("int64"))


def _check_complete(path: Path, kind: str, absent: pd.DataFrame, fold: int) -> None:
    """Refuse lists of a test fold that lack faces, the rows `absent`, which lists of this kind hold elsewhere."""
    tested = absent["fold"] == fold
    for missing, allowed, parts in ((absent[tested], 0, ("test",)), (absent[~tested], LOST, ("train", "val"))):
        if len(missing) > allowed:
            files = " and ".join(_name(fold, kind, part) for part in parts)
            raise UserError(
                f"{path}: {files} lack {len(missing)} faces that the lists of other folds hold, such as "
                f"{missing['face'].iloc[0]} (the authors' lists lack at most {allowed}): fetch them again"
            )
