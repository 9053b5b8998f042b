"""Boxes and answers on a copy of a photograph."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from os.path import commonpath
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from agegender.prediction.answers import Answer
from agegender.prediction.detector import open_photograph
from agegender.prediction.output import short
from agegender.prediction.pictures import COPY

INK, PAPER = (20, 20, 20), (255, 235, 120)


def draw_copies(answers: Sequence[Answer], folder: Path) -> Iterable[Path]:
    """Yield the copies of the photographs with their boxes and answers, written as `<folder>/<name>.faces.png`.

    Names keep the folders by which the photographs differ, so that no copy replaces another.
    """
    root = commonpath([answer.file.resolve().parent for answer in answers]) if answers else ""
    for file, faces in groupby(answers, key=lambda answer: answer.file):
        inside = file.resolve().relative_to(root)
        copy = folder / inside.with_name(inside.name + COPY)
        copy.parent.mkdir(parents=True, exist_ok=True)
        annotated(open_photograph(file), list(faces)).save(copy)
        yield copy


def annotated(photograph: Image.Image, answers: Sequence[Answer]) -> Image.Image:
    """Return a copy of an RGB picture with each face's box and, above it, its answers."""
    copy = photograph.copy()
    draw = ImageDraw.Draw(copy)
    width = max(2, max(copy.size) // 400)
    font = ImageFont.load_default(max(12, max(copy.size) // 60))
    boxed = [answer for answer in answers if answer.box]
    for answer in boxed:
        draw.rectangle(answer.box, outline=PAPER, width=width)  # type: ignore[arg-type]
    for answer in boxed:  # after all boxes, which would cross them out
        assert answer.box
        text = "\n".join(short(task, said) for task, said in answer.tasks.items())
        _, _, across, down = map(int, draw.multiline_textbbox((0, 0), text, font))
        x = max(0, min(answer.box[0], copy.width - across - 2 * width))
        y = max(0, answer.box[1] - down - 2 * width)
        draw.rectangle((x, y, x + across + 2 * width, y + down + 2 * width), fill=PAPER)
        draw.multiline_text((x + width, y + width), text, INK, font)
    return copy
