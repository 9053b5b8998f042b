import hashlib
from pathlib import Path

import pandas as pd
import pytest

from agegender.data.adience import read_adience
from agegender.data.manifest import digest
from agegender.data.protocols import apply_protocol
from agegender.data.splits import assert_disjoint, split
from agegender.data.utkface import read_utkface
from agegender.errors import UserError

DATA = Path(__file__).parents[2] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the real data is not in ../shared")


def faces(count: int, subjects: int | None) -> pd.DataFrame:
    """Faces of every fold; subjects, where there are any, stay within a fold."""
    rows = pd.DataFrame({"image": [f"{i}.jpg" for i in range(count)]})
    numbers = rows.index.to_series()
    return rows.assign(
        fold=(numbers % 5).astype("Int64"),
        subject=pd.Series(pd.NA, rows.index, dtype="string")
        if subjects is None
        else "s" + (numbers % (5 * subjects)).astype("string"),
        age_group=(numbers // 5 % 8).astype("Int64"),
        gender=(numbers // 40 % 2).astype("Int64"),
        age_years=pd.array([pd.NA] * count, dtype="Int64"),
    )


def share(parts: pd.DataFrame) -> float:
    sizes = parts["part"].value_counts()
    return float(sizes["validation"] / (sizes["validation"] + sizes["train"]))


@pytest.mark.parametrize("subjects", [None, 12])
def test_parts_are_whole_disjoint_and_deterministic(subjects: int | None) -> None:
    rows = faces(1200, subjects)
    drawn = []
    for fold in range(5):
        parts = split(rows, fold)
        pd.testing.assert_frame_equal(parts[rows.columns], rows)
        assert parts["part"].eq("test").tolist() == rows["fold"].eq(fold).tolist()
        assert 0.1 <= share(parts) < 0.15
        assert parts.groupby("subject")["part"].nunique().max() == 1 or subjects is None
        pd.testing.assert_frame_equal(split(rows, fold), parts)
        drawn.append(frozenset(parts.loc[parts["part"] == "validation", "image"]))
    assert len(set(drawn)) == 5


def test_the_rule_depends_on_names_only_not_on_row_order_or_suffix() -> None:
    for subjects in (None, 12):
        rows = faces(600, subjects)
        mixed = rows.sample(frac=1, random_state=0).assign(
            image=lambda frame: frame["image"].str.replace("jpg", "webp")
        )
        assert split(mixed, 2)["part"].sort_index().tolist() == split(rows, 2)["part"].tolist()


def test_validation_without_subjects_holds_every_stratum() -> None:
    parts = split(faces(1200, None), 0)
    rest = parts[parts["part"] != "test"]
    assert (
        rest.groupby(["age_group", "gender"])["part"].apply(lambda part: part.eq("validation").sum()).tolist()
        == [6] * 16
    )


def test_faces_without_a_label_are_split_too() -> None:
    rows = faces(1200, None)
    rows.loc[rows.index % 3 == 0, "age_group"] = pd.NA
    parts = split(rows, 0)
    assert parts["part"].notna().all()
    assert (parts["age_group"].isna() & parts["part"].eq("validation")).any()


def test_no_more_subjects_are_drawn_than_the_share_needs() -> None:
    parts = split(faces(100, 5), 0)  # four faces of each of 20 subjects outside fold 0: two subjects hold 10 %
    assert parts["part"].eq("validation").sum() == 8


@pytest.mark.parametrize("fold", [5, -1, 1.5])
def test_refuses_a_fold_that_does_not_exist(fold: int) -> None:
    with pytest.raises(UserError, match=rf"fold={fold}: there are 5 folds, choose fold=0 to fold=4"):
        split(faces(100, 4), fold)


@pytest.mark.parametrize("validation", [0.0, 1.0, -1.0])
def test_refuses_a_share_out_of_range(validation: float) -> None:
    with pytest.raises(UserError, match=r"validation=.*: expected a share"):
        split(faces(100, 4), 0, validation=validation)


def test_refuses_a_split_with_an_empty_part() -> None:
    rows = faces(100, 4)
    with pytest.raises(UserError, match=r"fold=0 has no train rows: the data has 20 rows of fold 0"):
        split(rows[rows["fold"] == 0], 0)
    with pytest.raises(UserError, match=r"fold=0 has no test rows: the data has 80 rows of fold 1, 2, 3, 4"):
        split(rows[rows["fold"] != 0], 0)
    with pytest.raises(UserError, match=r"fold=0 has no train rows"):
        split(rows.assign(subject=rows["fold"].map(lambda fold: "a" if fold == 0 else "b")), 0)


def test_a_leak_is_an_error() -> None:
    rows = faces(100, 4)
    with pytest.raises(RuntimeError, match=r"subject a stands in more than one of the parts"):
        split(rows.assign(subject=rows["subject"].mask(rows.index < 2, "a")), 0)
    with pytest.raises(RuntimeError, match=r"image x.jpg stands in more than one of the parts"):
        assert_disjoint(rows.assign(image="x.jpg"), pd.Series(["train", "test"] * 50))


def test_digest_follows_the_data_and_nothing_else() -> None:
    rows = faces(20, None)
    same = rows.astype({"fold": "int64", "gender": "float64"}).assign(row="elsewhere.txt:1")[
        sorted([*rows.columns, "row"])
    ]
    assert digest(same) == digest(rows)
    assert digest(rows, protocol="a") == digest(rows, protocol="a") != digest(rows)
    changed = [rows.assign(gender=1), rows[::-1], rows[:-1], rows.assign(subject="s"), rows.assign(age_label="x")]
    assert len({digest(rows), *map(digest, changed)}) == 6


def test_digest_is_the_same_with_every_pandas() -> None:
    """The digest of stored packs and runs: a change here makes every one of them stale."""
    text = """{"protocol": "p", "version": 1}
age_group,age_years,fold,gender,image,subject
0,,0,0,0.jpg,
0,,1,0,1.jpg,
"""
    assert digest(faces(2, None), version=1, protocol="p") == hashlib.sha256(text.encode()).hexdigest()


@needs_data
@pytest.mark.parametrize("protocol", ["lmtcnn_joint", "subject_exclusive"])
def test_real_users_stay_in_one_part(protocol: str) -> None:
    rows = apply_protocol(read_adience(DATA / "adience"), protocol, "adience")
    for fold in range(5):
        parts = split(rows, fold)
        assert 0.1 <= share(parts) < 0.2
        train, validation, test = (
            set(parts["subject"][parts["part"] == part]) for part in ("train", "validation", "test")
        )
        assert not train & validation
        assert not (train | validation) & test


@needs_data
def test_real_faces_without_subjects() -> None:
    rows, _ = read_utkface(DATA / "utkface-160px-webp.zip")
    parts = split(rows, 0)
    assert 0.1 <= share(parts) < 0.102
    assert parts["image"].is_unique
