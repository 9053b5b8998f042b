"""The identities of runs are pinned: a changed default or key would rename, and train again, every finished run."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from agegender.config.jobs import expand
from agegender.config.resolve import resolve_run
from agegender.config.settings import config_folder
from agegender.modes import MODES, get_mode
from agegender.runs.config import read_run, write_run
from agegender.runs.folder import RunFolder, identity
from agegender.spec import Run
from agegender.training.run_identity import identity_keys

CONF = Path(config_folder())
GOLDEN = Path(__file__).parent / "golden" / "identities.json"
DIGEST = "0" * 64  # of the data


@pytest.fixture(scope="module")
def golden() -> dict[str, dict[str, str]]:
    content: dict[str, dict[str, str]] = json.loads(GOLDEN.read_text(encoding="utf-8"))
    return content


def names(group: str) -> list[str]:
    return sorted(file.stem for file in (CONF / group).glob("*.yaml"))


def named(run: Run) -> str:
    return identity(run.system.name, identity_keys(run, DIGEST))


def of_systems() -> Iterator[tuple[str, str]]:
    """Each system under each recipe and mode, on UTKFace, or on SCUT-FBP5500 where it learns a score."""
    recipes = {recipe: OmegaConf.load(CONF / "recipe" / f"{recipe}.yaml") for recipe in names("recipe")}
    for system in names("system"):
        data = "scut_fbp5500" if "attractiveness" in system else "utkface"
        config = compose("train", overrides=[f"system={system}", f"data={data}"])
        for recipe, config.recipe in recipes.items():  # as Hydra does, but at once
            run = resolve_run(config)
            for mode in MODES:
                evaluation = get_mode(mode).evaluation
                changed = run.model_copy(update={"mode": mode, "evaluation": evaluation})
                yield f"{system} {recipe} {mode}", named(changed)


def of_experiments() -> Iterator[tuple[str, str]]:
    """Each job of each experiment, named by what its experiment sweeps. No run is there to start from."""
    for experiment in names("experiment"):
        swept = dict(OmegaConf.load(CONF / "experiment" / f"{experiment}.yaml").hydra.sweeper.params)
        folds = swept.pop("fold")
        for words in expand([f"experiment={experiment}", "paths.runs=no_such_folder"], swept):
            run = resolve_run(compose("train", overrides=words))
            for (fold,) in expand([f"fold={folds}"], None):
                changed = run.model_copy(update={"fold": int(fold.removeprefix("fold="))})
                yield " ".join([experiment, *words[: len(swept)], fold]), named(changed)


def found() -> dict[str, dict[str, str]]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return {"systems": dict(of_systems()), "experiments": dict(of_experiments())}


def test_no_run_has_another_identity_than_before(golden: dict[str, dict[str, str]]) -> None:
    """To accept identities that are meant to change: `python tests/test_identities.py`, and say so in the commit."""
    assert found() == golden
    systems = golden["systems"]
    assert len(set(systems.values())) == len(systems), "two runs share a folder"


# Runs whose folders are pinned as they stand: between them they have every kind of setting.
FOLDERS = {
    "faithful": ["system=lmtcnn_2_1", "data=adience", "recipe=lmtcnn_official", "mode=faithful", "evaluation=ten_crop"],
    "years": ["system=dldl_v2_tiny", "data=utkface", "protocol=utkface_years", "recipe=dldl_v2", "fold=3", "seed=7"],
    "part": ["system=gilnet_age", "data=fairface", "half=1", "training_share=0.2", "protocol.fraction=0.1"],
}


@pytest.mark.parametrize("name", FOLDERS)
def test_the_folder_of_a_finished_run_can_still_be_read(name: str) -> None:
    folder = RunFolder(GOLDEN.parent / "runs" / name)
    run = read_run(folder)  # which compares it with the keys in identity.json
    with initialize_config_dir(str(CONF), version_base="1.3"):
        assert run == resolve_run(compose("train", overrides=FOLDERS[name]))


def write_folders() -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for name, overrides in FOLDERS.items():
            run, folder = resolve_run(compose("train", overrides=overrides)), RunFolder(GOLDEN.parent / "runs" / name)
            keys = identity_keys(run, DIGEST)
            write_run(folder, run)
            folder.write("identity", {"identity": identity(run.system.name, keys), "keys": keys})


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(found(), indent=1) + "\n", encoding="utf-8")
    write_folders()
