from pathlib import Path

import pandas as pd
import pytest

from agegender.datasets.adience import read_adience
from agegender.datasets.labels import EIDINGER, MIVOLO, group_around_label, group_of_label, group_of_years
from agegender.datasets.protocols import PROTOCOLS, apply_protocol, count, fitting
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
    ("label", "exact", "around", "eidinger", "mivolo"),
    [
        ("(25, 32)", 4, 4, 4, 4),
        ("(60, 100)", 7, 7, 7, 7),
        ("(27, 32)", None, 4, None, 4),
        ("(38, 42)", None, 5, 5, 5),
        ("(25, 23)", None, 4, None, 4),
        ("2", None, 0, None, 0),
        ("58", None, None, None, 7),
        ("3", None, None, None, 0),
        ("13", None, None, 2, 2),
        ("22", None, None, None, 3),
        ("55", None, None, None, 6),
        ("(8, 23)", None, None, None, 2),
        ("(38, 48)", None, None, None, 5),
        ("(0, 100)", None, None, None, None),
        ("None", None, None, None, None),
        ("", None, None, None, None),
    ],
)
def test_labels_to_groups(
    label: str, exact: int | None, around: int | None, eidinger: int | None, mivolo: int | None
) -> None:
    labels = pd.Series([label], dtype="string")
    for groups, expected in (
        (group_of_label(labels), exact),
        (group_around_label(labels), around),
        (group_of_label(labels, EIDINGER), eidinger),
        (group_of_label(labels, MIVOLO), mivolo),
    ):
        assert groups.astype(object).where(lambda value: value.notna(), None).tolist() == [expected]


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


def test_single_task_protocols_want_their_own_label_only() -> None:
    rows = adience(("a", "(0, 2)", 0), ("a", "(0, 2)", 0), ("b", "(0, 2)", None), ("c", "35", 1), ("d", "13", None))
    assert apply_protocol(rows, "age_only", "generated")["image"].tolist() == ["a", "a", "b"]
    assert apply_protocol(rows, "gender_only", "generated")["image"].tolist() == ["a", "a", "c"]
    assert apply_protocol(rows, "eidinger", "generated")["image"].tolist() == ["a", "a", "b", "d"]
    kept = apply_protocol(rows, "mivolo", "generated")
    assert kept["image"].tolist() == ["a", "b", "c", "d"]
    assert kept["age_group"].tolist() == [0, 0, 4, 2]
    assert kept["gender"].isna().tolist() == [False, True, False, True]


# (protocol, rows, rows per fold, age groups, distinct images)
JOINT = ((3879, 3005, 3121, 2866, 3387), (1427, 2162, 2125, 1653, 4897, 2300, 825, 869))
PUBLISHED = [
    ("lmtcnn_joint", 16258, *JOINT),
    ("age_only", 17424, (4316, 3101, 3339, 2975, 3693), (2519, 2163, 2132, 1655, 4950, 2300, 830, 875)),
    ("gender_only", 17603, (4007, 3624, 3191, 3318, 3463), None),
    ("eidinger", 17643, (4319, 3287, 3340, 3004, 3693), (2519, 2163, 2301, 1655, 4950, 2350, 830, 875)),
    ("mivolo", 18622, (4432, 3693, 3343, 3400, 3754), (2509, 2140, 2293, 1791, 5589, 2490, 909, 901)),
    ("subject_exclusive", 18660, (4432, 3705, 3354, 3415, 3754), (2491, 2140, 2124, 1642, 5095, 2340, 830, 872)),
]


@needs_adience
@pytest.mark.parametrize(("protocol", "total", "rows", "groups"), PUBLISHED)
def test_published_counts(
    protocol: str, total: int, rows: tuple[int, ...], groups: tuple[int, ...] | None, published: pd.DataFrame
) -> None:
    counts = count(apply_protocol(published, protocol, "adience"))
    assert counts["rows"] == PROTOCOLS[protocol].counts["rows"] == rows
    assert sum(counts["rows"]) == total
    if groups:
        assert counts["groups"] == PROTOCOLS[protocol].counts["groups"] == groups


