"""What a system adds to the authors' recipe: its learning rate and its weight decay (LMT `train.py`, `model.py`)."""

import pytest
from hydra import compose, initialize_config_dir

from agegender.config.resolve import resolve_run
from agegender.config.settings import config_folder, plain


@pytest.mark.parametrize(
    ("system", "learning_rate", "weight_decay"),
    [
        ("lmtcnn_1_1", 0.01, 0.0005 * 0.01),
        ("lmtcnn_2_1_gender", 0.001, 0.0005 * 0.01),
        ("mobilenet_v1", 0.01, 0.00004 * 0.01),
        ("mobilenet_v1_age", 0.01, 0.00004 * 0.01),
        ("mobilenet_v1_gender", 0.001, 0.00004 * 0.01),
        ("levi_hassner_bn_age", 0.01, 0.0005 * 0.01),
        ("levi_hassner_bn_gender", 0.001, 0.0005 * 0.01),
    ],
)
def test_the_official_recipe_takes_each_graphs_values(system: str, learning_rate: float, weight_decay: float) -> None:
    with initialize_config_dir(config_folder(), version_base="1.3"):
        official, quick = (
            compose("train", overrides=[f"system={system}", f"recipe={recipe}"])
            for recipe in ("lmtcnn_official", "quick")
        )
    assert plain(official.recipe)["learning_rate"] == learning_rate
    assert plain(official.recipe)["weight_decay"] == pytest.approx(weight_decay, rel=1e-9)
    # With another recipe they change nothing, so they are no part of the identity.
    assert quick.recipe.weight_decay == 0.0001
    assert resolve_run(quick).system.model_dump().keys() == {"name", "title", "model", "heads", "preprocessing"}
