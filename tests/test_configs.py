"""Every YAML composes, says what exists, and trains: nothing in conf/ or experiments/ can rot unseen."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from agegender import list_models
from agegender.commands.train import train
from agegender.config.jobs import expand, list_jobs, narrowed
from agegender.config.resolve import resolve_run
from agegender.config.settings import config_folder, plain
from agegender.data.build import build_pack
from agegender.data.manifest import read_rows
from agegender.datasets.catalogue import DATASETS
from agegender.datasets.protocols import PROTOCOLS
from agegender.heads.catalogue import HEADS
from agegender.models.catalogue import MODELS
from agegender.report.published import read_published
from agegender.runtimes.catalogue import RUNTIMES
from agegender.training.fit import build_network
from packed_faces import picture
from small_sets import HEADER, faces, table

CHOICES = Path(__file__).parents[1] / "docs" / "reference" / "choices.md"

CONF = Path(config_folder())
TESTS = Path(__file__).parent


def names(group: str) -> list[str]:
    return sorted(file.stem for file in (CONF / group).glob("*.yaml"))


@pytest.fixture(autouse=True)
def hydra() -> Iterator[None]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Words that choose the pack of a user's table of twenty faces with every label, which drawn faces have not."""
    source, pack = tmp_path_factory.mktemp("scored"), tmp_path_factory.mktemp("packs of scored") / "pack"
    table(source, [f"{line},0.5" for line in faces(20, 20)], f"{HEADER},score_sd")
    for number in range(20):
        (source / f"part {number % 2}").mkdir(exist_ok=True)
        (source / f"part {number % 2}" / f"{number}.png").write_bytes(picture(number))
    settings = {"table": "faces.csv"}
    rows, _ = read_rows("csv", source, **settings)
    build = {"dataset": "csv", "size": 256, "settings": settings, "allow_missing": False, "workers": 1}
    build_pack(pack, source, rows, progress=False, **build)
    return ["data=csv", "data.settings.table=faces.csv", f"data.pack='{pack}'"]


@pytest.mark.parametrize("command", ["prepare", "train", "cost", "export", "report", "track", "predict"])
def test_each_verb_composes(command: str) -> None:
    assert compose(command).paths.runs == "runs"


@pytest.mark.parametrize("system", names("system"))
def test_each_system_trains_one_real_step(
    system: str, overrides: Callable[..., list[str]], scored: list[str], tmp_path: Path
) -> None:
    words = (f"system={system}", "debug=one_step", "tracking=none")
    # 134 million weights: few faces, and no moments of Adam's beside them.
    few = ("recipe.batch_size=1", "protocol.validation=0.01", "fold=4")
    light = (*few, "recipe.optimizer=sgd", "+recipe.momentum=0") if "vgg_face" in system else ()
    labelled = scored if "attractiveness" in system else ()
    config = compose("train", overrides=overrides(*words, *light, *labelled))
    train(config)
    (done,) = (tmp_path / "runs").glob(f"{system}-*/done")
    metrics = (done.parent / "metrics.json").read_text()
    assert all(f"test/{task}_n" in metrics for task in config.system.heads)
    shutil.rmtree(tmp_path)  # half a gigabyte of a large one


@pytest.mark.parametrize("recipe", names("recipe"))
def test_each_recipe_trains_one_real_step(recipe: str, overrides: Callable[..., list[str]], tmp_path: Path) -> None:
    words = (f"recipe={recipe}", "debug=one_step", "tracking=none", "system=lmtcnn_2_1_gender")
    train(compose("train", overrides=overrides(*words)))
    assert list((tmp_path / "runs").glob("*/done"))


@pytest.mark.parametrize("data", names("data"))
def test_each_data_set_has_a_reader_and_a_protocol_that_fits(data: str) -> None:
    config = compose("train", overrides=[f"data={data}"])
    assert PROTOCOLS[config.protocol.name] in DATASETS[config.data.name].protocols


@pytest.mark.parametrize("group", ["trainer", "tracking", "debug"])
def test_each_other_choice_composes(group: str) -> None:
    for name in names(group):
        resolve_run(compose("train", overrides=[f"{group}={name}"]))


