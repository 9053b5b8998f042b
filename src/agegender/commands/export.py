"""agegender export: a trained network as a file for a runtime, with its preprocessing inside and a card beside it."""

import logging
from pathlib import Path

from omegaconf import DictConfig

from agegender.config.settings import ExportSettings, settings_of
from agegender.errors import UserError
from agegender.export.write import export
from agegender.prediction.trained import find_run

log = logging.getLogger(__name__)


def main(config: DictConfig) -> None:
    """Export the network of a run and say where it is."""
    for file in export_run(settings_of(ExportSettings, config)):
        log.info("%s", file)


def export_run(settings: ExportSettings) -> list[Path]:
    """Find the run, convert its network, check the file, write it; return the files."""
    if settings.run is None:
        raise UserError("run is not set: agegender export run=runs/lmtcnn_2_1-... format=onnx")
    run = find_run(settings.run, settings.paths.runs)
    return export(run, settings.format, settings.precision, settings.statistics, settings.folder)
