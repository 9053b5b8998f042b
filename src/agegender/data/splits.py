"""Training, validation and test splits of a fold."""

from collections.abc import Callable

import pandas as pd

from agegender.datasets.folds import FOLDS, SUFFIXES, first_share, md5_of, rank_in_strata
from agegender.errors import UserError


def split(rows: pd.DataFrame, fold: int, *, validation: float = 0.1, rule: str = "by_subject") -> pd.DataFrame:
    """Return `rows` with a column `split`: "train", "validation" or "test" (the rows of `fold`).

    Validation is taken from the other folds, the same for every system and seed, by a `rule`:

    * `by_subject`: whole subjects until they hold at least the share `validation` of the rows; where subjects are
      unknown, that share of every (age group, gender) stratum;
    * `by_image_leaky`: that share of the rows, each drawn for itself, as the scripts of LMTCNN and of Levi and Hassner
      do: subjects, and copies of an image, stand in training and validation at once;
    * `listed_leaky`: as the authors' lists say, which leak in the same way. `validation` is without effect, and rows
      that the lists leave out of this fold are not returned.

    UserError for a fold outside 0..4, a share outside (0, 1), a rule that does not exist or does not fit the rows, and
    when a split is empty; RuntimeError when a subject or an image would be in the test fold and in another split, or,
    by a rule that is not called leaky, in training and validation.
    """
    if fold not in range(FOLDS):
        raise UserError(f"fold={fold}: there are {FOLDS} folds, choose fold=0 to fold={FOLDS - 1}")
    if not 0 < validation < 1:
        raise UserError(f"validation={validation}: expected a share of the training rows above 0 and below 1")
    _check_rule(rule, rows)
    test = rows["fold"] == fold
    assigned = pd.Series("test", index=rows.index, dtype="string")
    assigned[~test] = RULES[rule](rows[~test], fold, validation)
    for name in ("test", "train", "validation"):
        if not (assigned == name).any():
            present = ", ".join(map(str, sorted(rows["fold"].unique()))) or "none"
            raise UserError(
                f"fold={fold} has no {name} rows: the data has {len(rows)} rows of fold {present}; "
                "use another fold, or a more complete copy of the data"
            )
    # Validation may share subjects and images with training under a leaky name, and nothing ever with the test fold.
    assert_disjoint(rows, assigned.replace("validation", "train") if rule.endswith("_leaky") else assigned)
    return rows.assign(split=assigned)[assigned.notna()]


def check_less(half: int | None, share: float) -> None:
    """Refuse, with a UserError, what is no half and no share of the training faces."""
    if half not in (None, 0, 1):
        raise UserError(f"half={half}: choose 0 or 1, or null for all faces")
    if not isinstance(share, int | float) or not 0 < share <= 1:
        raise UserError(f"training_share={share}: expected a number above 0 and at most 1")


def keep_half(rows: pd.DataFrame, manifest: pd.DataFrame, fold: int, half: int | None) -> pd.DataFrame:
    """Return the rows of the test `fold` and, of the others, those of one half, 0 or 1 (None: all rows).

    Which half a face is in is a property of the face in the data set's full `manifest`: the same under every protocol,
    fraction and test fold, so that no face of one half is ever in the other. Where subjects are known each is in one
    half; other faces go to either in turn, within fold, age and annotated gender.
    """
    check_less(half, 1.0)
    if half is None:
        return rows
    first = rows["image"].isin(_first_half(manifest))
    return rows[(rows["fold"] == fold) | (first if half == 0 else ~first)]


