"""The identities of runs are pinned: a changed default or key would rename, and train again, every finished run."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from agegender.config.jobs import expand
from agegender.config.settings import config_folder, identity_keys
from agegender.modes import MODES
from agegender.runs.folder import identity

CONF = Path(config_folder())
GOLDEN = Path(__file__).parent / "golden" / "identities.json"
DIGEST = "0" * 64  # of the data


@pytest.fixture(scope="module")
def golden() -> dict[str, dict[str, str]]:
    content: dict[str, dict[str, str]] = json.loads(GOLDEN.read_text(encoding="utf-8"))
    return content


def names(group: str) -> list[str]:
    return sorted(file.stem for file in (CONF / group).glob("*.yaml"))


def named(config: DictConfig) -> str:
    return identity(config.system.name, identity_keys(config, DIGEST))


def of_systems() -> Iterator[tuple[str, str]]:
    """Each system under each recipe and mode, on UTKFace, or on SCUT-FBP5500 where it learns a score."""
    recipes = {recipe: OmegaConf.load(CONF / "recipe" / f"{recipe}.yaml") for recipe in names("recipe")}
    for system in names("system"):
        data = "scut_fbp5500" if "attractiveness" in system else "utkface"
        config = compose("train", overrides=[f"system={system}", f"data={data}"])
        for recipe, config.recipe in recipes.items():  # as Hydra does, but at once
            for config.mode in MODES:
                yield f"{system} {recipe} {config.mode}", named(config)


def of_experiments() -> Iterator[tuple[str, str]]:
    """Each job of each experiment, named by what its experiment sweeps. No run is there to start from."""
    for experiment in names("experiment"):
        swept = dict(OmegaConf.load(CONF / "experiment" / f"{experiment}.yaml").hydra.sweeper.params)
        folds = swept.pop("fold")
        for words in expand([f"experiment={experiment}", "paths.runs=no_such_folder"], swept):
            config = compose("train", overrides=words)
            for (fold,) in expand([f"fold={folds}"], None):
                config.fold = int(fold.removeprefix("fold="))
                yield " ".join([experiment, *words[: len(swept)], fold]), named(config)


def found() -> dict[str, dict[str, str]]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return {"systems": dict(of_systems()), "experiments": dict(of_experiments())}


def test_no_run_has_another_identity_than_before(golden: dict[str, dict[str, str]]) -> None:
    """To accept identities that are meant to change: `python tests/test_identities.py`, and say so in the commit."""
    assert found() == golden
    systems = golden["systems"]
    assert len(set(systems.values())) == len(systems), "two runs share a folder"


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(found(), indent=1) + "\n", encoding="utf-8")
