"""Compare Lightning's loop with a bare loop on the same batch: what the loop costs.

One side is the LightningModule in Lightning's Trainer with logging and the history file, without validation, progress
bar and checkpoints; the other is forward, loss, backward, clipping and optimiser on a copy of the network in a plain
loop, compiled or not like the suite's. They take turns, block by block of steps, within one training.

    python benchmarks/loop_overhead.py [--system levi_hassner_tf] [--batch-size 16] [--pairs 3] [--turns 6]
                                       [SETTING ...]

SETTINGs are those of `agegender train`. A block is 50 steps on a GPU, else four. Above the last line stands what
Lightning adds to a step; the last line is its step over the bare one: median (lowest to highest pair).
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from faces import draw_noise, image_names, packed_faces
from plain import now
from ratios import pair_up, print_ratio
from steps import WARM_UP, Repeated, Stopwatch, Training, arguments, bare_steps, configure, set_up, time_suite


class BareInTurns(Stopwatch):
    """After every block of Lightning's steps one of bare steps."""

    def __init__(self, training: Training):
        super().__init__(training.block)
        self.steps_of, self.bare = bare_steps(training), list[float]()

    def between_blocks(self) -> None:
        started = now()
        for _ in range(self.block - 1):
            next(self.steps_of)
        self.bare.append(1e3 * (now() - started) / (self.block - 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args = arguments(parser, system="levi_hassner_tf")
    run, block = configure(args.system, args.batch_size, args.pairs * args.turns, *args.settings)
    with tempfile.TemporaryDirectory() as folder:
        source = draw_noise(Path(folder) / "noise", args.batch_size, 224)
        faces = packed_faces(source, image_names(source, None), Path(folder) / "pack")
        training = set_up(run, block, faces)
        clock = BareInTurns(training)
        lightning = time_suite(training, Repeated(training), clock)
    bare = clock.bare[WARM_UP:]
    ratios = pair_up(("Lightning", lightning), ("bare", bare), args.pairs)
    print(f"Lightning adds {np.median(np.subtract(lightning, bare)):.2f} ms to a step")
    print_ratio(ratios)


if __name__ == "__main__":
    main()
