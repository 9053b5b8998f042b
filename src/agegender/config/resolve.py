"""From Hydra's configuration to a run, with every check of it: the only way to make one from a command line."""

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.errors import HydraException
from omegaconf import DictConfig

from agegender.config.settings import Official, TestChoice, config_folder, plain
from agegender.data.splits import RULES
from agegender.data.transforms.augmentations import get_augmentation
from agegender.data.transforms.preprocessing import get_preprocessing
from agegender.data.transforms.views import get_views
from agegender.datasets.folds import FOLDS
from agegender.datasets.protocols import get_protocol
from agegender.errors import UserError, one_sentence
from agegender.heads.catalogue import create_head
from agegender.models.sizes import check_size
from agegender.modes import get_evaluation
from agegender.spec import Choice, Data, ProtocolChoice, Recipe, Run, TestSet
from agegender.tasks import get_task
from agegender.training.optimization import build_schedule, check_recipe
from agegender.training.transfer.policy import check_transfer

_BESIDE_DATA = ("generate", *TestChoice.model_fields)  # settings in `data` that are of no data set


def resolve_run(config: DictConfig) -> Run:
    """Return the run that a configuration describes; UserError names the first value that no run can have."""
    content = plain(config)
    for name in ("system", "data", "protocol", "evaluation", "mode"):
        if name not in content:
            raise UserError(f"the setting '{name}' is missing: say {name}=...")
    data, protocol = _data_and_protocol(content)
    given = {name: content[name] for name in Run.model_fields if name in content}
    given["data"] = data.model_dump()
    given["protocol"] = protocol.model_dump()
    given["system"] = _system(content["system"], data, protocol)
    given["evaluation"] = get_evaluation(content["mode"], _group(content, "evaluation")).model_dump()
    given["test"] = _test_set(config, content["data"])
    run = Run.read(given)
    _check(run)
    return run


def _group(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    if not isinstance(found := content[name], dict):
        raise UserError(f"{name}={found}: {name} is a group of settings and no setting itself")
    return found


def _data_and_protocol(content: Mapping[str, Any]) -> tuple[Data, ProtocolChoice]:
    """Read the data set and the protocol, with what the code knows of it."""
    given = {name: value for name, value in _group(content, "data").items() if name not in _BESIDE_DATA}
    data = Data.read(given, "data")
    given = {name: value for name, value in _group(content, "protocol").items() if name != "validation_rule"}
    for name in ("version", "labels"):
        if name in given:
            raise UserError(f"protocol.{name}={given[name]}: it is the protocol's own, leave it out")
    protocol = ProtocolChoice.read(given | {"version": 0}, "protocol")
    known = get_protocol(protocol.name, data.name)
    labels = {known.age_task: known.age_labels} if known.age_labels else {}
    return data, protocol.model_copy(update={"version": known.version, "labels": labels})


def _system(given: Any, data: Data, protocol: ProtocolChoice) -> Any:
    """Give each head the name of its task: the protocol says which label space `age` stands for."""
    if not isinstance(given, dict) or not isinstance(given.get("heads"), dict):
        return given
    age = get_protocol(protocol.name, data.name).age_task
    heads = {
        age if task == "age" else task: {"name": head} if isinstance(head, str) else head
        for task, head in given["heads"].items()
    }
    Official.read({name: given[name] for name in Official.model_fields if name in given}, "system")
    return {name: value for name, value in given.items() if name not in Official.model_fields} | {"heads": heads}


def _test_set(config: DictConfig, data: Mapping[str, Any]) -> dict[str, Any] | None:
    """Compose the other data set whose faces are tested (`data.test`), at this one's size and fold; None without.

    It is read by `data.test_protocol` or its default protocol.
    """
    chosen = TestChoice.read({name: data.get(name) for name in TestChoice.model_fields}, "data")
    if (name := chosen.test) is None:
        return None
    known = sorted(file.stem for file in (Path(config_folder()) / "data").glob("*.yaml"))
    if name not in known or name == data["name"]:
        raise UserError(f"data.test={name}: choose another data set than {data['name']}, from {', '.join(known)}")
    here = [f"data={name}", f"data.size={data['size']}", f"paths.data='{config.paths.data}'", f"fold={config.fold}"]
    protocol = [f"protocol={chosen.test_protocol}"] if chosen.test_protocol else []
    try:
        other = compose("train", overrides=[*here, *protocol])
    except HydraException as error:
        raise UserError(one_sentence(error)) from None
    data_there, protocol_there = _data_and_protocol(plain(other))
    return TestSet(data=data_there, protocol=protocol_there).model_dump()


def _check(run: Run) -> None:
    """Refuse values of the right type that are not known, or do not fit together."""
    _check_folds(run)
    get_views(run.evaluation.views)
    check_transfer(run.transfer, run.system.heads)
    _check_heads(run.system.heads)
    check_size(run.system.model.name, run.system.model.input_size)
    _check_recipe(run.recipe)
    get_preprocessing(run.system.preprocessing.settings)
    get_augmentation(run.recipe.augmentation)
    if run.validation not in RULES:
        raise UserError(f"validation={run.validation} is unknown: choose from {', '.join(RULES)}")
    if run.system.model.input_size > run.data.size:
        raise UserError(
            f"data.size={run.data.size} is smaller than the {run.system.model.input_size} pixels that "
            f"{run.system.name} reads: choose data.size=256, as the papers do"
        )


def _check_folds(run: Run) -> None:
    if run.fold >= FOLDS:
        raise UserError(f"fold={run.fold}: there are five folds, choose fold=0 to fold=4")
    if run.fold >= get_protocol(run.protocol.name, run.data.name).folds:
        raise UserError(f"fold={run.fold}: protocol {run.protocol.name} has one fold, choose fold=0")
    if run.test and run.fold >= get_protocol(run.test.protocol.name, run.test.data.name).folds:
        raise UserError(f"fold={run.fold}: data.test={run.test.data.name} has one fold, choose fold=0")


def _check_recipe(recipe: Recipe) -> None:
    content = recipe.model_dump(exclude_none=True)
    check_recipe(content)
    try:
        factors = [build_schedule(content)(step) for step in (0, recipe.steps - 1)]
    except (TypeError, ValueError, ArithmeticError) as error:
        raise UserError(
            f"recipe.schedule={content['schedule']} cannot be used ({error}): correct its settings"
        ) from None
    if not all(map(isfinite, factors)):
        raise UserError(f"recipe.schedule={content['schedule']} gives no rates ({factors}): correct its settings")


def _check_heads(heads: Mapping[str, Choice]) -> None:
    for task, head in heads.items():
        try:
            create_head(head.name, 1, get_task(task), **head.options)
        except UserError as error:
            raise UserError(f"system.heads.{task}: {error}") from None
