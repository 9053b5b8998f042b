"""MORPH-II, the non-commercial release of 2008: real ages of persons photographed several times.

`morph_2008_nonCommercial.csv` has, among others, the columns id_num (the person), age (in years) and photo (the image,
as in `Album2/009055_1M54.JPG`): paplhjak/Facial-Age-Estimation-Benchmark [0b11d7a] `facebase/to_json/morph_to_json.py`,
iwbn/age-estimation-ranking-tensorflow [da3d91d] `data/morph.py`. The photo's name ends in M or F, the annotated gender,
and the age: shamangary/SSR-Net [cd9d74c] `data/TYY_MORPH_create_db.py`.
"""

from pathlib import Path

import pandas as pd

from agegender.datasets.columns import read_table, refuse, refuse_repeats, to_rows, to_years
from agegender.datasets.dataset import Dataset, Dropped
from agegender.datasets.folds import FOLDS, deal_folds, rank_in_strata
from agegender.datasets.labels import group_of_years
from agegender.datasets.protocol import by_partition
from agegender.datasets.source import open_source
from agegender.errors import UserError

TABLE = "morph_2008_nonCommercial.csv"
EXPECTED = f"MORPH-II's folder or .zip, holding {TABLE} and beside it Album2/"
PHOTO = r".*_[0-9]+([MF])[0-9]+\.\w+"


def read_morph2(root: Path) -> tuple[pd.DataFrame, Dropped]:
    """Read MORPH-II from a folder or a .zip, in the order of its table.

    Columns: image, subject (id_num), fold 0..4 (whole subjects, `folds.deal_folds` within age group and annotated
    gender), age_group 0..7 (the partition of years), age_years, gender (0 m, 1 f), row. UserError for a missing table,
    and with file, line and value for a wrong label.
    """
    with open_source(root, EXPECTED) as source:
        found = [name for name in source.names() if name.rpartition("/")[2] == TABLE]
        if len(found) != 1:
            raise UserError(f"{source.path} has {len(found)} files {TABLE}: expected {EXPECTED}")
        path, content = source.path / found[0], source.read(found[0])
    columns = ["id_num", "age", "photo"]
    table = read_table(path, content, columns, f"columns separated by commas, {', '.join(columns)} among them")[columns]
    refuse(path, table["id_num"], table["id_num"] == "", "the person's number")
    refuse(path, table["age"], table["age"] == "", "an age in years")
    gender = table["photo"].str.extract(f"^{PHOTO}$", expand=False).map({"M": 0, "F": 1}).astype("Int64")
    refuse(path, table["photo"], gender.isna(), "a name as in Album2/009055_1M54.JPG")
    refuse_repeats(path, table["photo"])
    years = to_years(path, table["age"])
    rows = pd.DataFrame(
        {
            "image": found[0].removesuffix(TABLE) + table["photo"],
            "subject": table["id_num"],
            "age_group": group_of_years(years, "partition"),
            "age_years": years,
            "gender": gender,
            "row": to_rows(path, table),
        }
    ).reset_index(drop=True)
    return rows.assign(fold=deal_folds(rows, ["age_group", "gender"])), {}


def _deal_images(rows: pd.DataFrame) -> pd.Series:
    return (rank_in_strata(rows, ["age_group", "gender"], "morph2_random_v1/") % FOLDS).astype("Int64")


MORPH2 = Dataset(
    "morph2",
    read_morph2,
    (
        by_partition(
            name="morph2_exclusive",
            description="five folds of whole persons, dealt within age group and annotated gender",
            labels=("age_years", "gender"),
        ),
        by_partition(
            name="morph2_random",
            description="five folds of images, 80 % train and 20 % test as in many papers, each image drawn for itself "
            "within age group and annotated gender: most persons of the test faces are also trained on",
            labels=("age_years", "gender"),
            fold=_deal_images,
            shares_subjects=True,
        ),
    ),
)
