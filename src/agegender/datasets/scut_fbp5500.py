"""SCUT-FBP5500 (Liang, Lin, Jin, Xie, Li, arXiv 1801.06345): attractiveness, the mean of 60 people's scores.

Layout as lucasxlu/ComboLoss [ff1e725] `data/datasets.py` reads it: the images in `Images/`, the published folds in
`train_test_files/5_folders_cross_validations_files/cross_validation_1/train_1.txt`, `test_1.txt` and so on to 5, a line
being an image and its score, as in `AF1031.jpg 2.6`. An image's name says what is annotated: AF, AM, CF, CM in the
second version (brunoalano/fastai-scut-fbp5500 [e57d73e] `fastai-scut-fbp5500.csv`), fty, mty, ftw, mtw in the first
(HCIILAB/SCUT-FBP5500-Database-Release [be71d4f] `data/2/test_2.txt`). The README there: 5,500 faces, 4,400 train and
1,100 test in each fold, scores from 1 to 5, non-commercial research only.
"""

from pathlib import Path

import pandas as pd

from agegender.datasets.columns import SCORES, read_table, refuse, refuse_repeats, to_numbers, to_rows
from agegender.datasets.dataset import Dataset, Dropped
from agegender.datasets.folds import FOLDS
from agegender.datasets.protocol import Protocol
from agegender.datasets.source import Source, open_source
from agegender.errors import UserError

LISTS = "train_test_files/5_folders_cross_validations_files"
EXPECTED = f"SCUT-FBP5500's folder or .zip, holding Images/ and {LISTS}/"
TRAINED, TESTED = 4400, 1100  # faces of each fold
IMAGE = r"(?:[AC](?P<second>[FM])|(?P<first>[fm])t[yw])[0-9]+\.\w+"


def read_scut_fbp5500(root: Path, *, official: bool = True) -> tuple[pd.DataFrame, Dropped]:
    """Read SCUT-FBP5500 from a folder or a .zip: the faces in the order of the five test lists.

    With `official` the lines of the lists are counted.

    Columns: image, subject (<NA>: unknown), fold 0..4 (published 1..5), age_group and age_years (<NA>), gender (0 m, 1
    f), attractiveness (Float64, 1..5), row. UserError for missing lists, for lists that are not five folds of the same
    faces and scores, and with file, line and value for a wrong line.
    """
    with open_source(root, EXPECTED) as source:
        top = next(
            (name.removesuffix(_list(0, "test")) for name in source.names() if name.endswith(_list(0, "test"))), None
        )
        if top is None:
            raise UserError(f"{source.path} has no {_list(0, 'test')}: expected {EXPECTED}")
        tests = [_read_list(source, top + _list(fold, "test"), TESTED if official else None) for fold in range(FOLDS)]
        trains = [
            _read_list(source, top + _list(fold, "train"), TRAINED if official else None) for fold in range(FOLDS)
        ]
        path = source.path / top / LISTS
    rows = pd.concat([test.assign(fold=fold) for fold, test in enumerate(tests)], ignore_index=True)
    _check_folds(path, rows, trains)
    unknown = pd.Series(pd.NA, index=rows.index)
    return rows.assign(
        image=f"{top}Images/" + rows["image"],
        fold=rows["fold"].astype("Int64"),
        subject=unknown.astype("string"),
        age_group=unknown.astype("Int64"),
        age_years=unknown.astype("Int64"),
    ), {}


def _list(fold: int, part: str) -> str:
    return f"{LISTS}/cross_validation_{fold + 1}/{part}_{fold + 1}.txt"


def _read_list(source: Source, name: str, lines: int | None) -> pd.DataFrame:
    """Read a list as image, gender, attractiveness and row; UserError unless it has so many `lines`."""
    path = source.path / name
    table = read_table(path, source.read(name), ["image", "score"], "", header=False, separator=" ")
    if lines not in (None, len(table)):
        raise UserError(f"{path} has {len(table):,} lines, {lines:,} are published: fetch it again")
    kinds = table["image"].str.extract(f"^{IMAGE}$")
    refuse(path, table["image"], kinds.isna().all(axis=1), "a name as in AF1031.jpg or fty1031.jpg")
    refuse(path, table["score"], table["score"] == "", "a score")
    refuse_repeats(path, table["image"])
    letters = kinds["second"].fillna(kinds["first"]).str.lower()
    return pd.DataFrame(
        {
            "image": table["image"],
            "gender": letters.map({"m": 0, "f": 1}).astype("Int64"),
            "attractiveness": to_numbers(path, table["score"], SCORES),
            "row": to_rows(path, table),
        }
    )


def _check_folds(path: Path, rows: pd.DataFrame, trains: list[pd.DataFrame]) -> None:
    """Refuse lists whose folds overlap, or where a fold is not trained on just the faces and scores of the others."""
    twice = rows.loc[rows["image"].duplicated(), ["image", "row"]]
    if not twice.empty:
        image, row = twice.astype(str).iloc[0]
        raise UserError(f"{path}: {image} is tested in two folds, again in {row}: fetch it again")
    for fold, train in enumerate(trains):
        others = rows[rows["fold"] != fold].set_index("image")["attractiveness"]
        scores = train.set_index("image")["attractiveness"]
        if not scores.sort_index().equals(others.sort_index()):
            name = Path(_list(fold, "train")).name
            raise UserError(
                f"{path}: {name} does not hold the faces and scores of the other test lists: fetch it again"
            )


PROTOCOL = Protocol(
    name="scut_fbp5500_folds",
    description="the published five folds; subjects are unknown, so a person may stand in several folds",
    age_group=lambda rows: rows["age_group"],
    labels=("attractiveness",),
    stratum=lambda rows: rows["attractiveness"].round(),
    counts={"distinct": (5500,)},
)
SCUT_FBP5500 = Dataset("scut_fbp5500", read_scut_fbp5500, (PROTOCOL,))
