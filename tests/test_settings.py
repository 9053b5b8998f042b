"""Every setting of every command, given values of a wrong kind: taken, or refused by its name, and nothing else."""

import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest
import torch
from hydra import compose
from omegaconf import DictConfig, OmegaConf, open_dict

from agegender.config.resolve import resolve_run
from agegender.config.settings import (
    CostSettings,
    ExportSettings,
    PredictSettings,
    PrepareSettings,
    ReportSettings,
    TrackSettings,
    TrainSettings,
    is_text,
    settings_of,
)
from agegender.errors import UserError
from agegender.spec import Run, Spec
from agegender.training.fit import build_network
from agegender.training.optimization import build_schedule
from agegender.training.run_data import prepare_command

pytestmark = pytest.mark.usefixtures("hydra")
SETTINGS: dict[str, type[Spec]] = {
    "train": TrainSettings,
    "cost": CostSettings,
    "report": ReportSettings,
    "prepare": PrepareSettings,
    "export": ExportSettings,
    "predict": PredictSettings,
    "track": TrackSettings,
}
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
# Settings of a group that another command reads, or that become another setting, which is checked.
_DRAWN = tuple(f"data.generate{name}" for name in ("", ".root", ".faces", ".users", ".size", ".seed"))
ELSEWHERE = dict.fromkeys(SETTINGS, _DRAWN) | {"prepare": ("data.test", "data.test_protocol")}
WRONG: tuple[Any, ...] = ([1], {}, "abc", -1, None, float("inf"), True, "")


def configuration(title: str) -> DictConfig:
    return compose(title.split()[0], overrides=CONFIGURATIONS[title])