@needs_adience
def test_further_published_counts(published: pd.DataFrame) -> None:
    joint = count(apply_protocol(published, "lmtcnn_joint", "adience"))
    assert joint["age"] == joint["gender"] == joint["rows"]
    assert joint["distinct"] == (16156,)
    assert count(apply_protocol(published, "mivolo", "adience"))["distinct"] == (18622,)
    exclusive = count(apply_protocol(published, "subject_exclusive", "adience"))
    assert exclusive["age"] == (4377, 3110, 3299, 3069, 3679)
    assert exclusive["gender"] == (3995, 3609, 3137, 3306, 3445)
    assert (sum(exclusive["age"]), sum(exclusive["gender"])) == (17534, 17492)
    assert exclusive["both"] == (16366,)
    assert exclusive["distinct"] == (18660,)


@needs_adience
def test_the_joint_list_loses_babies(published: pd.DataFrame) -> None:
    age, joint = (apply_protocol(published, name, "adience") for name in ("age_only", "lmtcnn_joint"))
    lost = age[~age["row"].isin(joint["row"])]
    assert (len(lost), int(lost["age_group"].eq(0).sum())) == (1166, 1092)
    assert int((joint["fold"].eq(1) & joint["age_group"].eq(0)).sum()) == 2


@needs_adience
@pytest.mark.parametrize("protocol", [name for name, *_ in PUBLISHED])
def test_each_protocol_refuses_fold_files_that_lack_a_face(protocol: str, published: pd.DataFrame) -> None:
    face = apply_protocol(published, protocol, "adience").drop_duplicates("image", keep=False)["row"].iloc[0]
    with pytest.raises(UserError, match=rf"protocol {protocol}: \d+ rows in fold 0, but \d+ in the published lists"):
        apply_protocol(published[published["row"] != face], protocol, "adience")


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


def test_utkface_years_leaves_out_who_is_older_than_100() -> None:
    kept = apply_protocol(utkface(1170), "utkface_years", "utkface")
    assert len(kept) == 1010
    assert kept["age_years"].max() == 100
    assert kept["age_group"].tolist() == group_of_years(kept["age_years"], "partition").tolist()


@pytest.mark.parametrize("name", ["utkface_partition", "utkface_exact", "utkface_years"])
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
    fits = "choose from lmtcnn_joint, age_only, gender_only, .*, subject_exclusive for adience"
    with pytest.raises(UserError, match=f"data set adience cannot be used with protocol 'utkface_exact': {fits}"):
        apply_protocol(adience(), "utkface_exact", "adience")
    with pytest.raises(UserError, match="there is no protocol 'joint': choose from utkface_exact, utkface_partition"):
        apply_protocol(utkface(1), "joint", "utkface")
    with pytest.raises(UserError, match=r"fraction=0.5: protocol lmtcnn_joint has no subsets"):
        apply_protocol(adience(("a", "(0, 2)", 0)), "lmtcnn_joint", "generated", fraction=0.5)


def test_protocols_that_need_lists_fit_and_apply_only_where_these_were_read() -> None:
    rows = adience(("a", "(0, 2)", 0))
    assert fitting(rows, "adience") == [name for name, *_ in PUBLISHED]
    assert fitting(utkface(1), "utkface") == ["utkface_exact", "utkface_partition", "utkface_years"]
    with pytest.raises(UserError, match=r"protocol lmtcnn_lists needs the authors' lists, .*data.settings.lists="):
        apply_protocol(rows, "lmtcnn_lists", "adience")
    listed = rows.assign(lists_agegender="test train train validation none")
    kept = apply_protocol(listed, "lmtcnn_lists", "generated")
    assert kept["listed"].tolist() == ["test train train validation none"]
    assert "lmtcnn_lists" in fitting(listed, "adience")


def test_lists_that_leak_are_described_so() -> None:
    for protocol in PROTOCOLS.values():
        assert ("training and validation share users" in protocol.description) == (protocol.lists is not None)


def test_every_protocol_is_named_versioned_and_described() -> None:
    for name, protocol in PROTOCOLS.items():
        assert protocol.name == name
        assert protocol.version >= 1
        assert protocol.description
