"""agegender track: send run folders to an MLflow server that does not have them yet."""

import logging
from glob import glob
from pathlib import Path

import hydra
from omegaconf import DictConfig

from agegender.config.kinds import check_values
from agegender.config.settings import config_folder
from agegender.errors import UserError, exit_on_user_error
from agegender.runs.folder import RunFolder
from agegender.tracking.server import check_server
from agegender.tracking.sync import track
from agegender.tracking.target import find_target

log = logging.getLogger(__name__)


@hydra.main(version_base="1.3", config_path=config_folder(), config_name="track")
def main(config: DictConfig) -> None:
    """Send the finished runs among the folders that `runs` names, each once, and their sweeps; end what was stopped."""
    with exit_on_user_error():
        track_runs(config)


def track_runs(config: DictConfig) -> None:
    """Find the folders, ask the server, send."""
    check_values(config)
    pattern = config.runs or f"{config.paths.runs}/*"
    # A pattern may be absolute, which Path.glob refuses.
    names = sorted(glob(pattern))  # noqa: PTH207
    folders = [RunFolder(Path(name)) for name in names if (Path(name) / "identity.json").exists()]
    if not folders:
        raise UserError(f"runs={pattern} names no run folder: give a folder or a pattern such as 'runs/lmtcnn_2_1-*'")
    target = find_target(config.tracking.uri, config.tracking.experiment, Path(config.paths.runs))
    check_server(target)
    result = track(target, folders)
    counts = (result.sent, target.label, result.already, result.unfinished)
    log.info("%d runs sent to %s, %d were there, %d are not finished", *counts)
