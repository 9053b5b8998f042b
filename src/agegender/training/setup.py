"""Before a run: its folder says what it is and what it is made with."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from agegender.errors import Damaged
from agegender.runs.config import write_run
from agegender.runs.environment import describe_environment
from agegender.runs.folder import RunFolder
from agegender.spec import Run

log = logging.getLogger(__name__)


def set_up(folder: RunFolder, run: Run, keys: Mapping[str, Any]) -> None:
    """Write what a run is and what it is made with into its folder; an earlier failure is forgotten.

    A run that goes on from a checkpoint keeps what its earlier part was made with under `resumed_from`.
    """
    folder.path.mkdir(parents=True, exist_ok=True)
    (folder.path / "failed.json").unlink(missing_ok=True)
    write_run(folder, run)
    before = _made_with_before(folder) if folder.checkpoints.exists() else None
    now = describe_environment(run.trainer.accelerator, run.trainer.device)
    folder.write("environment", now | ({"resumed_from": before} if before else {}))
    folder.write("identity", {"identity": folder.identity, "keys": dict(keys)})


def _made_with_before(folder: RunFolder) -> Mapping[str, Any]:
    """The environment of the part of a run that it goes on from; an unreadable one is no reason to lose that part."""
    try:
        return folder.read("environment")
    except Damaged as error:
        log.warning("what the first part of this run was made with is not known: %s", error)
        return {}
