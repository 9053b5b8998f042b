"""Schedules and stages of the recipes: the rate, and the share of the steps that is over, as functions of the step."""

import pytest
from hydra import compose

from agegender.config.resolve import resolve_run
from agegender.config.settings import plain
from agegender.training.fit import build_network
from agegender.training.module import FaceModule
from agegender.training.optimization import build_optimizer, build_schedule

pytestmark = pytest.mark.usefixtures("hydra")


def test_dldl_v2_trains_in_two_stages_each_with_a_drop() -> None:
    recipe = plain(compose("train", overrides=["recipe=dldl_v2", "system=dldl_v2_tiny"]).recipe)
    factor = build_schedule(recipe)
    rates = [factor(step) for step in (0, 599, 600, 1199, 1200, 1799, 1800, 2399)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 1, 1, 0.1, 0.1])


def test_a_staircase_without_a_restart_only_falls() -> None:
    recipe = plain(compose("train", overrides=["recipe=lmtcnn_official"]).recipe)
    factor = build_schedule(recipe)
    assert [factor(step) for step in (0, 9_999, 10_000, 49_999)] == pytest.approx([1, 1, 0.1, 1e-4])


def test_adam_is_that_of_the_recipe() -> None:
    config = compose("train", overrides=["recipe=dldl_v2", "system=tiny_age_dldl_v2"])
    optimizer = build_optimizer(build_network(resolve_run(config)), plain(config.recipe))
    assert (type(optimizer).__name__, optimizer.defaults["eps"]) == ("Adam", 1e-7)
    assert {group["lr"] for group in optimizer.param_groups} == {1e-3}
    config = compose("train", overrides=["recipe.optimizer=adam"])
    assert build_optimizer(build_network(resolve_run(config)), plain(config.recipe)).defaults["eps"] == 1e-8


def test_heads_know_how_much_of_the_training_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    config = compose("train", overrides=["system=tiny_age_dldl_v2", "recipe.steps=4"])
    module = FaceModule(build_network(resolve_run(config)), plain(config.recipe), seed=0)
    told = []
    for step in range(4):
        monkeypatch.setattr(FaceModule, "global_step", step)
        module.on_train_batch_start({}, step)  # type: ignore[arg-type]
        told.append(float(module.head("age_years").progress))
    assert told == [0, 0.25, 0.5, 0.75]
