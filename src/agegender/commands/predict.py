"""agegender predict: what a trained network says of image files."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console
from rich.progress import track

from agegender.config.settings import PredictSettings, settings_of
from agegender.errors import UserError
from agegender.prediction.answers import Answer, answer, in_order
from agegender.prediction.detector import detected
from agegender.prediction.drawing import draw_copies
from agegender.prediction.output import render
from agegender.prediction.pictures import Face, as_given, find_images
from agegender.prediction.trained import Trained, find_run, load

log = logging.getLogger(__name__)
ORDERS = {
    "manifest": "in the order of their names",
    "shuffled": "shuffled as the run's test faces were",
    "sorted": "in the order of their names, where the run's test faces were sorted by label",
}


def main(config: DictConfig) -> None:
    """Answer to every image that can be read; status 1 when there are others."""
    if predict(settings_of(PredictSettings, config)):
        raise SystemExit(1)


def predict(settings: PredictSettings) -> int:
    """Find the run and the images, answer, write; return how many images could not be read."""
    if settings.run is None or settings.images is None:
        name = "run" if settings.run is None else "images"
        raise UserError(f"{name} is not set: agegender predict run=runs/lmtcnn_2_1-... images=photos/")
    files = find_images(settings.images)
    trained = load(find_run(settings.run, settings.paths.runs))
    if trained.depends_on_batch:
        log.warning(
            "this run's batch norm uses the statistics of the present batch: its answers depend on which images are "
            "given together (batches of %d, %s)",
            trained.evaluation.batch_size,
            ORDERS[trained.evaluation.order],
        )
    unreadable: dict[Path, str] = {}
    answers = answers_to(files, trained, settings.faces, unreadable)
    write(answers, trained, settings)
    for file, reason in unreadable.items():
        log.warning("%s: %s", file, " ".join(reason.split()))
    if unreadable:
        log.warning("%d of %d images could not be read", len(unreadable), len(files))
    return len(unreadable)


def answers_to(files: list[Path], trained: Trained, detect: bool, unreadable: dict[Path, str]) -> list[Answer]:
    """Return the answers in the order of the files, whatever the order in which the run's evaluation takes them."""
    place = {file: number for number, file in enumerate(files)}
    answers = answer(trained, faces_in(in_order(files, trained), trained, detect, unreadable))
    return sorted(answers, key=lambda said: place[said.file])


def faces_in(files: list[Path], trained: Trained, detect: bool, unreadable: dict[Path, str]) -> Iterator[Face]:
    """Yield the faces, with a progress bar where there are many images."""
    console = Console(stderr=True)
    shown = track(files, "Reading images", console=console, transient=True, disable=len(files) < 10)
    if not detect:
        yield from as_given(shown, trained.stored_size, unreadable)
        return
    faceless: list[Path] = []
    yield from detected(shown, trained.stored_size, trained.data, unreadable, faceless)
    for file in faceless:
        log.info("%s: no face was found", file)


def write(answers: list[Answer], trained: Trained, settings: PredictSettings) -> None:
    """Write the answers where they are wanted, and the copies of photographs."""
    width = Console().width if settings.output is None else 120
    text = render(answers, list(trained.network.heads), settings.format, trained.identity, width)
    if settings.output is None:
        sys.stdout.write(text)
    else:
        settings.output.parent.mkdir(parents=True, exist_ok=True)
        settings.output.write_text(text, encoding="utf-8")
        log.info("%s", settings.output)
    if settings.faces:
        for copy in draw_copies(answers, settings.folder):
            log.info("%s", copy)
