"""The identity of a run: what names its folder, from its settings, its data and the weights that it starts from."""

from pathlib import Path
from typing import Any

from agegender.runs.folder import RunFolder, identity
from agegender.spec import Run
from agegender.training.run_data import pack_of
from agegender.training.transfer.weights_source import find_sources


def identity_keys(run: Run, data_digest: str) -> dict[str, Any]:
    """Return everything that can change the result of a run; see `Run.identity_keys`.

    What a run starts from is in it as a checksum of the weights, and is left out where they are not there yet.
    """
    sources = find_sources(run, data_digest)
    return run.identity_keys(
        data_digest,
        weights=sources[0].sha256 if len(sources) == 1 else None,
        test=pack_of(run.test.data).digest if run.test else None,
    )


def run_folder(run: Run, data_digest: str, runs: Path) -> RunFolder:
    """The folder of a run below `runs`; it need not exist yet."""
    return RunFolder(runs / identity(run.system.name, identity_keys(run, data_digest)))
