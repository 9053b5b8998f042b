"""agegender export: a trained network as a file for a runtime, with its preprocessing inside and a card beside it."""

import logging
from pathlib import Path

import hydra
from omegaconf import DictConfig

from agegender.config.kinds import check_values
from agegender.config.settings import config_folder
from agegender.errors import UserError, exit_on_user_error

log = logging.getLogger(__name__)


@hydra.main(version_base="1.3", config_path=config_folder(), config_name="export")
def main(config: DictConfig) -> None:
    """Export the network of a run and say where it is."""
    with exit_on_user_error():
        export_run(config)


def export_run(config: DictConfig) -> list[Path]:
    """Find the run, convert, check, write; return the files."""
    check_values(config)
    from agegender.export.write import export
    from agegender.prediction.trained import find_run

    if config.run is None:
        raise UserError("run is not set: agegender export run=runs/lmtcnn_2_1-... format=onnx")
    run = find_run(str(config.run), Path(config.paths.runs))
    folder = Path(config.folder)
    files = export(run, config.format, config.precision, config.statistics, folder)
    for file in files:
        log.info("%s", file)
    return files
