"""Every setting of every command, given values of a wrong kind: taken, or refused by its name, and nothing else."""

import re
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from hydra import compose
from omegaconf import DictConfig, OmegaConf, open_dict

from agegender.config.kinds import check_values, kind_of, settings_in
from agegender.config.settings import check, identity_keys, plain
from agegender.errors import UserError
from agegender.training.optimization import build_schedule

pytestmark = pytest.mark.usefixtures("hydra")
# Between them they have every setting: the second of a command adds groups that its first does not choose.
CONFIGURATIONS = {
    "train": ["data=generated"],
    "train sgd": ["data=adience", "recipe=lmtcnn_official", "system=gilnet", "transfer=svm", "transfer.weights=w"],
    "train years": ["data=utkface", "protocol=utkface_years", "recipe=dldl_v2", "system=tiny_age_dldl_v2"],
    "train whole": ["transfer=whole", "transfer.weights=w", "protocol=lmtcnn_lists"],
    "train last_blocks": ["transfer=last_blocks", "transfer.weights=w"],
    "cost": ["experiment=demo"],
    "report": ["experiment=demo"],
    "prepare": [],
    "export": [],
    "predict": [],
    "track": [],
}
WRONG: tuple[Any, ...] = ([1], {}, "abc", -1, None, float("inf"), True, "")
CHECKED_ELSEWHERE = ("system.heads.", "transfer.names")


def configuration(title: str) -> DictConfig:
    return compose(title.split()[0], overrides=CONFIGURATIONS[title])


@pytest.mark.parametrize("title", CONFIGURATIONS)
def test_every_setting_has_a_kind(title: str) -> None:
    config = configuration(title)
    check_values(config)
    settings = [name for name, value in settings_in(config) if not isinstance(value, dict)]
    unknown = [name for name in settings if kind_of(name) is None and not name.startswith(CHECKED_ELSEWHERE)]
    assert unknown == [], "a setting without a kind: add it to kinds.py"


def test_a_value_of_a_wrong_kind_is_refused_by_the_name_of_its_setting() -> None:
    seen = set[str]()
    for title in CONFIGURATIONS:
        config = configuration(title)
        for name, given in list(settings_in(config)):
            if name not in seen:
                refused = [
                    value for value in WRONG if not _is_taken(config, title, name, value, isinstance(given, dict))
                ]
                assert refused, f"{name} may be anything"
            seen.add(name)
    assert len(seen) > 100


def _is_taken(config: DictConfig, title: str, name: str, value: Any, group: bool) -> bool:
    """Whether a value is taken; where it is not, a part of its setting's name is in the sentence."""
    if group and value == {}:
        return True  # on a command line it adds nothing to a group
    changed = deepcopy(config)
    with open_dict(changed):
        OmegaConf.update(changed, name, value, merge=False)
    try:
        check_values(changed)
        if title.startswith(("train", "cost")):
            check(changed)
            _use(changed)
    except UserError as error:
        assert any(part in str(error) for part in re.split(r"[._]", name)), f"{name}={value}: {error}"
        return False
    return True


def _use(config: DictConfig) -> None:
    """What is made of a configuration that was taken, before anything is written."""
    if config.transfer.name == "none":
        identity_keys(config, "digest")
    build_schedule(plain(config.recipe))(0)


def test_a_seed_is_within_what_its_streams_can_be_named_by(overrides: Callable[..., list[str]]) -> None:
    import torch

    check(compose("train", overrides=overrides(f"seed={2**32 - 1}")))
    torch.manual_seed(((2**32 - 1) << 32) + 50_000)
    with pytest.raises(UserError, match=r"seed=4294967296 must be a whole number of at least 0 and at most 4294967295"):
        check(compose("train", overrides=overrides(f"seed={2**32}")))


@pytest.mark.parametrize("name", ["mine-224", "a+b@c", "Größe_2.1", "7"])
def test_a_system_is_named_like_a_file(name: str, overrides: Callable[..., list[str]]) -> None:
    config = compose("train", overrides=overrides())
    config.system.name = name
    check(config)
    for wrong in (f"../{name}", f"mine/{name}", f".{name}", f"{name}*"):
        config.system.name = wrong
        with pytest.raises(UserError, match=r"system\.name=.* must be a name of letters, digits and \. _ - \+ @"):
            check(config)


@pytest.mark.parametrize(
    ("words", "sizes"),
    [
        (["system.model.input_size=46"], "lmtcnn_2_1 works on faces of at least 47 pixels"),
        (["system=tiny_age", "system.model.input_size=31"], "tiny_age works on faces of at least 32 pixels"),
    ],
)
def test_a_size_that_a_network_cannot_read_is_refused(
    words: list[str], sizes: str, overrides: Callable[..., list[str]]
) -> None:
    with pytest.raises(UserError, match=f"^input_size=.*: {sizes}"):
        check(compose("train", overrides=overrides(*words)))
    check(compose("train", overrides=overrides("system=tiny_age", "system.model.input_size=32")))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["recipe.optimizer=sgd"], "recipe.optimizer=sgd needs recipe.momentum"),
        (["recipe.optimizer=lion"], "recipe.optimizer=lion: there is no such optimiser, choose from sgd, adamw, adam"),
        (["recipe.schedule.name=staircase"], "needs recipe.schedule.factor"),
        (["system.heads.age.name=corn", "+system.heads.age.sigma=2"], "the head corn of age does not take its options"),
    ],
)
def test_a_recipe_and_heads_are_checked_before_a_run(
    words: list[str], message: str, overrides: Callable[..., list[str]]
) -> None:
    with pytest.raises(UserError, match=message):
        check(compose("train", overrides=overrides(*words)))


def test_what_is_left_out_was_left_out_before(overrides: Callable[..., list[str]]) -> None:
    """The kinds add nothing to what names a run."""
    keys: dict[str, Any] = identity_keys(compose("train", overrides=overrides()), "digest")
    assert "swept" not in keys and keys["seed"] == 0