def test_names_in_yaml_and_code_are_the_same() -> None:
    sizes = {
        name: OmegaConf.load(Path(config_folder()) / "model" / f"{name}.yaml").input_size for name in names("model")
    }
    assert sizes == {name: model.input_size for name, model in MODELS.items()}
    assert set(names("protocol")) == set(PROTOCOLS)
    assert set(names("head")) == set(HEADS)
    assert set(names("runtime")) == set(RUNTIMES)
    assert set(names("data")) == set(DATASETS)
    for system in names("system"):
        config = compose("train", overrides=[f"system={system}"])
        assert config.system.name == system
        with torch.device("meta"):  # its splits without their numbers
            network = build_network(resolve_run(config))
        assert list(network.heads) == list(config.system.heads)


def test_every_model_has_its_counts_tested() -> None:
    text = (TESTS / "test_models.py").read_text()
    assert all(f'("{name}", (' in text for name in list_models())


@pytest.mark.parametrize("experiment", names("experiment"))
def test_each_experiment_lists_its_jobs(experiment: str, overrides: Callable[..., list[str]]) -> None:
    text = (CONF / "experiment" / f"{experiment}.yaml").read_text()
    assert text.startswith("# @package _global_\n#")
    assert "Expected" in text and "Cost" in text and f"experiment={experiment}" in text
    assert "override" not in text and "hydra.mode" not in text
    read_published(plain(OmegaConf.create(text).table)["published"])
    words = [f"experiment={experiment}", "data=generated", "data.size=256", *overrides()]
    params = {key: value for key, value in _params(experiment).items() if key not in ("data", "protocol")}
    jobs = list_jobs(words, params)
    assert len({job.identity for job in jobs}) == len(jobs) == len(expand(words, params))
    assert {job.run.fold for job in jobs} == (set(range(5)) if params["fold"] == "range(0,5)" else {0})
    first = [job.run.system.name for job in jobs if job.run.fold == 0]
    assert list(dict.fromkeys(first)) == _params(experiment)["system"].split(","), "the order of the rows"


@pytest.mark.parametrize("experiment", names("experiment"))
def test_what_an_experiment_sets_holds(experiment: str) -> None:
    text = OmegaConf.to_container(OmegaConf.load(CONF / "experiment" / f"{experiment}.yaml"))
    config = compose("train", overrides=[f"experiment={experiment}"])
    for key in text.keys() - {"hydra"}:
        assert OmegaConf.merge(config, {key: text[key]})[key] == config[key], key
    assert compose("train", overrides=[f"experiment={experiment}", "mode=sound"]).mode == "sound"


def _params(experiment: str) -> dict[str, str]:
    config = compose("train", overrides=[f"experiment={experiment}"], return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    return dict(config.hydra.sweeper.params)


def test_the_command_line_narrows_a_sweep() -> None:
    swept = _params("lmtcnn")
    assert list(swept) == ["data", "protocol", "system", "fold"]
    assert list(narrowed(["experiment=lmtcnn", "fold=0"], swept)) == ["data", "protocol", "system"]
    assert list(narrowed(["data=utkface"], swept)) == ["system", "fold"]
    assert list(narrowed(["data=adience"], swept)) == ["protocol", "system", "fold"], "its own data keep its protocol"
    assert narrowed(["experiment=lmtcnn"], swept) == swept
    assert narrowed(["fold=0"], None) == {}


def test_expansion_is_hydras() -> None:
    assert expand(["seed=3", "fold=0,1"], {"system": "a,b"}) == [
        ["system=a", "seed=3", "fold=0"],
        ["system=a", "seed=3", "fold=1"],
        ["system=b", "seed=3", "fold=0"],
        ["system=b", "seed=3", "fold=1"],
    ]


@pytest.mark.parametrize("group", ["protocol", "evaluation", "head", "preprocessing", "recipe", "transfer"])
def test_every_choice_is_explained(group: str) -> None:
    page = CHOICES.read_text(encoding="utf-8").split(f"## {group}:")[1].split("\n## ")[0]
    for file in (Path(config_folder()) / group).glob("*.yaml"):
        assert f"`{file.stem}`" in page, f"docs/reference/choices.md does not say what {group}={file.stem} means"


def test_the_counts_that_are_explained_are_those_that_are_checked() -> None:
    page = CHOICES.read_text(encoding="utf-8")
    for protocol in DATASETS["adience"].protocols:
        if protocol.lists is None:
            line = next(line for line in page.splitlines() if line.startswith(f"| `{protocol.name}`"))
            assert f"| {sum(protocol.counts['rows']):,} |" in line
