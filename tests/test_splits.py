import hashlib
from pathlib import Path

import pandas as pd
import pytest

from agegender.data.manifest import digest
from agegender.data.splits import assert_disjoint, split
from agegender.datasets.adience import read_adience
from agegender.datasets.folds import deal_folds
from agegender.datasets.protocols import apply_protocol
from agegender.datasets.utkface import read_utkface
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


def share(splits: pd.DataFrame) -> float:
    sizes = splits["split"].value_counts()
    return float(sizes["validation"] / (sizes["validation"] + sizes["train"]))


@pytest.mark.parametrize("subjects", [None, 12])
def test_parts_are_whole_disjoint_and_deterministic(subjects: int | None) -> None:
    rows = faces(1200, subjects)
    drawn = []
    for fold in range(5):
        splits = split(rows, fold)
        pd.testing.assert_frame_equal(splits[rows.columns], rows)
        assert splits["split"].eq("test").tolist() == rows["fold"].eq(fold).tolist()
        assert 0.1 <= share(splits) < 0.15
        assert splits.groupby("subject")["split"].nunique().max() == 1 or subjects is None
        pd.testing.assert_frame_equal(split(rows, fold), splits)
        drawn.append(frozenset(splits.loc[splits["split"] == "validation", "image"]))
    assert len(set(drawn)) == 5


def test_the_rule_depends_on_names_only_not_on_row_order_or_suffix() -> None:
    for subjects in (None, 12):
        rows = faces(600, subjects)
        mixed = rows.sample(frac=1, random_state=0).assign(
            image=lambda frame: frame["image"].str.replace("jpg", "webp")
        )
        assert split(mixed, 2)["split"].sort_index().tolist() == split(rows, 2)["split"].tolist()


def test_validation_without_subjects_holds_every_stratum() -> None:
    splits = split(faces(1200, None), 0)
    rest = splits[splits["split"] != "test"]
    assert (
        rest.groupby(["age_group", "gender"])["split"].apply(lambda part: part.eq("validation").sum()).tolist()
        == [6] * 16
    )


def test_faces_without_a_label_are_split_too() -> None:
    rows = faces(1200, None)
    rows.loc[rows.index % 3 == 0, "age_group"] = pd.NA
    splits = split(rows, 0)
    assert splits["split"].notna().all()
    assert (splits["age_group"].isna() & splits["split"].eq("validation")).any()


def test_no_more_subjects_are_drawn_than_the_share_needs() -> None:
    splits = split(faces(100, 5), 0)  # four faces of each of 20 subjects outside fold 0: two subjects hold 10 %
    assert splits["split"].eq("validation").sum() == 8


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
    with pytest.raises(RuntimeError, match=r"subject a stands in more than one of the splits"):
        split(rows.assign(subject=rows["subject"].mask(rows.index < 2, "a")), 0)
    with pytest.raises(RuntimeError, match=r"image x.jpg stands in more than one of the splits"):
        assert_disjoint(rows.assign(image="x.jpg"), pd.Series(["train", "test"] * 50))


def leaky(rows: pd.DataFrame, fold: int) -> pd.DataFrame:
    return split(rows, fold, rule="by_image_leaky")


