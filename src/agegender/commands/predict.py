"""agegender predict: what a trained network says of image files."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import track

from agegender.config.kinds import check_values
from agegender.config.settings import config_folder
from agegender.errors import UserError, exit_on_user_error

if TYPE_CHECKING:
    from agegender.prediction.answers import Answer
    from agegender.prediction.pictures import Face
    from agegender.prediction.trained import Trained

log = logging.getLogger(__name__)
ORDERS = {
    "manifest": "in the order of their names",
    "shuffled": "shuffled as the run's test faces were",
    "sorted": "in the order of their names, where the run's test faces were sorted by label",
}
FORMATS = ("table", "csv", "json")


@hydra.main(version_base="1.3", config_path=config_folder(), config_name="predict")
def main(config: DictConfig) -> None:
    """Answer to every image that can be read; status 1 when there are others."""
    with exit_on_user_error():
        if predict(config):
            raise SystemExit(1)


def predict(config: DictConfig) -> int:
    """Find the run and the images, answer, write; return how many images could not be read."""
    check_values(config)
    for name in ("run", "images"):
        if config[name] is None:
            raise UserError(f"{name} is not set: agegender predict run=runs/lmtcnn_2_1-... images=photos/")
    if config.format not in FORMATS:
        raise UserError(f"format={config.format} is unknown: choose from {', '.join(FORMATS)}")
    from agegender.prediction.pictures import find_images
    from agegender.prediction.trained import find_run, load

    files = find_images(str(config.images))
    trained = load(find_run(str(config.run), Path(config.paths.runs)))
    if trained.depends_on_batch:
        log.warning(
            "this run's batch norm uses the statistics of the present batch: its answers depend on which images are "
            "given together (batches of %d, %s)",
            trained.evaluation.batch_size,
            ORDERS[trained.evaluation.order],
        )
    unreadable: dict[Path, str] = {}
    answers = answers_to(files, trained, config.faces, unreadable)
    write(answers, trained, config)
    for file, reason in unreadable.items():
        log.warning("%s: %s", file, " ".join(reason.split()))
    if unreadable:
        log.warning("%d of %d images could not be read", len(unreadable), len(files))
    return len(unreadable)


def answers_to(files: list[Path], trained: "Trained", detect: bool, unreadable: dict[Path, str]) -> list["Answer"]:
    """Return the answers in the order of the files, whatever the order in which the run's evaluation takes them."""
    from agegender.prediction.answers import answer, in_order

    place = {file: number for number, file in enumerate(files)}
    answers = answer(trained, faces_in(in_order(files, trained), trained, detect, unreadable))
    return sorted(answers, key=lambda said: place[said.file])


def faces_in(files: list[Path], trained: "Trained", detect: bool, unreadable: dict[Path, str]) -> Iterator["Face"]:
    """Yield the faces, with a progress bar where there are many images."""
    console = Console(stderr=True)
    shown = track(files, "Reading images", console=console, transient=True, disable=len(files) < 10)
    if not detect:
        from agegender.prediction.pictures import as_given

        yield from as_given(shown, trained.stored_size, unreadable)
        return
    from agegender.prediction.detector import detected

    faceless: list[Path] = []
    yield from detected(shown, trained.stored_size, trained.data, unreadable, faceless)
    for file in faceless:
        log.info("%s: no face was found", file)


def write(answers: list["Answer"], trained: "Trained", config: DictConfig) -> None:
    """Write the answers where they are wanted, and the copies of photographs."""
    from agegender.prediction.output import render

    width = Console().width if config.output is None else 120
    text = render(answers, list(trained.network.heads), config.format, trained.identity, width)
    if config.output is None:
        sys.stdout.write(text)
    else:
        output = Path(config.output)
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
        log.info("%s", output)
    if config.faces:
        from agegender.prediction.drawing import draw_copies

        for copy in draw_copies(answers, Path(config.folder)):
            log.info("%s", copy)
