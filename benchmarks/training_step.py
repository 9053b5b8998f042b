"""Compare a training step with its data to the same step on one batch that is there already: what data costs.

Both sides are what `agegender train` runs: one training in Lightning's loop with the history file. It reads a block of
batches from a pack of real faces, is handed the same batch again and again for another block, and so on in turns.

    python benchmarks/training_step.py [--system lmtcnn_2_1] [--batch-size 16] [--pairs 3] [--turns 6]
                                       [--source ZIP] [SETTING ...]

SETTINGs are those of `agegender train` (precision=bf16-mixed trainer.threads=1). A block is 50 steps on a GPU, else
four. The last line is the step with data over the step without: median (lowest to highest pair).
"""

import argparse
import tempfile
from pathlib import Path

from faces import FAIRFACE, image_names, packed_faces, source_or_noise
from ratios import pair_up, print_ratio
from steps import InTurns, arguments, configure, set_up, time_suite


def main() -> None:
    args = arguments(argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter))
    run, block = configure(args.system, args.batch_size, 2 * args.pairs * args.turns, *args.settings)
    with tempfile.TemporaryDirectory() as folder:
        count = 8 * args.batch_size
        source = source_or_noise(args.source, FAIRFACE, Path(folder), count, 224)
        faces = packed_faces(source, image_names(source, count), Path(folder) / "pack")
        training = set_up(run, block, faces)
        times = time_suite(training, InTurns(training))
    print_ratio(pair_up(("with data", times[::2]), ("without", times[1::2]), args.pairs))


if __name__ == "__main__":
    main()
