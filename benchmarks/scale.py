"""Show how time and memory grow with the number of faces: a training step and its memory should not, `prepare` in line.

Each number of faces is measured in a process of its own; they take turns. A step reads its faces at random out of a
pack of that many faces of 256 pixels (a file with holes, so that 100,000 take no disk); `prepare` decodes as many small
JPEGs of noise.

    python benchmarks/scale.py [--faces 1000 10000 100000] [--system lmtcnn_2_1] [--batch-size 16] [--blocks 2]
                            [--turns 2] [SETTING ...]

SETTINGs are those of `agegender train`. Memory is what the process holds itself, without the pages of the pack, which
the system takes back when it needs them. On a GPU the faces that fit are read from its own memory, which is not counted
(trainer.resident=false). The last line is a step with the most faces over one with the fewest; above it stand the same
ratio for memory and for the seconds that `prepare` takes per face: medians, as in the lines before.
"""

import argparse
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import psutil

from ratios import print_ratio


def seconds_per_face(count: int) -> float:
    """Return what `prepare` takes for a face of 64 pixels, files and index included."""
    from faces import draw_noise, image_names, make_pack

    with tempfile.TemporaryDirectory() as folder:
        source = draw_noise(Path(folder) / "noise", count, 64)
        names = image_names(source, None)
        started = time.perf_counter()
        make_pack(source, names, Path(folder) / "pack", size=64)
        return (time.perf_counter() - started) / count


def measure_steps(count: int, system: str, batch_size: int, blocks: int, settings: list[str]) -> tuple[float, float]:
    """Return the milliseconds of a step and the bytes the process then held."""
    import pandas as pd

    from agegender.data.batches import Faces
    from faces import AGES, GENDERS
    from steps import configure, set_up, time_suite

    run, block = configure(system, batch_size, blocks, *settings)
    with tempfile.TemporaryDirectory() as folder:
        images = np.lib.format.open_memmap(Path(folder) / "faces.npy", "w+", np.uint8, (count, 256, 256, 3))
        number = pd.Series(range(count), dtype="Int64")
        table = pd.DataFrame({"slot": range(count), "age_group": number % AGES, "gender": number % GENDERS})
        training = set_up(run, block, Faces(images, table, ["age", "gender"]))
        step = float(np.median(time_suite(training, training.batches)))
    memory = psutil.Process().memory_full_info()
    return step, memory.rss - memory.shared if hasattr(memory, "shared") else memory.uss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--system", default="lmtcnn_2_1")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--blocks", type=int, default=2, help="of four steps, on a GPU fifty, that are timed in a turn")
    parser.add_argument("--turns", type=int, default=2, help="of each number of faces")
    parser.add_argument("settings", nargs="*", help="settings of `agegender train`")
    args = parser.parse_args()
    faces = sorted(args.faces)
    steps: dict[int, list[float]] = {count: [] for count in faces}
    memory: dict[int, list[float]] = {count: [] for count in faces}
    preparing: dict[int, list[float]] = {count: [] for count in faces}
    for turn in range(args.turns):
        for count in faces if turn % 2 == 0 else faces[::-1]:
            with ProcessPoolExecutor(1, get_context("spawn")) as alone:
                how = (args.system, args.batch_size, args.blocks, args.settings)
                step, held = alone.submit(measure_steps, count, *how).result()
            steps[count].append(step)
            memory[count].append(held)
            preparing[count].append(seconds_per_face(count))
    middle = {count: [float(np.median(x[count])) for x in (steps, memory, preparing)] for count in faces}
    for count, (step, held, prepare) in middle.items():
        amounts = f"step {step:.0f} ms, memory {held / 1e9:.2f} GB, prepare {1e3 * prepare:.2f} ms a face"
        print(f"{count:,} faces: {amounts}")
    most, fewest = faces[-1], faces[0]
    print(f"memory: {middle[most][1] / middle[fewest][1]:.3f}")
    print(f"prepare, seconds a face: {middle[most][2] / middle[fewest][2]:.3f}")
    print_ratio([more / fewer for more, fewer in zip(steps[most], steps[fewest], strict=True)])


if __name__ == "__main__":
    main()
