"""Before a run: its folder says what it is, and its tracking target is known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from agegender.environment import describe_environment
from agegender.runs import RunFolder
from agegender.tracking.target import Target, find_target, without_password


def set_up(folder: RunFolder, config: DictConfig, keys: Mapping[str, Any]) -> None:
    """Write what a run is and what it is made with into its folder; an earlier failure is forgotten.

    A run that goes on from a checkpoint keeps what its earlier part was made with under `resumed_from`.
    """
    folder.path.mkdir(parents=True, exist_ok=True)
    (folder.path / "failed.json").unlink(missing_ok=True)
    shown = config.copy()
    if shown.tracking.uri:
        shown.tracking.uri = without_password(shown.tracking.uri)
    folder.write_text("config.yaml", OmegaConf.to_yaml(shown, resolve=True))
    before = folder.read("environment") if folder.checkpoints.exists() else None
    now = describe_environment(config.trainer.accelerator, config.trainer.device)
    folder.write("environment", now | ({"resumed_from": before} if before else {}))
    folder.write("identity", {"identity": folder.identity, "keys": dict(keys)})


def tracking_target(config: DictConfig) -> Target | None:
    """Return where a run is tracked; None with tracking=none, where MLflow need not be installed."""
    if config.tracking.name == "none":
        return None
    return find_target(config.tracking.uri, config.tracking.experiment, Path(config.paths.runs))
