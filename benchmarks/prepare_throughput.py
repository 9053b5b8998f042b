"""Compare building a pack with a bare process pool that decodes and resizes the same faces and keeps nothing.

Both sides read the same files with the same number of processes, started anew each time and counted in the time of
both. What the pack does besides: list the source, hash, write to disk, journal, manifest, digest,
progress. They take turns.

    python benchmarks/prepare_throughput.py [--source ZIP_OR_FOLDER] [--faces N] [--size 256] [--pairs 3] [--workers N]

Without --source: UTKFace from `../shared/data/utkface-160px-webp.zip` if it is there, else generated JPEGs. The last
line is the pack's images/s over the pool's: median (lowest to highest pair).
"""

import argparse
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from agegender.data.decoding import CHUNK
from agegender.data.images import decode
from agegender.datasets.source import Source, open_source
from faces import UTKFACE, image_names, make_pack, source_or_noise
from ratios import print_ratio, take_turns

_source: Source


def bare_start(source: Path) -> None:
    global _source
    _source = open_source(source)


def bare_decode(name: str, size: int) -> None:
    decode(_source.read(name), size)


def time_pool(source: Path, names: list[str], size: int, workers: int) -> float:
    """Return the images/s of `ProcessPoolExecutor.map` over the faces."""
    started = time.perf_counter()
    with ProcessPoolExecutor(workers, get_context("spawn"), bare_start, (source,)) as pool:
        for _ in pool.map(partial(bare_decode, size=size), names, chunksize=CHUNK):
            pass
    return len(names) / (time.perf_counter() - started)


def time_pack(source: Path, names: list[str], size: int, workers: int) -> float:
    """Return the images/s of `build_pack` over the faces."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        return make_pack(source, names, Path(folder) / "pack", size, workers).images_per_second


def compare(source: Path, faces: int | None, size: int, pairs: int, workers: int) -> None:
    names = image_names(source, faces)
    print(f"{len(names)} faces of {source.name} to {size} px, {workers} processes")
    time_pool(source, names, size, workers)  # fills the file cache and does not count
    ratios = take_turns(
        ("pack", lambda: time_pack(source, names, size, workers)),
        ("bare pool", lambda: time_pool(source, names, size, workers)),
        pairs,
        "images/s",
    )
    print_ratio(ratios)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path)
    parser.add_argument("--faces", type=int, help="only the first N; all of them without")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = source_or_noise(args.source, UTKFACE, Path(folder), 1000, 600)  # about the size of Adience's files
        compare(source, args.faces, args.size, args.pairs, args.workers)


if __name__ == "__main__":
    main()
