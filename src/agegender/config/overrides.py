"""The overrides of a command line, before Hydra reads them."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, Quote, QuotedString
from hydra.errors import HydraException

from agegender.config.settings import config_folder, is_text
from agegender.errors import UserError

TAKE_A_VALUE = ("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp", "--package", "-p")
SECRET = ("tracking.uri",)  # may hold a password: no message repeats its value
# The groups that experiments sweep. Hydra composes a sweep once without what is swept, so that a setting which only
# these choices have would be none there.
OF_THE_JOBS = ("data", "evaluation", "protocol", "recipe", "system", "transfer")


def read_overrides(overrides: Sequence[str]) -> list[str]:
    """Return the overrides with text as it was typed: a folder `2019` or `1e3` is no number.

    UserError for a word that cannot be read, and for one that names no choice of a group.
    """
    return [
        word if before in TAKE_A_VALUE or not _is_override(word) else _read(word)
        for before, word in zip(["", *overrides], overrides, strict=False)
    ]


def gathered(overrides: Sequence[str]) -> list[str]:
    """Put what is for the jobs alone into the setting `swept`: sweeps, and settings inside of groups that are swept.

    It stands where the first of them did, since Hydra takes no overrides after a flag that follows others.
    """
    aside = [word for word in overrides if _is_for_the_jobs(word)]
    quoted = ",".join(QuotedString(word, Quote.double).with_quotes() for word in aside)
    first = overrides.index(aside[0]) if aside else len(overrides)
    later = [word for word in overrides[first:] if word not in aside]
    return [*overrides[:first], *([f"swept=[{quoted}]"] if aside else []), *later]


def _is_override(word: str) -> bool:
    return "=" in word and not word.startswith("-")


def _is_for_the_jobs(word: str) -> bool:
    if word.startswith("-"):
        return False
    key = word.split("=", 1)[0].lstrip("+~")
    if key.startswith("hydra"):
        return False
    inside = "." in key and key.split(".")[0] in OF_THE_JOBS
    return inside or (_is_override(word) and OverridesParser.create().parse_override(word).is_sweep_override())


def _read(word: str) -> str:
    try:
        override = OverridesParser.create().parse_override(word)
    except HydraException:
        key, value = word.split("=", 1)
        if key.lstrip("+") in SECRET:
            raise UserError(f"{key} cannot be read: quote it twice, as in '{key}=\"...\"'") from None
        quoted = shlex.quote(f"{key}={QuotedString(value, Quote.double).with_quotes()}")
        raise UserError(f"{word} cannot be read: quote a value with special signs twice, {quoted}") from None
    _check_choice(override)
    if override.is_sweep_override() and override.key_or_group in SECRET:
        key = override.key_or_group
        raise UserError(f"{key} names several values: all runs go to one server, so quote it, '{key}=\"...\"'")
    if is_text(override.key_or_group) and isinstance(override.value(), bool | int | float | list | dict):
        typed = QuotedString(word.split("=", 1)[1], Quote.single)
        return f"{override.get_key_element()}={typed.with_quotes()}"
    return word


def _check_choice(override: Override) -> None:
    """Refuse what is no name as the choice of a group: null, a number, a list, a way out of the group's folder."""
    group, value = override.key_or_group, override.value()
    if not group:
        raise UserError(f"{override.input_line} has no name before its '='")
    folder = Path(config_folder()) / group
    if override.is_delete() or isinstance(value, Glob) or not (folder.is_dir() or group.startswith("hydra/")):
        return
    for choice in value.list if isinstance(value, ChoiceSweep) else [value]:
        name = choice.text if isinstance(choice, QuotedString) else choice
        if not isinstance(name, str) or not name or ".." in Path(name).parts or Path(name).is_absolute():
            options = ", ".join(sorted(file.stem for file in folder.glob("*.yaml")))
            remedy = f"choose from {options}" if options else "name one"
            raise UserError(f"{override.input_line}: there is no such {group}; {remedy}, or leave the word out")
