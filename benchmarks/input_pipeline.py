"""Compare the suite's training batches with ImageFolder + PIL + transforms v2 in a DataLoader: images a second.

Both read the same real faces, cut 227 of 256 pixels, mirror, change the contrast and standardise each image; the
plain side changes the brightness too, which standardising cancels. They have the same cores: the suite in threads of
one process, as `agegender train` does, the other in as many worker processes. They take turns.

    python benchmarks/input_pipeline.py [--source ZIP] [--faces 1000] [--batch-size 128] [--cores N] [--pairs 3]

On a machine with a GPU the suite keeps its faces on it, and batches are counted when they are there. The last line is
the suite's speed over the plain pipeline's: median (lowest to highest pair).
"""

import argparse
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from agegender.data.batches import Batch, Faces, TrainingBatches, loader
from agegender.training.device import keep_freed_memory
from faces import FAIRFACE, class_folders, image_names, packed_faces, source_or_noise
from plain import images_per_second, plain_loader
from ratios import print_ratio, take_turns

CONTRAST = (0.2, 1.8)


def arrived(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Wait for each batch to be there, not only to be ordered."""
    for batch in batches:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        yield batch


def suite_speed(faces: Faces, batch_size: int, count: int) -> float:
    batches = TrainingBatches(faces, size=227, batch_size=batch_size, steps=count + 2, seed=0, contrast=CONTRAST)
    return images_per_second(arrived(iter(loader(batches, 0))), batch_size, count)


def plain_speed(folder: Path, batch_size: int, count: int, workers: int) -> float:
    # Batches before and after the counted ones, so that the workers are as busy at the last one as at the first.
    skip = 2 * workers
    draws = (skip + count + 4 * workers) * batch_size

    def on_device() -> Iterator[torch.Tensor]:
        for images, _ in plain_loader(folder, batch_size, workers, CONTRAST, draws):
            yield images.cuda() if torch.cuda.is_available() else images

    return images_per_second(on_device(), batch_size, count, skip)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, help="zip or folder of images")
    parser.add_argument("--faces", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="of each side")
    args = parser.parse_args()
    resident = torch.cuda.is_available()
    torch.set_num_threads(args.cores)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        source = source_or_noise(args.source, FAIRFACE, Path(folder), args.faces, 224)
        names = image_names(source, args.faces)
        faces = packed_faces(source, names, Path(folder) / "pack")
        faces = faces.resident(torch.device("cuda")) if resident else faces
        files = class_folders(source, names, Path(folder) / "files")
        where = "faces on the GPU" if resident else "CPU"
        print(f"{len(names)} faces of {source.name}, {args.cores} cores, {where}, torch {torch.__version__}")
        ratios = take_turns(
            ("suite", lambda: suite_speed(faces, args.batch_size, args.batches)),
            ("plain", lambda: plain_speed(files, args.batch_size, args.batches, args.cores)),
            args.pairs,
            "images/s",
        )
    print_ratio(ratios, digits=1)


if __name__ == "__main__":
    main()
