"""The jobs of an experiment: one function, used by every command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra import compose
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from agegender.config.settings import check, differences, identity_keys, pack_of, run_folder, tasks_of
from agegender.errors import UserError, one_sentence

if TYPE_CHECKING:
    from agegender.data.pack import Pack

# A protocol reads one kind of data, so choosing other data on the command line lets go of the experiment's protocol.
FOLLOWS = {"data": ("protocol",)}


@dataclass(frozen=True)
class Job:
    """One run of a table: what it is, and the folder it has or would have.

    `curve` is the title of all rows that differ in the share of the training faces only.
    """

    system: str
    title: str
    tasks: tuple[str, ...]
    fold: int
    seed: int
    mode: str
    variant: str
    protocol: str
    dataset: str
    identity: str
    run: Path
    keys: Mapping[str, Any]
    overrides: tuple[str, ...]
    config: DictConfig
    curve: str = ""
    training_share: float = 1.0


def narrowed(overrides: Sequence[str], params: Mapping[str, str] | None) -> dict[str, str]:
    """What an experiment sweeps but for what the command line says: `fold=0` takes `fold` out of it."""
    swept = dict(params or {})
    given = dict(word.lstrip("+").split("=", 1) for word in overrides if "=" in word)
    changed = [key for key in FOLLOWS if key in given and given[key] != swept.get(key)]
    gone = given.keys() | {follower for key in changed for follower in FOLLOWS[key]}
    return {key: values for key, values in swept.items() if key not in gone}


def overrides_of(config: DictConfig, task: Sequence[str], *, own: Sequence[str] = ()) -> list[str]:
    """Return the overrides of the jobs of a command, those in `swept` too, without the command's `own`.

    `task` are the overrides that Hydra has seen.
    """
    seen = [word for word in task if word.split("=", 1)[0] not in ("swept", *own)]
    if not isinstance(config.swept, ListConfig):
        raise UserError(f"swept={config.swept} must be a list of overrides such as 'fold=0,1': say them by themselves")
    aside: list[str] = OmegaConf.to_container(config.swept, resolve=False)  # type: ignore[assignment]
    return [*seen, *aside]


def expand(overrides: Sequence[str], params: Mapping[str, str] | None) -> list[list[str]]:
    """Expand swept overrides into one list of overrides per job, in the order Hydra's own sweeper runs them.

    UserError for what cannot be listed: a sweep without values or over an interval, or over choices that sweep.
    """
    hydra = GlobalHydra.instance()
    loader = hydra.config_loader() if hydra.is_initialized() else None
    overrides = [*(f"{key}={value}" for key, value in narrowed(overrides, params).items()), *overrides]
    try:
        parsed = OverridesParser.create(config_loader=loader).parse_overrides(overrides)
        for override in parsed:
            if override.is_sweep_override():
                _check_sweep(override, loader)
        batches = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    except HydraException as error:
        raise UserError(one_sentence(error)) from None
    return [list(job) for batch in batches for job in batch]


def _check_sweep(override: Override, loader: ConfigLoader | None) -> None:
    """Refuse a sweep that is no list of jobs."""
    word = override.input_line
    if not override.is_discrete_sweep():
        raise UserError(f"{word}: a sweep lists its runs before the first, so name the values: a,b,c or range(...)")
    try:
        choices = list(override.sweep_string_iterator())
    except ValueError as error:
        raise UserError(f"{word} cannot be read: {error}") from None
    if not choices:
        raise UserError(f"{word} names no value: nothing would be done")
    for source in loader.get_sources() if loader else ():
        for file in (f"{override.key_or_group}/{choice}" for choice in choices):
            if source.is_config(file) and OmegaConf.select(source.load_config(file).config, "hydra.sweeper.params"):
                raise UserError(f"{word}: {file} has a sweep of its own: run the command once for each")


def composed(command: str, overrides: Sequence[str]) -> DictConfig:
    """Compose and check the configuration of one job of a command; UserError for what no run can have."""
    try:
        config = compose(command, overrides=list(overrides))
        check(config)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(one_sentence(error)) from None
    return config


def list_jobs(overrides: Sequence[str], params: Mapping[str, str] | None) -> list[Job]:
    """List the jobs of a command: its overrides times what its experiment sweeps. Call it inside a Hydra application.

    UserError for values no run can have and for a pack that is missing or stale.
    """
    packs: dict[str, Pack] = {}
    jobs = []
    for job in expand(overrides, params):
        config = composed("train", job)
        if config.data.pack not in packs:
            packs[config.data.pack] = pack_of(config)
        jobs.append(_job(config, packs[config.data.pack].digest, tuple(job)))
    return jobs


def _job(config: DictConfig, data_digest: str, overrides: tuple[str, ...]) -> Job:
    folder = run_folder(config, data_digest)
    apart = differences(config)
    return Job(
        system=config.system.name,
        title=_title(config, apart),
        tasks=tuple(tasks_of(config)),
        fold=config.fold,
        seed=config.seed,
        mode=config.mode,
        variant="_".join(apart.values()),
        protocol=config.protocol.name,
        dataset=" tested on ".join(filter(None, [config.data.name, config.data.get("test")])),
        identity=folder.identity,
        run=folder.path,
        keys=identity_keys(config, data_digest),
        overrides=overrides,
        config=config,
        curve=_title(config, _but_for_share(apart)),
        training_share=config.training_share,
    )


def _but_for_share(apart: Mapping[str, str]) -> dict[str, str]:
    """What rows of one learning curve have in common; where it says nothing of a start, that is from scratch."""
    common = {name: value for name, value in apart.items() if name != "training_share"}
    return common if "transfer" in common else {"from": "scratch", **common}


def _title(config: DictConfig, apart: Mapping[str, str]) -> str:
    return ", ".join([config.system.title, *(f"{name.replace('_', ' ')} {value}" for name, value in apart.items())])
