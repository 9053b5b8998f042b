"""Compare building a pack with a bare process pool that decodes and resizes the same faces and keeps nothing.

Both sides read the same files with the same number of processes, started anew each time and counted in the time of
both. What the pack does besides: list the source, hash, write to disk and wait for it, journal, manifest, digest,
progress. They take turns.

    python benchmarks/prepare_throughput.py [--source ZIP_OR_FOLDER] [--faces N] [--size 256] [--pairs 3] [--workers N]

Without --source: UTKFace from `../shared/data/utkface-160px-webp.zip` if it is there, else generated JPEGs. The last
line is the pack's images/s over the pool's: median (lowest to highest pair).
"""

import argparse
import io
import os
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from agegender.data.fill import CHUNK
from agegender.data.images import decode
from agegender.data.source import Source, open_source

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "utkface-160px-webp.zip"
IMAGES = (".jpg", ".jpeg", ".png", ".webp")

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
    import pandas as pd  # here, so that the processes that are started do without

    from agegender.data.build import build_pack

    label = pd.Series(0, index=range(len(names)), dtype="Int64")
    manifest = pd.DataFrame({"image": names, "subject": names, "row": names}).assign(
        fold=label, age_group=label, age_years=label, gender=label
    )
    with tempfile.TemporaryDirectory(dir=".") as folder:
        summary = build_pack(
            Path(folder) / "pack",
            source,
            manifest,
            dataset="benchmark",
            size=size,
            settings={},
            allow_missing=False,
            workers=workers,
        )
    return summary.images_per_second


def draw_faces(folder: Path, count: int) -> Path:
    """Write noisy JPEGs of 600 x 600 pixels, about the size of Adience's files."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (75, 75, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        coarse.resize((600, 600), Image.Resampling.BICUBIC).save(buffer, "JPEG")
        (folder / f"{number:06}.jpg").write_bytes(buffer.getvalue())
    return folder


def compare(source: Path, faces: int | None, size: int, pairs: int, workers: int) -> None:
    with open_source(source) as opened:
        names = [name for name in opened.names() if name.lower().endswith(IMAGES)][:faces]
    print(f"{len(names)} faces of {source.name} to {size} px, {workers} processes")
    ratios = []
    time_pool(source, names, size, workers)  # fills the file cache and does not count
    for pair in range(pairs):
        sides = [time_pool, time_pack] if pair % 2 else [time_pack, time_pool]
        speed = {side: side(source, names, size, workers) for side in sides}
        pool, pack = speed[time_pool], speed[time_pack]
        ratios.append(pack / pool)
        print(f"pair {pair + 1}: bare pool {pool:,.0f} images/s, pack {pack:,.0f} images/s, ratio {ratios[-1]:.3f}")
    print(f"ratio: {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path)
    parser.add_argument("--faces", type=int, help="only the first N; all of them without")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = args.source or (SHARED if SHARED.exists() else draw_faces(Path(folder), 1000))
        compare(source, args.faces, args.size, args.pairs, args.workers)


if __name__ == "__main__":
    main()
