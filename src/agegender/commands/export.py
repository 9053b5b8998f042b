"""agegender export: a trained network as a file for a runtime, with its preprocessing inside and a card beside it."""

import logging

from omegaconf import DictConfig

from agegender.config.settings import ExportSettings, settings_of
from agegender.errors import UserError
from agegender.export.write import export
from agegender.prediction.trained import find_run

log = logging.getLogger(__name__)


def main(config: DictConfig) -> None:
    """Find the run, convert its network, check the file, write it, and say where it is."""
    settings = settings_of(ExportSettings, config)
    if settings.run is None:
        raise UserError("run is not set: agegender export run=runs/lmtcnn_2_1-... format=onnx")
    run = find_run(settings.run, settings.paths.runs)
    for file in export(run, settings.format, settings.precision, settings.statistics, settings.folder):
        log.info("%s", file)
