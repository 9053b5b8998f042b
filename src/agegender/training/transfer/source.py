"""Where a run's weights come from: a file or a finished run, and the checksum that stands for them in its identity."""

import hashlib
import logging
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from omegaconf import DictConfig

from agegender.errors import Damaged, UserError
from agegender.runs.folder import RunFolder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """Weights: their file, the sha256 of its content, and the run that trained them (None: a file of other origin)."""

    file: Path
    sha256: str
    run: RunFolder | None = None

    @property
    def words(self) -> str:
        """What messages call it."""
        return str(self.file) if self.run is None else f"run {self.run.identity}"


def policy_of(config: DictConfig) -> str:
    """Name the transfer policy of a run; runs of before there was one started from scratch."""
    return str(config.transfer.name) if config.get("transfer") else "none"


def find_sources(config: DictConfig, data_digest: str) -> list[Source]:
    """Find what `transfer.weights` names, each distinct file of weights once: nothing without transfer.

    It is a file, the folder of a finished run, or a pattern of run folders, of which those count that are done and have
    this run's data, fold and seed, and where this run has a `half` the other one. A run that lends the weights of
    another stands for that other.
    """
    if policy_of(config) == "none":
        return []
    given = Path(config.transfer.weights).expanduser()
    if given.is_file():
        return [Source(given, checksum(given))]
    pattern = not given.is_dir()
    runs = [RunFolder(folder) for folder in (sorted(given.parent.glob(given.name)) if pattern else [given])]
    found = [_trained(run) for run in runs if run.state == "done" and (not pattern or _fits(run, config, data_digest))]
    return list({source.sha256: source for source in found if source}.values())


def source_of(config: DictConfig, data_digest: str) -> Source | None:
    """Return the one file of weights that a run starts from, None from scratch.

    UserError where none or several are found, or where the weights of the run stayed on another machine.
    """
    if policy_of(config) == "none":
        return None
    found, weights = find_sources(config, data_digest), config.transfer.weights
    if len(found) > 1:
        names = ", ".join(source.words for source in found)
        raise UserError(
            f"transfer.weights={weights} fits {len(found)} finished runs of {_wanted(config)} ({names}): name one of "
            "them by more of its name, or keep runs of another recipe in another folder, paths.runs=..."
        )
    if not found:
        raise UserError(
            f"transfer.weights={weights} is no file of weights and fits no finished run, or none of "
            f"{_wanted(config)}: train that run first, or name other weights"
        )
    if not found[0].file.exists():
        raise UserError(f"{found[0].file} is not there: copy it from the machine where the run was trained")
    return found[0]


def lineage(run: RunFolder) -> list[RunFolder]:
    """Return a run and the runs that it started from in turn; UserError where one of their folders is not there."""
    runs = [run]
    while earlier := runs[-1].read("transfer").get("run"):
        runs.append(RunFolder(run.path.parent / earlier))
        if not runs[-1].config.exists():
            raise UserError(
                f"{runs[-2].path} started from the run {earlier}, which is not beside it, so what that has seen is not "
                "known: copy its folder there"
            )
    return runs


def checksum(file: Path) -> str:
    """Return the sha256 (hex) of a file of weights, computed anew only when the file has changed."""
    status = file.stat()
    return _checksum(file, status.st_mtime_ns, status.st_size)


@lru_cache
def _checksum(file: Path, changed: int, size: int) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _wanted(config: DictConfig) -> str:
    half = "" if config.half is None else f", half {1 - config.half}"
    return f"this data, fold {config.fold}, seed {config.seed}{half}"


def _fits(run: RunFolder, config: DictConfig, data_digest: str) -> bool:
    """Whether a finished run is of the wanted data, fold and seed; a damaged run is logged and does not match."""
    wanted = {"data": data_digest, "fold": config.fold, "seed": config.seed}
    if config.half is not None:
        wanted["half"] = 1 - config.half
    try:
        keys = run.keys
    except Damaged as error:
        log.warning("%s", error)
        return False
    return all(keys.get(name) == value for name, value in wanted.items())


def _trained(run: RunFolder) -> Source | None:
    """The weights of a finished run; None where there is neither the file nor a record of its checksum."""
    told = run.read("weights")
    if "trained_by" in told:
        return _trained(RunFolder(run.path.parent / told["trained_by"]))
    if run.weights.exists():
        return Source(run.weights, checksum(run.weights), run)
    return Source(run.weights, told["sha256"], run) if "sha256" in told else None
