"""Compare Lightning's loop with a bare loop on the same batch: what the loop costs.

One side is the LightningModule in Lightning's Trainer with logging and the history file, without validation, progress
bar and checkpoints; the other is forward, loss, backward, clipping and optimiser in a plain loop, compiled or not like
the suite's. They take turns on one network.

    python benchmarks/loop_overhead.py [--system levi_hassner_tf] [--batch-size 16] [--blocks 4] [--turns 2]
                                       [SETTING ...]

SETTINGs are those of `agegender train`. The last line is Lightning's step over the bare one: median (lowest to
highest pair).
"""

import argparse
import tempfile
from pathlib import Path

from faces import draw_noise, image_names, packed_faces
from ratios import print_ratio, take_turns
from steps import arguments, configure, set_up, time_bare, time_suite


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args = arguments(parser, system="levi_hassner_tf")
    config, block = configure(args.system, args.batch_size, args.blocks, *args.settings)
    with tempfile.TemporaryDirectory() as folder:
        source = draw_noise(Path(folder) / "noise", args.batch_size, 224)
        faces = packed_faces(source, image_names(source, None), Path(folder) / "pack")
        training = set_up(config, block, faces)
        ratios = take_turns(
            ("Lightning", lambda: 1e3 * time_suite(training, training.repeated())),
            ("bare", lambda: 1e3 * time_bare(training)),
            args.pairs,
            "ms",
            args.turns,
        )
    print_ratio(ratios)


if __name__ == "__main__":
    main()