def settings_in(config: DictConfig, before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every group and every setting by its dotted name, with interpolations resolved."""
    for key in map(str, config):
        name, value = f"{before}{key}", config[key]
        yield name, OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        if isinstance(value, DictConfig):
            yield from settings_in(value, f"{name}.")


def read(config: DictConfig, command: str) -> Run | None:
    """Read what a command reads of a configuration."""
    settings_of(SETTINGS[command], config)
    return resolve_run(config) if command in ("train", "cost") else None


def refused(config: DictConfig, command: str, name: str, value: Any) -> bool:
    """Whether a value is refused; then some word of its setting's dotted name is in the sentence."""
    changed = deepcopy(config)
    with open_dict(changed):
        OmegaConf.update(changed, name, value, merge=False)
    try:
        if run := read(changed, command):
            run.identity_keys("digest")
            build_schedule(run.recipe.model_dump(exclude_none=True))(0)
    except UserError as error:
        if "interpolation" in str(error):  # the value was that of a group which other settings refer to
            return True
        assert set(re.split(r"[._]", name)) & set(re.findall(r"[A-Za-z]+", str(error))), f"{name}={value}: {error}"
        return True
    return False


def test_a_value_of_a_wrong_kind_is_refused_by_the_name_of_its_setting() -> None:
    seen = set[str]()
    for title in CONFIGURATIONS:
        config, command = configuration(title), title.split()[0]
        known = {*SETTINGS[command].model_fields, *(Run.model_fields if read(config, command) else ())}
        for name, given in list(settings_in(config)):
            if name in seen or name.split(".")[0] not in known or name in ELSEWHERE[command]:
                continue
            wrong = [value for value in WRONG if not (isinstance(given, dict) and value == {})]
            assert any(refused(config, command, name, value) for value in wrong), f"{name} may be anything"
            seen.add(name)
    assert len(seen) > 100


TEXTS = (
    *("paths.runs", "data.source", "data.settings.table", "transfer.weights", "system.title", "run", "images"),
    *("output", "tracking.experiment"),
)
OTHERS = ("seed", "recipe.steps", "half", "runtime.threads", "nothing.such")


@pytest.mark.parametrize(("name", "text"), [*((name, True) for name in TEXTS), *((name, False) for name in OTHERS)])
def test_settings_that_take_text_are_known(name: str, text: bool) -> None:
    assert is_text(name) is text


def test_a_seed_is_within_what_its_streams_can_be_named_by(overrides: Callable[..., list[str]]) -> None:
    resolve_run(compose("train", overrides=overrides(f"seed={2**32 - 1}")))
    torch.manual_seed(((2**32 - 1) << 32) + 50_000)
    with pytest.raises(UserError, match=r"seed=4294967296 must be less than or equal to 4294967295"):
        resolve_run(compose("train", overrides=overrides(f"seed={2**32}")))


@pytest.mark.parametrize("name", ["mine-224", "a+b@c", "Größe_2.1", "7"])
def test_a_system_is_named_like_a_file(name: str, overrides: Callable[..., list[str]]) -> None:
    config = compose("train", overrides=overrides())
    config.system.name = name
    resolve_run(config)
    for wrong in (f"../{name}", f"mine/{name}", f".{name}", f"{name}*"):
        config.system.name = wrong
        with pytest.raises(UserError, match=r"system\.name=.* must be a name of letters, digits and \. _ - \+ @"):
            resolve_run(config)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["recipe.optimizer=sgd"], "recipe.optimizer=sgd needs recipe.momentum"),
        (["recipe.optimizer=lion"], "recipe.optimizer=lion: there is no such optimiser, choose from sgd, adamw, adam"),
        (["system.model.input_size=46"], "input_size=46: lmtcnn_2_1 works on faces of at least 47 pixels"),
        (["system=tiny_age", "system.model.input_size=31"], "tiny_age works on faces of at least 32 pixels"),
        (["recipe.schedule.name=staircase"], "needs recipe.schedule.factor"),
        (["system.heads.age.name=corn", "+system.heads.age.sigma=2"], "the head corn of age does not take its options"),
        (["half=true"], "half=true must be a valid integer"),
        (["data.title=2019"], "data.title=2019 must be a valid string: quote it, 'data.title=\"2019\"'"),
        (["+recipe.speed=1"], "there is no setting 'recipe.speed': choose from name, steps"),
        (["+system.model.inputsize=3"], "there is no setting 'system.model.inputsize': choose from name, input_size"),
        (["+protocol.version=3"], "protocol.version=3: it is the protocol's own"),
        (["recipe.optimizer=.foo:bar"], "recipe.optimizer=.foo:bar: Python cannot import .foo"),
        (["recipe.optimizer=builtins:max"], "recipe.optimizer=builtins:max cannot be used"),
        (["recipe.optimizer=torch.optim:SGD"], "recipe.optimizer=torch.optim:SGD takes momentum by its place"),
        (["recipe=lmtcnn_official", "~system.official_learning_rate"], "system.official_learning_rate"),
        (["~mode"], "the setting 'mode' is missing"),
        (["~recipe.steps"], "the setting 'recipe.steps' is missing"),
        (["recipe.schedule.warmup=x"], "recipe.schedule={'name': 'cosine', 'warmup': 'x'} cannot be used"),
    ],
)
def test_a_run_is_checked_before_anything_is_written(
    words: list[str], message: str, overrides: Callable[..., list[str]]
) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        resolve_run(compose("train", overrides=overrides(*words)))


def test_an_option_that_is_null_is_the_default_in_the_identity_and_in_the_network(
    overrides: Callable[..., list[str]],
) -> None:
    usual, null = (
        resolve_run(compose("train", overrides=overrides("system=tiny_age_dldl_v2", "data=utkface", *more)))
        for more in ([], ["system.heads.age_years.scaling=null"])
    )
    assert usual.identity_keys("digest")["system"]["heads"]["age_years"].pop("scaling") == "paper"
    assert "scaling" not in null.identity_keys("digest")["system"]["heads"]["age_years"]
    assert "scaling" not in null.system.heads["age_years"].options
    assert build_network(null).heads["age_years"].share == build_network(usual).heads["age_years"].share


def test_the_command_that_makes_a_pack_names_its_place(overrides: Callable[..., list[str]]) -> None:
    for pack, said in (("data/packs/utkface-256", ""), ("scratch/data/packs/utkface-256", " data.pack=scratch/data/")):
        data = resolve_run(compose("train", overrides=["data=utkface", f"data.pack={pack}"])).data
        assert prepare_command(data).partition("data.source=/path/to/it")[2].startswith(said)
        assert ("data.pack" in prepare_command(data)) is bool(said)
