"""agegender track: send run folders to an MLflow server that does not have them yet."""

import logging
from glob import glob
from pathlib import Path

from omegaconf import DictConfig

from agegender.config.settings import TrackSettings, settings_of
from agegender.errors import UserError
from agegender.runs.folder import RunFolder
from agegender.tracking.server import check_server
from agegender.tracking.sync import track

log = logging.getLogger(__name__)


def main(config: DictConfig) -> None:
    """Send the finished runs among the folders that `runs` names, each once, and their sweeps; end what was stopped."""
    settings = settings_of(TrackSettings, config)
    pattern = settings.runs or f"{settings.paths.runs}/*"
    # A pattern may be absolute, which Path.glob refuses.
    names = sorted(glob(pattern))  # noqa: PTH207
    folders = [RunFolder(Path(name)) for name in names if (Path(name) / "identity.json").exists()]
    if not folders:
        raise UserError(f"runs={pattern} names no run folder: give a folder or a pattern such as 'runs/lmtcnn_2_1-*'")
    target = settings.target
    if target is None:
        raise UserError("tracking=none names no server: say tracking=mlflow")
    check_server(target)
    result = track(target, folders)
    counts = (result.sent, target.label, result.already, result.unfinished)
    log.info("%d runs sent to %s, %d were there, %d are not finished", *counts)
