"""What kind of value each setting of every command takes: one table, and the check of a configuration against it.

It tells kinds only; which of the right kind are known or fit together is said where they are used.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from agegender.errors import UserError


@dataclass(frozen=True)
class Kind:
    """What a value must be, in words, and whether one is; `text`: it is read as it stands on a command line."""

    words: str
    holds: Callable[[Any], bool]
    text: bool = False


def whole(low: int = 0, high: float = math.inf) -> Kind:
    """A whole number from `low` to `high`; a true, a false or a 1.0 is none."""
    most = "" if high == math.inf else f" and at most {high}"
    return Kind(f"a whole number of at least {low}{most}", lambda value: type(value) is int and low <= value <= high)


def number(low: float = -math.inf, *, above: float = -math.inf, most: float = math.inf) -> Kind:
    """A finite number within the bounds; each bound but `above` is one of them."""
    bounds = [(low, "of at least"), (above, "above"), (most, "at most")]
    words = " and ".join(f"{word} {bound:g}" for bound, word in bounds if math.isfinite(bound))
    return Kind(
        f"a number {words}".strip(),
        lambda value: type(value) in (int, float) and math.isfinite(value) and low <= value <= most and value > above,
    )


def choice(*names: str) -> Kind:
    """One of a few words."""
    return Kind(f"one of {', '.join(names)}", lambda value: isinstance(value, str) and value in names)


def optional(kind: Kind) -> Kind:
    """A value of this kind, or null."""
    return Kind(f"{kind.words}, or null", lambda value: value is None or kind.holds(value), kind.text)


def either(kind: Kind, word: str) -> Kind:
    """A value of this kind, or this word."""
    return Kind(f"{kind.words}, or {word}", lambda value: value == word or kind.holds(value))


def several(kind: Kind, count: int) -> Kind:
    """A list of so many values of this kind."""
    return Kind(
        f"a list of {count} values, each {kind.words}",
        lambda value: isinstance(value, list) and len(value) == count and all(map(kind.holds, value)),
    )


TEXT = Kind("text that is not empty", lambda value: isinstance(value, str) and value != "", text=True)
NAME = Kind(  # of a file too
    "a name of letters, digits and . _ - + @ that begins with a letter, a digit or _",
    lambda value: isinstance(value, str) and re.fullmatch(r"\w[\w.+@-]*", value) is not None,
    text=True,
)
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
HEAD = Kind(
    "the name of a head, or its settings with a name",
    lambda value: isinstance(value.get("name") if isinstance(value, Mapping) else value, str),
)
SEED = whole(high=2**32 - 1)  # the streams of numbers of a run are named by the seed in their upper 32 of 64 bits

# A star stands for one part of a name. Head options and the preprocessing are checked where they are made.
SETTINGS = {
    "paths.*": TEXT,
    "fold": whole(),
    "seed": SEED,
    "mode": TEXT,
    "precision": TEXT,
    "validation": TEXT,
    "half": optional(whole()),
    "training_share": number(),
    "pretrained": optional(TEXT),
    "data.name": NAME,
    "data.title": TEXT,
    "data.source": optional(TEXT),
    "data.size": whole(1),
    "data.allow_missing": FLAG,
    "data.pack": TEXT,
    "data.settings.*": optional(TEXT),
    "data.generate.root": TEXT,
    "data.generate.faces": whole(1),
    "data.generate.users": whole(1),
    "data.generate.size": whole(1),
    "data.generate.seed": whole(),
    "data.test": optional(TEXT),
    "data.test_protocol": optional(TEXT),
    "protocol.name": TEXT,
    "protocol.validation": number(),
    "protocol.fraction": number(above=0, most=1),
    "protocol.validation_rule": TEXT,
    "system.name": NAME,
    "system.title": TEXT,
    "system.official_learning_rate": number(0),
    "system.official_weight_decay": number(0),
    "system.model.name": TEXT,
    "system.model.input_size": whole(1),
    "system.preprocessing.name": NAME,
    "system.preprocessing.channels": TEXT,
    "system.preprocessing.divisor": number(),
    "system.preprocessing.mean": optional(several(number(), 3)),
    "system.preprocessing.deviation": several(number(), 3),
    "system.heads.*": HEAD,
    "recipe.name": TEXT,
    "recipe.steps": whole(1),
    "recipe.batch_size": whole(1),
    "recipe.validate_every": whole(1),
    "recipe.optimizer": TEXT,
    "recipe.epsilon": number(0),
    "recipe.momentum": number(0),
    "recipe.learning_rate": number(0),
    "recipe.weight_decay": number(0),
    "recipe.clip_norm": optional(number(0)),
    "recipe.dropout": number(0, most=1),
    "recipe.contrast": optional(several(number(), 2)),
    "recipe.augmentation": TEXT,
    "recipe.schedule.name": TEXT,
    "recipe.schedule.factor": number(),
    "recipe.schedule.every": whole(1),
    "recipe.schedule.restart": optional(whole(1)),
    "recipe.schedule.warmup": number(0),
    "evaluation.views": optional(TEXT),
    "evaluation.statistics": optional(TEXT),
    "evaluation.batch_size": optional(whole(1)),
    "evaluation.order": optional(TEXT),
    "evaluation.repeats": optional(TEXT),
    "transfer.name": TEXT,
    "transfer.weights": optional(TEXT),
    "transfer.names": Kind(
        "names of a file and those of the network for them, or null",
        lambda value: value is None or (isinstance(value, Mapping) and all(map(TEXT.holds, value.values()))),
    ),
    "transfer.blocks": whole(1),
    "transfer.old_rate": number(above=0, most=1),
    "transfer.C": Kind(
        "a list of numbers above 0",
        lambda value: isinstance(value, list) and value != [] and all(map(number(above=0).holds, value)),
    ),
    "trainer.accelerator": choice("auto", "cpu", "gpu", "cuda", "mps"),
    "trainer.device": optional(whole()),
    "trainer.workers": whole(),
    "trainer.threads": optional(whole(1)),
    "trainer.resident": optional(FLAG),
    "trainer.compile": optional(FLAG),
    "trainer.progress": FLAG,
    "tracking.name": choice("mlflow", "none"),
    "tracking.uri": optional(TEXT),
    "tracking.experiment": TEXT,
    "tracking.system_metrics": FLAG,
    "runtime.name": TEXT,
    "runtime.precision": TEXT,
    "runtime.threads": either(whole(1), "all"),
    "runtime.batch_size": whole(1),
    "calls": whole(1),
    "calibration_faces": whole(1),
    "progress": FLAG,
    "run": optional(TEXT),
    "format": TEXT,
    "statistics": optional(TEXT),
    "folder": optional(TEXT),
    "images": optional(TEXT),
    "output": optional(TEXT),
    "faces": FLAG,
    "workers": optional(whole(1)),
    "runs": optional(TEXT),
    "table.title": optional(TEXT),
    "table.reference": TEXT,
    "table.published": optional(Kind("a list", lambda value: isinstance(value, list))),
}


_GROUPS = sorted({name.rsplit(".", depth)[0] for name in SETTINGS for depth in range(1, name.count(".") + 1)})


def kind_of(name: str) -> Kind | None:
    """Return the kind of a setting's value, by its dotted name; None of one that the table does not know."""
    return SETTINGS.get(name) or next((kind for each, kind in SETTINGS.items() if _fits(name, each)), None)


