"""ChaLearn Looking at People 2015 and 2016, and of APPA-REAL: apparent age, the mean of many guesses.

Layouts as public code reads them:

* 2015: `train15_gt.csv` and `valid15_gt.csv`, lines of image, mean, standard deviation without a header, the images
  under `Train/` and `Valid/` (gaobb/DLDL-v2 [2f3f446] `datasets/chalearn15-gen.lua`);
* 2016: `train_gt.csv`, `valid_gt.csv`, `test_gt.csv` with a header image, mean, stdv, the images under `train/`,
  `valid/`, `test/` (paplhjak/Facial-Age-Estimation-Benchmark [0b11d7a] `facebase/to_json/clap2016_to_json.py`);
* APPA-REAL: `gt_avg_train.csv`, `gt_avg_valid.csv`, `gt_avg_test.csv` with file_name, apparent_age_avg,
  apparent_age_std and others (the same, `appareal_to_json.py`); of 000001.jpg the cropped face is
  `train/000001.jpg_face.jpg` (yu4u/age-estimation-pytorch [b73d91c] `dataset.py`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from agegender.datasets.columns import read_table, refuse, refuse_repeats, to_rows, to_spreads, to_years
from agegender.datasets.dataset import Dataset, Dropped
from agegender.datasets.folds import tested_first
from agegender.datasets.labels import group_of_years
from agegender.datasets.protocol import by_partition
from agegender.datasets.source import Source, open_source
from agegender.errors import UserError


@dataclass(frozen=True)
class Layout:
    """How one of the three is laid out.

    `lists`: part (train, val, test) -> name of its list. `columns`: of image, mean and standard deviation. `suffix`:
    what an image's name has more than its list says. `sizes`: published number of lines per part, where public.
    """

    title: str
    lists: Mapping[str, str]
    columns: tuple[str, str, str] = ("image", "mean", "stdv")
    header: bool = True
    suffix: str = ""
    sizes: Mapping[str, int] = field(default_factory=dict)


CHALEARN15 = Layout(
    "ChaLearn LAP 2015",
    {"train": "train15_gt.csv", "val": "valid15_gt.csv"},
    header=False,
    sizes={"train": 2476, "val": 1136},  # of the journal version of DLDL-v2 (arXiv 2007.01771), and of its code
)
CHALEARN16 = Layout("ChaLearn LAP 2016", {"train": "train_gt.csv", "val": "valid_gt.csv", "test": "test_gt.csv"})
APPA_REAL = Layout(
    "APPA-REAL",
    {"train": "gt_avg_train.csv", "val": "gt_avg_valid.csv", "test": "gt_avg_test.csv"},
    ("file_name", "apparent_age_avg", "apparent_age_std"),
    suffix="_face.jpg",
    sizes={"train": 4113, "val": 1500, "test": 1978},  # of the description that comes with the set
)


def read_chalearn(root: Path, layout: Layout, *, official: bool = True) -> tuple[pd.DataFrame, Dropped]:
    """Read one of the three from a folder or a .zip: the faces in the order of the lists train, val, test.

    The lists may lie anywhere in it, an image in any folder whose name begins with that of its part. With `official`
    the lines are counted.

    Columns: image, subject (<NA>: unknown), fold (<NA>), split (train, val, test), age_group 0..7 (the partition of
    years), age_years (apparent age 0..100, Float64), age_years_sd (Float64, above 0), gender (<NA>), row. UserError for
    a missing list, and with file, line and value for a wrong label.
    """
    expected = f"{layout.title}'s folder or .zip with {', '.join(layout.lists.values())} and the images in folders"
    with open_source(root, expected) as source:
        names = source.names()
        images = _index(names)
        parts = [_read_part(source, names, images, layout, part, official) for part in layout.lists]
    rows = pd.concat(parts, ignore_index=True)
    unknown = pd.Series(pd.NA, index=rows.index)
    return rows.assign(
        subject=unknown.astype("string"),
        fold=unknown.astype("Int64"),
        gender=unknown.astype("Int64"),
        age_group=group_of_years(rows["age_years"], "partition"),
    ), {}


def _index(names: list[str]) -> dict[tuple[str, str], list[str]]:
    """Map (part, file name) to the whole names of the images of it; the name of their folder begins as the part."""
    found: dict[tuple[str, str], list[str]] = {}
    for name in names:
        folder, _, file = name.rpartition("/")
        part = re.match("train|val|test", folder.rpartition("/")[2].lower())
        if part:
            found.setdefault((part[0], file), []).append(name)
    return found


def _read_part(
    source: Source,
    names: list[str],
    images: Mapping[tuple[str, str], list[str]],
    layout: Layout,
    part: str,
    official: bool,
) -> pd.DataFrame:
    """Read the list of a part, whose name is looked for whatever its capitals."""
    file, columns = layout.lists[part], list(layout.columns)
    found = [name for name in names if name.rpartition("/")[2].lower() == file]
    if len(found) != 1:
        have = f"{len(found)} files {file}, such as {found[0]}" if found else f"no {file}"
        raise UserError(f"{source.path} has {have}: expected one, with {', '.join(columns)} of each image")
    path = source.path / found[0]
    table = read_table(path, source.read(found[0]), columns, ",".join(columns), header=layout.header)[columns]
    if official and len(table) != layout.sizes.get(part, len(table)):
        raise UserError(
            f"{path} has {len(table):,} lines of faces, {layout.sizes[part]:,} are published: fetch it again"
        )
    image, mean, deviation = (table[name] for name in columns)
    refuse_repeats(path, image)
    refuse(path, mean, mean == "", "an age in years")
    years = to_years(path, mean).astype("Float64")
    return pd.DataFrame(
        {
            "image": [_locate(source.path, images, part, f"{name}{layout.suffix}") for name in image],
            "split": part,
            "age_years": years,
            "age_years_sd": to_spreads(path, deviation, years, zero=True),
            "row": to_rows(path, table),
        }
    )


def _locate(root: Path, images: Mapping[tuple[str, str], list[str]], part: str, file: str) -> str:
    """Return an image's whole name, or where it would be expected; UserError where there are two."""
    found = images.get((part, file), [f"{part}/{file}"])
    if len(found) > 1:
        raise UserError(f"{root} holds {found[0]} and {found[1]}: remove or rename the folder that is not to be used")
    return found[0]


def _dataset(name: str, layout: Layout, tested: str, faces: int | None) -> Dataset:
    protocol = by_partition(
        name=f"{name}_published",
        description=f"{layout.title}, apparent age: tested on the published {tested} faces (fold 0, the only one), "
        "trained on the others; subjects are unknown, so a person may stand in both",
        labels=("age_years",),
        folds=1,
        fold=lambda rows: tested_first(rows["split"]),
        counts={} if faces is None else {"distinct": (faces,)},
    )
    return Dataset(name, lambda root: read_chalearn(root, layout), (protocol,))


# Of 2015 DLDL-v2 tests on the validation faces (gaobb/DLDL-v2 `datasets/chalearn15-gen.lua`), of 2016 on the test
# faces, and trains on the validation faces too (`chalearn16-gen.lua`).
CHALEARN = (
    _dataset("chalearn15", CHALEARN15, "validation", 3612),
    _dataset("chalearn16", CHALEARN16, "test", None),
    _dataset("appa_real", APPA_REAL, "test", 7591),
)
