"""Measure what a whole copy of Adience costs: `agegender prepare`, then one training fold, as a user runs them.

Adience may not be passed on, so the copy is made here: 19,370 files of 816 x 816 pixels, in the layout and under the
names of the real fold lists. They are a few hundred drawn faces, enlarged, brightened, mirrored or not, under camera
noise, at several JPEG qualities: every file is another one. Their labels are not the drawn ones: accuracies mean
nothing.

    python benchmarks/adience_full_size.py [--folds FOLDER] [--work data/adience-full-size] [--steps N] [--faces N]

Stopped while it makes the copy, the same command goes on; a second call measures again. Memory is what a command and
all its processes hold together, sampled 20 times a second: pages that processes share count in each, and mapped pages
of the pack count too. The files have just been written, so a machine whose memory holds them all reads them from there.

The output ends in a Markdown table, not in the `ratio:` of the other benchmarks: no other program does the same work,
and what is asked is how long, how much memory and how much disk.
"""

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track

from command import AGEGENDER

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "adience" / "folds"
SIDE = 816  # pixels, as in Adience's aligned/
DRAWN = {"faces": 300, "users": 60, "size": SIDE // 2, "seed": 0}
QUALITIES = (85, 90, 95)
NOISE = 3.0  # standard deviation in grey levels
TILE = SIDE + 64  # the noise of a file is one of 64 x 64 cuts of a larger tile, which are cheaper than new noise
SAMPLE_SECONDS = 0.05


@dataclass(frozen=True)
class Cost:
    """What a command took; `memory`: the most bytes that its processes held together."""

    seconds: float
    memory: int


def make_copy(work: Path, folds: Path, faces: int | None) -> list[Path]:
    """Write Adience's folder below `work`, leaving the files that are there; return its images, `faces` at most."""
    from agegender.commands.prepare import draw
    from agegender.config.settings import Generate
    from agegender.datasets.adience import read_adience  # here, so that the processes that are started do without

    drawn = sorted(draw(Generate(root=work / "drawn", **DRAWN)).rglob("*.jpg"))
    names = read_adience(folds, variant="aligned")["image"].drop_duplicates()
    if faces:
        names = names[:: max(1, len(names) // faces)][:faces]  # spread over all folds
    images = [work / "adience" / name for name in names]
    for folder in sorted({image.parent for image in images}):
        folder.mkdir(parents=True, exist_ok=True)
    for fold in range(5):
        shutil.copy(folds / f"fold_{fold}_data.txt", work / "adience")
    missing = [(number, image) for number, image in enumerate(images) if not image.exists()]
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        written = pool.map(partial(write_image, drawn), missing, chunksize=16)
        for _ in track(written, "Writing the copy", total=len(missing), console=Console(stderr=True)):
            pass
    return images


def write_image(drawn: list[Path], numbered: tuple[int, Path]) -> None:
    """Write one file of the copy, whole or not at all; its number decides what is in it."""
    number, path = numbered
    rng = np.random.default_rng(number)
    with Image.open(drawn[number % len(drawn)]) as face:
        image = face.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    top, left = rng.integers(0, TILE - SIDE, 2)
    pixels = np.asarray(image) * np.float32(rng.uniform(0.8, 1.15))
    pixels += noise_tile()[top : top + SIDE, left : left + SIDE, None]
    content = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(content, "JPEG", quality=int(rng.choice(QUALITIES)))
    unfinished = path.with_name(f".{path.name}")
    unfinished.write_bytes(content.getvalue())
    unfinished.replace(path)


@lru_cache
def noise_tile() -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(0, NOISE, (TILE, TILE)).astype(np.float32)


def measure(work: Path, *words: str) -> Cost:
    """Run a command in `work`, its output shown on the error stream; CalledProcessError when it fails."""
    print(f"$ agegender {' '.join(words)}", file=sys.stderr)
    started, memory = time.perf_counter(), 0
    process = psutil.Popen([*AGEGENDER, *words], cwd=work, stdout=sys.stderr)
    while process.poll() is None:
        memory = max(memory, resident(process))
        time.sleep(SAMPLE_SECONDS)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, words)
    return Cost(time.perf_counter() - started, memory)


def resident(process: psutil.Process) -> int:
    """Return the resident bytes of a process and of all that it started, as far as they are still there."""
    total = 0
    try:
        for each in (process, *process.children(recursive=True)):
            total += each.memory_info().rss
    except psutil.NoSuchProcess:
        pass
    return total


def time_prepare(work: Path, *words: str) -> str:
    """Prepare anew and return the line of the table."""
    shutil.rmtree(work / "data", ignore_errors=True)
    cost = measure(work, "prepare", "data=adience", "data.source=adience", *words)
    (pack,) = (work / "data" / "packs").iterdir()
    return line("prepare", read(pack / "pack.json")["images"], cost, pack)


def time_train(work: Path, *words: str) -> str:
    """Train one fold anew and return the line of the table."""
    shutil.rmtree(work / "runs", ignore_errors=True)
    cost = measure(work, "train", "system=lmtcnn_2_1", "data=adience", "fold=0", "recipe=quick", *words)
    (done,) = (work / "runs").glob("*/done")
    recipe, metrics = read(done.parent / "identity.json")["keys"]["recipe"], read(done.parent / "metrics.json")
    steps, batch = recipe["steps"], recipe["batch_size"]
    what = f"train: {steps:,} steps of {batch}, {metrics['faces/test']:,} test faces"
    return line(what, steps * batch, cost, done.parent)


def read(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(file.read_text())
    return content


def line(what: str, images: int, cost: Cost, folder: Path) -> str:
    written = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    speed = f"{images:,} | {cost.seconds:,.0f} s | {images / cost.seconds:,.1f}"
    return f"| {what} | {speed} | {cost.memory / 1e9:.2f} GB | {written / 1e9:.2f} GB |"


def describe(images: list[Path]) -> str:
    """Say in two sentences what was measured, and on what."""
    from agegender.runs.environment import describe_environment

    facts: Any = describe_environment()
    sizes = np.array([image.stat().st_size for image in images]) / 1000
    low, middle, high = np.percentile(sizes, [5, 50, 95])
    hardware, dirty = facts["hardware"], " with uncommitted changes" if facts["dirty"] else ""
    return (
        f"{len(images):,} JPEG files of {SIDE} x {SIDE} pixels, {sizes.sum() / 1e6:.2f} GB: median {middle:.0f} kB, "
        f"5 to 95 % {low:.0f} to {high:.0f} kB. {hardware['processor']}, {hardware['cores']} cores, "
        f"{psutil.virtual_memory().total / 1e9:.0f} GB of memory, {hardware['gpu'] or 'no GPU'}, {hardware['system']}, "
        f"torch {facts['versions']['torch']}, {facts['started'][:10]}, commit {str(facts['commit'])[:9]}{dirty}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folds", type=Path, default=SHARED, help="folder of Adience's five fold files")
    parser.add_argument("--work", type=Path, default=Path("data/adience-full-size"), help="where all is written")
    parser.add_argument("--steps", type=int, help="of training; without, those of the recipe")
    parser.add_argument("--faces", type=int, help="only so many files; without, all of them")
    args = parser.parse_args()
    work = args.work.resolve()
    images = make_copy(work, args.folds, args.faces)
    prepare = time_prepare(work, *(["data.allow_missing=true"] if args.faces else []))
    train = time_train(work, *([f"recipe.steps={args.steps}"] if args.steps else []))
    print(f"\n{describe(images)}\n")
    print("| command | images | wall time | images/s | peak memory | on disk |")
    print(f"|---|--:|--:|--:|--:|--:|\n{prepare}\n{train}")


if __name__ == "__main__":
    main()
