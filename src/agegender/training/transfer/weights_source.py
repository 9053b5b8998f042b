"""Where a run's weights come from: a file or a finished run, and the checksum that stands for them in its identity."""

import hashlib
import logging
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from agegender.errors import Damaged, UserError
from agegender.runs.folder import RunFolder
from agegender.spec import Run

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """Weights: their file, the sha256 of its content, and the run that trained them (None: a file of other origin)."""

    file: Path
    sha256: str
    run: RunFolder | None = None

    @property
    def label(self) -> str:
        """What messages call it."""
        return str(self.file) if self.run is None else f"run {self.run.identity}"


def find_sources(run: Run, data_digest: str) -> list[Source]:
    """Find what `transfer.weights` names, each distinct file of weights once: nothing without transfer.

    It is a file, the folder of a finished run, or a pattern of run folders, of which those count that are done and have
    this run's data, fold and seed, and where this run has a `half` the other one. A run that lends the weights of
    another stands for that other.
    """
    if run.transfer.weights is None:
        return []
    given = Path(run.transfer.weights).expanduser()
    if given.is_file():
        return [Source(given, checksum(given))]
    pattern = not given.is_dir()
    folders = [RunFolder(folder) for folder in (sorted(given.parent.glob(given.name)) if pattern else [given])]
    done = [folder for folder in folders if folder.state == "done"]
    found = [_trained(folder) for folder in done if not pattern or _fits(folder, run, data_digest)]
    return list({source.sha256: source for source in found if source}.values())


def source_of(run: Run, data_digest: str) -> Source | None:
    """Return the one file of weights that a run starts from, None from scratch.

    UserError where none or several are found, or where the weights of the run stayed on another machine.
    """
    if (weights := run.transfer.weights) is None:
        return None
    found = find_sources(run, data_digest)
    if len(found) > 1:
        names = ", ".join(source.label for source in found)
        raise UserError(
            f"transfer.weights={weights} fits {len(found)} finished runs of {_wanted(run)} ({names}): name one of "
            "them by more of its name, or keep runs of another recipe in another folder, paths.runs=..."
        )
    if not found:
        raise UserError(
            f"transfer.weights={weights} is no file of weights and fits no finished run, or none of "
            f"{_wanted(run)}: train that run first, or name other weights"
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


def _wanted(run: Run) -> str:
    half = "" if run.half is None else f", half {1 - run.half}"
    return f"this data, fold {run.fold}, seed {run.seed}{half}"


def _fits(folder: RunFolder, run: Run, data_digest: str) -> bool:
    """Whether a finished run is of the wanted data, fold and seed; a damaged run is logged and does not match."""
    wanted = {"data": data_digest, "fold": run.fold, "seed": run.seed}
    if run.half is not None:
        wanted["half"] = 1 - run.half
    try:
        keys = folder.keys
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