def _first_half(manifest: pd.DataFrame) -> pd.Series:
    known = manifest["subject"].notna()
    subjects = _draw_subjects(manifest.loc[known, "subject"], 0.5, "half_v1/")
    others = manifest[~known]
    if "age_years" in others:
        others = others.assign(age_years=others["age_years"] // 10)
    strata = [name for name in ("fold", "age_years", "age_group", "age_decades", "gender") if name in others]
    drawn = rank_in_strata(others, strata, "half_v1/") % 2 == 0
    return manifest.loc[manifest["subject"].isin(subjects) | drawn.reindex(manifest.index, fill_value=False), "image"]


def thin_training(rows: pd.DataFrame, share: float) -> pd.DataFrame:
    """Keep a share of the training rows of `split`, ceil(share x n) of every stratum; the other splits stay whole.

    The order is fixed: a smaller share is a subset of a larger one.
    """
    check_less(None, share)
    train = rows[rows["split"] == "train"]
    kept = first_share(train, _strata(train), share, "training_share_v1/")
    return rows[kept.reindex(rows.index, fill_value=True)]


def assert_disjoint(rows: pd.DataFrame, assigned: pd.Series) -> None:
    """Raise RuntimeError when a known subject or an image stands in more than one split."""
    for column in ("subject", "image"):
        splits = assigned.groupby(rows[column]).nunique()
        if (splits > 1).any():
            name = splits.index[splits > 1][0]
            raise RuntimeError(f"{column} {name} stands in more than one of the splits training, validation and test")


def _check_rule(rule: str, rows: pd.DataFrame) -> None:
    if rule not in RULES:
        raise UserError(f"there is no rule '{rule}' for validation: choose from {', '.join(RULES)}")
    listed = "listed" in rows
    if listed and rule != "listed_leaky":
        raise UserError(f"validation={rule}: this protocol's splits come from the authors' lists, use listed_leaky")
    if rule == "listed_leaky" and not listed:
        raise UserError("validation=listed_leaky: this protocol has no lists, use by_subject, or protocol=lmtcnn_lists")


def _by_subject(rest: pd.DataFrame, fold: int, share: float) -> pd.Series:
    salt = f"validation_v1/fold_{fold}/"
    known = rest["subject"].notna()
    subjects = _draw_subjects(rest.loc[known, "subject"], share, salt)
    faces = first_share(rest[~known], _strata(rest), share, salt)
    return _named(rest["subject"].isin(subjects) | faces.reindex(rest.index, fill_value=False))


def _by_image_leaky(rest: pd.DataFrame, fold: int, share: float) -> pd.Series:
    # Whole names without their suffixes: unlike stems they tell Adience's images apart. Copies are drawn one by one.
    names = rest["image"].str.replace(SUFFIXES, "", regex=True)
    copies = names + "#" + rest.groupby("image").cumcount().astype("string")
    keys = pd.DataFrame({"key": md5_of(copies, f"leaky_v1/fold_{fold}/"), "image": rest["image"]})
    rank = pd.Series(range(len(rest)), index=keys.sort_values(["key", "image"]).index)
    return _named(rank.reindex(rest.index) < share * len(rest) - 1e-9)


def _listed_leaky(rest: pd.DataFrame, fold: int, share: float) -> pd.Series:
    splits = rest["listed"].str.split(" ").str[fold]
    return splits.where(splits != "none")


# How validation is taken from the rows outside the test fold: rows, test fold, share -> split of each row, or <NA>.
RULES: dict[str, Callable[[pd.DataFrame, int, float], pd.Series]] = {
    "by_subject": _by_subject,
    "by_image_leaky": _by_image_leaky,
    "listed_leaky": _listed_leaky,
}


def _strata(rows: pd.DataFrame) -> list[str]:
    """Name the labels within which faces are drawn in proportion."""
    return [name for name in ("age_group", "age_decades", "gender") if name in rows]


def _named(drawn: pd.Series) -> pd.Series:
    return drawn.map({True: "validation", False: "train"}).astype("string")


def _draw_subjects(subjects: pd.Series, share: float, salt: str) -> pd.Series:
    """Take subjects in a fixed order until they hold at least `share` of the rows; `subjects` has one entry per row."""
    sizes = subjects.value_counts().rename_axis("subject").reset_index(name="rows")
    sizes = sizes.assign(key=md5_of(sizes["subject"], salt)).sort_values("key")
    before = sizes["rows"].cumsum() - sizes["rows"]
    return sizes["subject"][before < share * len(subjects)]