def check_values(config: DictConfig) -> None:
    """Refuse a value of a kind that its setting cannot have; UserError names the setting, the value and the kind."""
    for name in _GROUPS:
        if not isinstance(value := OmegaConf.select(config, name, default={}), Mapping):
            raise UserError(f"{name}={shown(value)}: {name} is a group of settings and no setting itself")
    for name, value in settings_in(config):
        kind = kind_of(name)
        if kind is not None and not kind.holds(value):
            quoted = kind.text and value is not None and not isinstance(value, str)
            remedy = f": quote it, '{name}=\"{shown(value)}\"'" if quoted else ""
            raise UserError(f"{name}={shown(value)} must be {kind.words}{remedy}")


def settings_in(config: DictConfig, before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every group and every setting of a configuration, by its dotted name, with interpolations resolved.

    The words in `swept` are left out: theirs are resolved in the jobs that they are for.
    """
    for key in map(str, config):
        if key == "swept":
            continue
        name, value = f"{before}{key}", config[key]
        yield name, OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        if isinstance(value, DictConfig):
            yield from settings_in(value, f"{name}.")


def shown(value: Any) -> str:
    """Write a value as the command line does."""
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)


def _fits(name: str, pattern: str) -> bool:
    """Whether a pattern, in which a star stands for one part, is of this name."""
    parts, wanted = name.split("."), pattern.split(".")
    return len(parts) == len(wanted) and all(want in ("*", part) for part, want in zip(parts, wanted, strict=True))
