"""The jobs of an experiment: one function, used by every command."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from hydra import compose
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from agegender.config.resolve import resolve_run
from agegender.config.settings import TrainSettings, settings_of
from agegender.data.pack import Pack
from agegender.errors import UserError, one_sentence
from agegender.runs.folder import RunFolder, identity
from agegender.runs.job import Job
from agegender.training.run_data import pack_of
from agegender.training.run_identity import identity_keys

# A protocol reads one kind of data, so choosing other data on the command line lets go of the experiment's protocol.
FOLLOWS = {"data": ("protocol",)}


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
    """Compose the configuration of one job of a command; UserError for what cannot be composed."""
    try:
        return compose(command, overrides=list(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(one_sentence(error)) from None


def list_jobs(overrides: Sequence[str], params: Mapping[str, str] | None) -> list[Job]:
    """List the jobs of a command: its overrides times what its experiment sweeps. Call it inside a Hydra application.

    UserError for values no run can have and for a pack that is missing or stale.
    """
    packs: dict[Path, Pack] = {}
    jobs = []
    for job in expand(overrides, params):
        config = composed("train", job)
        run, runs = resolve_run(config), settings_of(TrainSettings, config).paths.runs
        if run.data.pack not in packs:
            packs[run.data.pack] = pack_of(run.data)
        keys = identity_keys(run, packs[run.data.pack].digest)
        jobs.append(Job(run, keys, RunFolder(runs / identity(run.system.name, keys)), tuple(job)))
    return jobs