def test_the_leaky_rule_draws_image_by_image_and_leaves_test_clean() -> None:
    rows = pd.concat([faces(1200, 12), faces(1200, 12).iloc[::40]], ignore_index=True)  # some images stand twice
    drawn = []
    for fold in range(5):
        splits = leaky(rows, fold)
        pd.testing.assert_frame_equal(splits[rows.columns], rows)
        assert splits["split"].eq("test").tolist() == rows["fold"].eq(fold).tolist()
        held = splits["split"].eq("validation")
        assert held.sum() == -(-(~splits["split"].eq("test")).sum() // 10)
        train, validation, test = (splits[splits["split"] == part] for part in ("train", "validation", "test"))
        assert set(validation["subject"]) <= set(train["subject"]), "every user is on both sides"
        for column in ("subject", "image"):
            assert not set(test[column]) & (set(train[column]) | set(validation[column]))
        drawn.append(frozenset(validation["image"]) & frozenset(train["image"]))
    assert any(drawn), "a copy of an image may stand on the other side"
    assert len(set(drawn)) > 1


def test_the_leaky_rule_depends_on_names_only() -> None:
    rows = faces(600, 12).assign(image=lambda frame: "faces/a@N01/face.1." + frame["image"])
    mixed = rows.sample(frac=1, random_state=0).assign(image=lambda frame: frame["image"].str.replace("jpg", "webp"))
    assert leaky(mixed, 2)["split"].sort_index().tolist() == leaky(rows, 2)["split"].tolist()


def test_the_leaky_rule_refuses_a_test_fold_that_leaks() -> None:
    rows = faces(100, 4)
    with pytest.raises(RuntimeError, match=r"subject a stands in more than one of the splits"):
        leaky(rows.assign(subject=rows["subject"].mask(rows.index < 2, "a")), 0)
    with pytest.raises(RuntimeError, match=r"image x.jpg stands in more than one of the splits"):
        leaky(rows.assign(image="x.jpg", subject=None), 0)


def test_listed_parts_are_taken_as_they_are() -> None:
    rows = faces(10, 2).assign(subject="a")
    words = [["train"] * 5 for _ in range(10)]
    for number in range(10):
        words[number][number % 5] = "test"
    words[1][0], words[2][0], words[3][0] = "validation", "none", "validation"
    rows = rows.assign(listed=[" ".join(splits) for splits in words], subject=rows["fold"].astype("string"))
    splits = split(rows, 0, rule="listed_leaky")
    assert splits["split"].tolist() == ["test", "validation", "validation", "train", "test", *["train"] * 4]
    assert splits.index.tolist() == [0, 1, 3, 4, 5, 6, 7, 8, 9], "a row in no list is left out"
    with pytest.raises(UserError, match=r"fold=1 has no validation rows"):
        split(rows, 1, rule="listed_leaky")
    with pytest.raises(RuntimeError, match=r"subject a stands in more than one"):
        split(rows.assign(subject="a"), 0, rule="listed_leaky")


def test_a_rule_must_exist_and_fit_the_rows() -> None:
    rows = faces(100, 4)
    with pytest.raises(UserError, match=r"no rule 'by_image' .*choose from by_subject, by_image_leaky, listed_leaky"):
        split(rows, 0, rule="by_image")
    with pytest.raises(UserError, match=r"validation=listed_leaky: this protocol has no lists"):
        split(rows, 0, rule="listed_leaky")
    for rule in ("by_subject", "by_image_leaky"):
        with pytest.raises(UserError, match=rf"validation={rule}: this protocol's splits come from the authors' lists"):
            split(rows.assign(listed=""), 0, rule=rule)


def test_digest_follows_the_data_and_nothing_else() -> None:
    rows = faces(20, None)
    same = rows.astype({"fold": "int64", "gender": "float64"}).assign(row="elsewhere.txt:1")[
        sorted([*rows.columns, "row"])
    ]
    assert digest(same) == digest(rows)
    assert digest(rows, protocol="a") == digest(rows, protocol="a") != digest(rows)
    changed = [rows.assign(gender=1), rows[::-1], rows[:-1], rows.assign(subject="s"), rows.assign(age_label="x")]
    assert len({digest(rows), *map(digest, changed)}) == 6


def test_digest_tells_fractions_apart_to_the_last_bit() -> None:
    """A whole number in a column of fractions is written as in one of whole numbers."""
    rows = faces(3, None).assign(
        age_years=pd.array([30.25, 7.0, None], dtype="Float64"),
        age_years_sd=pd.array([0.1, 1e-10, None], dtype="Float64"),
        attractiveness=pd.array([2.0, 3.0, 4.0], dtype="Float64"),
    )
    text = """{}
age_group,age_years,age_years_sd,attractiveness,fold,gender,image,subject
0,30.25,0.1,2,0,0,0.jpg,
0,7,1e-10,3,1,0,1.jpg,
0,,,4,2,0,2.jpg,
"""
    assert digest(rows) == hashlib.sha256(text.encode()).hexdigest()
    assert digest(rows.assign(age_years_sd=[0.1 + 2**-56, 1e-10, None])) != digest(rows)


def test_subjects_are_dealt_by_the_documented_rule() -> None:
    """By `printf %s NAME | md5sum`: 16.. (6), 4b.. (cid), 69.. (dot), 8f.. (7), 9f.. (bob), fa.. (eve)."""
    rows = pd.DataFrame(
        {
            "image": [f"a/{n}.jpg" for n in range(8)],
            "subject": pd.array(["bob", "ann", "ann", "cid", "dot", "eve", None, None], dtype="string"),
            "age": pd.array([0, 0, 0, 0, 0, 0, 1, 1], dtype="Int64"),
        }
    )
    assert deal_folds(rows, ["age"]).tolist() == [1, 0, 0, 2, 3, 4, 1, 4]  # ann first, who has two images
    recoded = rows.assign(image=rows["image"].str.replace(".jpg", ".png"))[::-1]
    assert deal_folds(recoded, ["age"]).tolist() == [4, 1, 4, 3, 2, 0, 0, 1]


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
        splits = split(rows, fold)
        assert 0.1 <= share(splits) < 0.2
        train, validation, test = (
            set(splits["subject"][splits["split"] == part]) for part in ("train", "validation", "test")
        )
        assert not train & validation
        assert not (train | validation) & test


@needs_data
def test_the_leaky_rule_leaks_as_the_authors_lists_do() -> None:
    """About all validation images of the authors have their user in training, 94 to 95 % their face_id."""
    rows = apply_protocol(read_adience(DATA / "adience"), "lmtcnn_joint", "adience")
    for fold in range(5):
        splits = leaky(rows, fold)
        train, held = (splits[splits["split"] == part] for part in ("train", "validation"))
        assert held["subject"].isin(train["subject"]).mean() > 0.99
        assert 0.92 < held["face_id"].isin(train["face_id"]).mean() < 0.97
        assert held["image"].isin(train["image"]).any()


@needs_data
def test_real_faces_without_subjects() -> None:
    rows, _ = read_utkface(DATA / "utkface-160px-webp.zip")
    splits = split(rows, 0)
    assert 0.1 <= share(splits) < 0.102
    assert splits["image"].is_unique
