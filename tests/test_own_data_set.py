"""A data set that stands outside the suite: one object, named by its place wherever a data set is named."""

from pathlib import Path

import pandas as pd
import pytest
from hydra import compose

from agegender.config.resolve import resolve_run
from agegender.data.manifest import read_manifest
from agegender.datasets.catalogue import get_dataset
from agegender.datasets.labels import group_of_years
from agegender.datasets.protocols import apply_protocol, fitting, get_protocol
from agegender.errors import UserError

MODULE = """
import pandas as pd

from agegender.datasets.dataset import Dataset
from agegender.datasets.protocol import Protocol


def read(root, *, suffix=".jpg"):
    images = sorted(file.name for file in root.iterdir() if file.name.endswith(suffix))
    rows = pd.DataFrame({"image": images, "row": images})
    groups = (rows.index.to_series() % 2).astype("Int64")
    subject = pd.Series(pd.NA, rows.index, dtype="string")
    return rows.assign(subject=subject, fold=groups, age_group=groups, gender=groups), {}


HALVES = Protocol(
    name="mine_halves", version=1, description="two folds", age_group=lambda rows: rows["age_group"], folds=2
)
FACES = Dataset("mine", read, (HALVES,))
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "my_faces.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path / "code")
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.png", "c.png", "d.jpg"):
        (tmp_path / "images" / name).write_bytes(b"a face")
    return tmp_path / "images"


def test_its_manifest_is_read_by_its_own_protocol(root: Path) -> None:
    rows = read_manifest("my_faces:FACES", root, "mine_halves", suffix=".png")
    assert rows["image"].tolist() == ["a.png", "b.png", "c.png"] and rows["fold"].tolist() == [0, 1, 0]
    assert fitting(rows, "my_faces:FACES") == ["mine_halves"]
    pd.testing.assert_frame_equal(apply_protocol(rows, "mine_halves", "my_faces:FACES"), rows)
    assert get_dataset("my_faces:FACES").crop == get_dataset("adience").crop


@pytest.mark.usefixtures("root")
def test_its_protocols_are_its_own() -> None:
    with pytest.raises(UserError, match="my_faces:FACES cannot be used with protocol 'age_only': choose from mine_"):
        get_protocol("age_only", "my_faces:FACES")
    with pytest.raises(UserError, match=r"data\.name=my_faces:read: this function cannot be used as a data set"):
        get_dataset("my_faces:read")


@pytest.mark.usefixtures("hydra")
def test_labels_are_named_as_the_protocol_reads_ages() -> None:
    def labels(task: str, *overrides: str) -> tuple[str, ...]:
        return resolve_run(compose("train", overrides=list(overrides))).labels_of(task)

    names = labels("age", "data=utkface")
    assert names == ("0-3", "4-6", "7-13", "14-23", "24-35", "36-45", "46-56", "57+")
    for year, group in enumerate(group_of_years(pd.Series(range(117)), "partition")):
        low, _, high = names[group].rstrip("+").partition("-")
        assert int(low) <= year <= int(high or 116)
    assert labels("gender", "data=utkface") == ("m", "f")
    assert labels("age", "data=utkface", "protocol=utkface_exact")[:3] == ("0-2", "4-6", "8-12")
    assert labels("age", "data=adience")[:3] == ("0-2", "4-6", "8-12")
    assert labels("age_decades", "data=fairface")[-1] == "70+"
