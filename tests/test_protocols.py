from pathlib import Path

import pandas as pd
import pytest

from agegender.data.adience import read_adience
from agegender.data.protocols import (
    PROTOCOLS,
    apply_protocol,
    count,
    group_around_label,
    group_of_label,
    group_of_years,
)
from agegender.errors import UserError

ADIENCE = Path(__file__).parents[2] / "shared" / "data" / "adience"
needs_adience = pytest.mark.skipif(not ADIENCE.is_dir(), reason="the real Adience lists are not in ../shared")


@pytest.fixture(scope="module")
def published() -> pd.DataFrame:
    return read_adience(ADIENCE)


def adience(*faces: tuple[str, str, int | None]) -> pd.DataFrame:
    """Rows of (image, age label, gender)."""
    rows = pd.DataFrame(faces, columns=["image", "age_label", "gender"]).astype({"gender": "Int64"})
    return rows.assign(fold=0, subject="a", age_group=pd.array([pd.NA] * len(rows), dtype="Int64"))


def utkface(count: int) -> pd.DataFrame:
    faces = range(count)
    return pd.DataFrame(
        {
            "image": [f"{i}.jpg" for i in faces],
            "subject": pd.NA,
            "fold": [i % 5 for i in faces],
            "age_years": pd.array([i % 117 for i in faces], dtype="Int64"),
            "gender": pd.array([i // 117 % 2 for i in faces], dtype="Int64"),
        }
    )


def test_years_to_groups_at_the_edges() -> None:
    years = pd.Series(
        [0, 2, 3, 4, 6, 7, 13, 14, 23, 24, 32, 35, 36, 45, 46, 56, 57, 60, 100, 101, 116, None], dtype="Int64"
    )
    exact = [
        0,
        0,
        None,
        1,
        1,
        None,
        None,
        None,
        None,
        None,
        4,
        None,
        None,
        None,
        None,
        None,
        None,
        7,
        7,
        None,
        None,
        None,
    ]
    partition = [0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 4, 5, 5, 6, 6, 7, 7, 7, 7, 7, None]
    assert group_of_years(years, "exact").astype(object).where(lambda group: group.notna(), None).tolist() == exact
    assert group_of_years(years, "partition").astype(object).where(lambda g: g.notna(), None).tolist() == partition


@pytest.mark.parametrize(
    ("label", "exact", "around"),
    [
        ("(25, 32)", 4, 4),
        ("(60, 100)", 7, 7),
        ("(27, 32)", None, 4),
        ("(38, 42)", None, 5),
        ("(25, 23)", None, 4),
        ("2", None, 0),
        ("58", None, None),
        ("3", None, None),
        ("13", None, None),
        ("(8, 23)", None, None),
        ("(38, 48)", None, None),
        ("(0, 100)", None, None),
        ("None", None, None),
        ("", None, None),
    ],
)
def test_labels_to_groups(label: str, exact: int | None, around: int | None) -> None:
    labels = pd.Series([label], dtype="string")
    for read, group in ((group_of_label, exact), (group_around_label, around)):
        assert read(labels).astype(object).where(lambda value: value.notna(), None).tolist() == [group]


def test_lmtcnn_joint_keeps_duplicates_and_wants_both_labels() -> None:
    rows = adience(("a", "(0, 2)", 0), ("a", "(0, 2)", 0), ("b", "(0, 2)", None), ("c", "35", 1), ("d", "(25, 23)", 1))
    kept = apply_protocol(rows, "lmtcnn_joint", "generated")
    assert kept["image"].tolist() == ["a", "a"]
    assert kept["age_group"].tolist() == [0, 0]


def test_subject_exclusive_takes_each_face_once_and_masks_what_is_unknown() -> None:
    rows = adience(("a", "(0, 2)", 0), ("a", "(0, 2)", 0), ("b", "2", None), ("c", "35", 1), ("d", "35", None))
    kept = apply_protocol(rows, "subject_exclusive", "generated")
    assert kept["image"].tolist() == ["a", "b", "c"]
    assert kept["age_group"].isna().tolist() == [False, False, True]
    assert kept["gender"].isna().tolist() == [False, True, False]


@needs_adience
def test_published_counts_of_lmtcnn_joint(published: pd.DataFrame) -> None:
    counts = count(apply_protocol(published, "lmtcnn_joint", "adience"))
    assert counts["rows"] == counts["age"] == counts["gender"] == (3879, 3005, 3121, 2866, 3387)
    assert counts["groups"] == (1427, 2162, 2125, 1653, 4897, 2300, 825, 869)
    assert counts["distinct"] == (16156,)
    assert sum(counts["rows"]) == 16258


@needs_adience
def test_published_counts_of_subject_exclusive(published: pd.DataFrame) -> None:
    counts = count(apply_protocol(published, "subject_exclusive", "adience"))
    assert counts["rows"] == (4432, 3705, 3354, 3415, 3754)
    assert counts["age"] == (4377, 3110, 3299, 3069, 3679)
    assert counts["gender"] == (3995, 3609, 3137, 3306, 3445)
    assert counts["groups"] == (2491, 2140, 2124, 1642, 5095, 2340, 830, 872)
    assert (sum(counts["rows"]), sum(counts["age"]), sum(counts["gender"])) == (18660, 17534, 17492)
    assert counts["both"] == (16366,)
    assert counts["distinct"] == (18660,)


@needs_adience
def test_a_partial_copy_is_used_only_when_it_is_said_to_be_one(published: pd.DataFrame) -> None:
    some = published[published["subject"] == "30601258@N03"]
    with pytest.raises(
        UserError, match=r"protocol subject_exclusive: .* rows in fold 0, but 4432 in the published lists"
    ):
        apply_protocol(some, "subject_exclusive", "adience")
    kept = apply_protocol(some, "subject_exclusive", "adience", partial=True)
    assert 0 < len(kept) <= some["image"].nunique()


@needs_adience
def test_lists_with_other_labels_are_refused(published: pd.DataFrame) -> None:
    edited = published.copy()
    edited.loc[edited["age_label"].eq("(25, 32)").idxmax(), "age_label"] = "None"
    with pytest.raises(UserError, match="protocol lmtcnn_joint: 3878 rows in fold 0, but 3879 in the published lists"):
        apply_protocol(edited, "lmtcnn_joint", "adience")
    with pytest.raises(UserError, match=r"protocol subject_exclusive: .* in fold 0, but"):
        apply_protocol(edited, "subject_exclusive", "adience")


def test_utkface_protocols_count_faces_by_their_rule() -> None:
    rows = utkface(1170)
    assert len(apply_protocol(rows, "utkface_partition", "utkface")) == 1170
    exact = apply_protocol(rows, "utkface_exact", "utkface")
    assert len(exact) == 10 * (3 + 3 + 5 + 6 + 8 + 6 + 6 + 41)  # ten faces of every age, years per group
    assert exact["age_group"].notna().all()


@pytest.mark.parametrize("name", ["utkface_partition", "utkface_exact"])
def test_a_fraction_keeps_its_share_of_every_stratum_and_nests(name: str) -> None:
    rows = utkface(4000)
    strata = ["fold", "partition", "gender"]

    def sizes(fraction: float) -> pd.Series:
        kept = apply_protocol(rows, name, "utkface", fraction=fraction)
        return kept.assign(partition=group_of_years(kept["age_years"], "partition")).groupby(strata).size()

    whole = sizes(1.0)
    assert (sizes(0.25) == -(-whole // 4)).all()
    small, large = (set(apply_protocol(rows, name, "utkface", fraction=part)["image"]) for part in (0.07, 0.3))
    assert small < large


def test_a_fraction_is_not_rounded_up_by_the_binary_form_of_its_number() -> None:
    rows = utkface(100).assign(fold=0, gender=0, age_years=pd.array([30] * 100, dtype="Int64"))
    assert len(apply_protocol(rows, "utkface_partition", "utkface", fraction=0.07)) == 7  # .07 x 100 > 7 in floats


@pytest.mark.parametrize("fraction", [0.0, -0.5, 1.5, float("nan")])
def test_refuses_a_fraction_out_of_range(fraction: float) -> None:
    with pytest.raises(UserError, match=r"fraction=.*: expected a number above 0 and at most 1"):
        apply_protocol(utkface(10), "utkface_exact", "utkface", fraction=fraction)


def test_refuses_what_does_not_fit() -> None:
    fits = "choose from lmtcnn_joint, subject_exclusive for adience"
    with pytest.raises(UserError, match=f"data set adience cannot be used with protocol 'utkface_exact': {fits}"):
        apply_protocol(adience(), "utkface_exact", "adience")
    with pytest.raises(UserError, match="there is no protocol 'joint': choose from utkface_exact, utkface_partition"):
        apply_protocol(utkface(1), "joint", "utkface")
    with pytest.raises(UserError, match=r"fraction=0.5: protocol lmtcnn_joint has no subsets"):
        apply_protocol(adience(("a", "(0, 2)", 0)), "lmtcnn_joint", "generated", fraction=0.5)


def test_every_protocol_is_named_versioned_and_described() -> None:
    for name, protocol in PROTOCOLS.items():
        assert protocol.name == name
        assert protocol.version >= 1
        assert protocol.description
