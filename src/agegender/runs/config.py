"""The configuration that a run folder holds, read back and held against the run's identity."""

from collections.abc import Mapping
from typing import Any

import yaml  # type: ignore[import-untyped]
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from agegender.errors import UserError
from agegender.files import Shape, flaw
from agegender.modes import get_evaluation
from agegender.runs.folder import RunFolder

# What no identity knows, or knows as a digest only.
_SHAPE: Shape = {
    "data": {
        **dict.fromkeys(("name", "title", "pack"), str),
        "source": str | None,
        "size": int,
        "settings": dict,
        "allow_missing": bool,
    },
    "paths": {"data": str},
    "evaluation?": dict,
    "transfer?": dict,
}
# The parts of a configuration that stand in the identity as they are.
_SAME = ("protocol", "system", "recipe", "mode", "precision", "seed", "fold", "validation")


def read_config(folder: RunFolder) -> DictConfig:
    """Return the configuration of a run; Damaged where it cannot be read or describes another run than the identity."""
    try:
        text = folder.content("config.yaml").decode()
        config = OmegaConf.create(text)
        content = OmegaConf.to_container(config, resolve=True)
    except (UnicodeDecodeError, yaml.YAMLError, OmegaConfBaseException, ValueError, RecursionError):
        raise folder.damaged("config.yaml", "is not valid YAML") from None
    if problem := flaw(content, _SHAPE) or _departure(content, folder.keys):
        raise folder.damaged("config.yaml", problem)
    assert isinstance(config, DictConfig)
    return config


def _departure(config: Any, keys: Mapping[str, Any]) -> str:
    """Say where a configuration is not the one that a run is named after; "" where it is."""
    from agegender.datasets.protocols import get_protocol  # brings pandas, which `--help` need not wait for

    for name in _SAME:
        if name in keys and not _holds(config.get(name), _without_version(keys[name])):
            return f"has another '{name}' than the run"
    if "evaluation" in keys and "evaluation" not in config:
        return "lacks 'evaluation'"
    transfer = keys.get("transfer", {"name": "none"})
    if not _holds(config.get("transfer") or {"name": "none"}, transfer):
        return "has another 'transfer' than the run"
    if any(config.get(name, usual) != keys.get(name, usual) for name, usual in (("half", None), ("training_share", 1))):
        return "has another share of the training faces than the run"
    try:
        get_protocol(config["protocol"]["name"], config["data"]["name"])
        evaluation = vars(get_evaluation(config["mode"], config.get("evaluation", {})))
    except UserError as error:
        return f"cannot be used ({error})"
    return "" if evaluation == keys.get("evaluation", evaluation) else "has another 'evaluation' than the run"


def _without_version(value: Any) -> Any:
    """A part of an identity but for the version of a protocol, which no configuration holds."""
    return {name: each for name, each in value.items() if name != "version"} if isinstance(value, Mapping) else value


def _holds(found: Any, wanted: Any) -> bool:
    """Whether a value is the wanted one; of keys with values there may be more than are wanted."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return all(name in found and _holds(found[name], each) for name, each in wanted.items())
    return bool(found == wanted)
