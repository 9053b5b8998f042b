"""Compare a training step with its data to the same step on one batch that is there already: what data costs.

Both sides are what `agegender train` runs: the LightningModule in Lightning's loop with the history file. One reads
its batches from a pack of real faces, the other is handed the same batch again and again. They take turns.

    python benchmarks/training_step.py [--system lmtcnn_2_1] [--batch-size 16] [--blocks 4] [--turns 2]
                                       [--source ZIP] [SETTING ...]

SETTINGs are those of `agegender train` (precision=bf16-mixed trainer.threads=1). A block is 50 steps on a GPU, else
one. The last line is the step with data over the step without: median (lowest to highest pair).
"""

import argparse
import tempfile
from pathlib import Path

from faces import FAIRFACE, image_names, packed_faces, source_or_noise
from ratios import print_ratio, take_turns
from steps import arguments, configure, set_up, time_suite


def main() -> None:
    args = arguments(argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter))
    config, block = configure(args.system, args.batch_size, args.blocks, *args.settings)
    with tempfile.TemporaryDirectory() as folder:
        count = 8 * args.batch_size
        source = source_or_noise(args.source, FAIRFACE, Path(folder), count, 224)
        faces = packed_faces(source, image_names(source, count), Path(folder) / "pack")
        training = set_up(config, block, faces)
        ratios = take_turns(
            ("with data", lambda: 1e3 * time_suite(training, training.batches)),
            ("without", lambda: 1e3 * time_suite(training, training.repeated())),
            args.pairs,
            "ms",
            args.turns,
        )
    print_ratio(ratios)


if __name__ == "__main__":
    main()
