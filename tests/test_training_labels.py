"""Faces that a head cannot learn from are refused in one sentence before anything is trained."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hydra import compose

from agegender.commands.train import train
from agegender.data.label_checks import check_labels
from agegender.errors import UserError

PLACE = "data=mine with protocol=csv_folds"


def faces(years: list[float | None], spread: list[float | None] | None = None) -> pd.DataFrame:
    table = pd.DataFrame(
        {"image": [f"{n}.jpg" for n in range(len(years))], "age_years": pd.array(years, dtype="Float64")}
    )
    return table if spread is None else table.assign(age_years_sd=pd.array(spread, dtype="Float64"))


def test_labels_that_a_head_can_learn_from_pass() -> None:
    check_labels(faces([0, 100, 33.4, None]), {"age_years": {"name": "softmax"}}, PLACE)
    given = faces([0, 100, None], [0.1, 5, None])
    check_labels(given, {"age_years": {"name": "dldl", "sigma": "annotated"}}, PLACE)
    check_labels(faces([20], [0]), {"age_years": {"name": "dldl", "sigma": 2.0}}, PLACE)


@pytest.mark.parametrize(
    ("table", "head", "sentence"),
    [
        (
            faces([20, 116, 101]),
            {},
            "2 faces have age_years outside 0 to 100, such as 1.jpg with 116.0: correct the labels",
        ),
        (faces([20, -1]), {}, "1 faces have age_years outside 0 to 100, such as 1.jpg with -1.0"),
        (faces([None, None]), {}, "has no annotated age in its column 'age_years', which the head age_years"),
        (faces([20])[["image"]], {}, "has no annotated age in its column 'age_years'"),
        (
            faces([20]),
            {"sigma": "annotated"},
            "names no standard deviations of the annotated age .*age_years.sigma=...",
        ),
        (faces([20, 30], [1, None]), {"sigma": "annotated"}, "1.jpg has age_years_sd none, and sigma=annotated needs"),
        (
            faces([20, 30], [1, 0]),
            {"sigma": "annotated"},
            "1.jpg has age_years_sd 0, and sigma=annotated needs one above",
        ),
    ],
)
def test_others_are_refused_with_the_face_and_the_remedy(
    table: pd.DataFrame, head: dict[str, str], sentence: str
) -> None:
    with pytest.raises(UserError, match=f"^{PLACE}.*{sentence}"):
        check_labels(table, {"age_years": head}, PLACE)


@pytest.mark.usefixtures("hydra")
def test_a_run_ends_before_it_trains(overrides: Callable[..., list[str]], tmp_path: Path) -> None:
    words = ("system=dldl_v2_tiny_attractiveness", "debug=one_step", "tracking=none")
    with pytest.raises(UserError, match=r"data=generated .* has no annotated attractiveness"):
        train(compose("train", overrides=overrides(*words)))
    (run,) = (tmp_path / "runs").iterdir()
    assert (run / "failed.json").exists() and not (run / "history.jsonl").exists()
