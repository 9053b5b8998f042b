"""The jobs of an experiment: one function, used by every verb."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra import compose
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from agegender.errors import UserError, one_sentence
from agegender.settings import (
    check,
    config_folder,
    differences,
    identity_keys,
    pack_of,
    run_folder,
    tasks_of,
)

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


def narrowed(overrides: Sequence[str], swept: Mapping[str, str]) -> list[str]:
    """Overrides that make the command line win over what the experiment sweeps: `fold=0` takes `fold` out of it."""
    given = dict(o.lstrip("+").split("=", 1) for o in overrides if "=" in o)
    changed = [key for key in FOLLOWS if key in given and given[key] != swept.get(key)]
    gone = given.keys() | {follower for key in changed for follower in FOLLOWS[key]}
    return [f"~hydra.sweeper.params.{key}" for key in swept if key in gone]


def gathered(overrides: Sequence[str]) -> list[str]:
    """Put the sweeps of a command line (`fold=0,1`) into its setting `swept`, for a verb that is one job about many.

    Such a verb is no multirun, so it needs no -m, and one that was given changes nothing.
    """
    swept = [word for word in overrides if _is_sweep(word)]
    others = [word for word in overrides if word not in (*swept, "-m", "--multirun")]
    return [*others, *([f"swept={json.dumps(swept)}"] if swept else [])]


def _is_sweep(word: str) -> bool:
    """Whether a word is an override with several values; a flag, or what Hydra cannot read, is left to Hydra."""
    try:
        return "=" in word and OverridesParser.create().parse_override(word).is_sweep_override()
    except HydraException:
        return False


def expand(overrides: Sequence[str], params: Mapping[str, str] | None) -> list[list[str]]:
    """Expand swept overrides into one list of overrides per job, in the order Hydra's own sweeper runs them."""
    words = [*(f"{key}={value}" for key, value in (params or {}).items()), *overrides]
    parsed = OverridesParser.create().parse_overrides(words)
    batches = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    return [list(job) for batch in batches for job in batch]


def list_jobs(overrides: Sequence[str], params: Mapping[str, str] | None) -> list[Job]:
    """List the jobs of a command: its overrides times what its experiment sweeps. Call it inside a Hydra application.

    UserError for values no run can have and for a pack that is missing or stale.
    """
    packs: dict[str, Pack] = {}
    jobs = []
    for words in expand(overrides, params):
        try:
            config = compose("train", overrides=words)
        except (HydraException, OmegaConfBaseException) as error:
            raise UserError(one_sentence(error)) from None
        check(config)
        if config.data.pack not in packs:
            packs[config.data.pack] = pack_of(config)
        jobs.append(_job(config, packs[config.data.pack].digest, tuple(words)))
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


def swept_by(overrides: Sequence[str]) -> dict[str, str]:
    """What the experiment of a command line sweeps: its `hydra.sweeper.params`; nothing without one."""
    names = [o.removeprefix("experiment=") for o in overrides if o.startswith("experiment=")]
    file = Path(config_folder()) / "experiment" / f"{names[-1]}.yaml" if names else None
    if file is None or not file.exists():
        return {}
    return dict(OmegaConf.select(OmegaConf.load(file), "hydra.sweeper.params", default={}))
