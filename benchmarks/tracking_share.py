"""Compare the same training tracked in MLflow (SQLite, system metrics) and untracked: what tracking costs.

Whole runs on drawn faces, from the opened pack to the finished run folder, in one process and taking turns. A first
pair, which does not count, imports every module and makes the database. What tracking takes once a run weighs the less
the longer the run is: say how long with --steps.

    python benchmarks/tracking_share.py [--system lmtcnn_2_1] [--steps 40] [--batch-size 16] [--pairs 2] [SETTING ...]

SETTINGs are those of `agegender train`. The last line is tracked over untracked: median (lowest to highest pair).
"""

import argparse
import itertools
import logging
import tempfile
import time
from pathlib import Path

from hydra import compose, initialize_config_dir

from agegender.commands.prepare import main as prepare
from agegender.commands.train import train
from agegender.config.settings import config_folder
from ratios import print_ratio, take_turns

RUNS = itertools.count()


def settings(folder: Path, args: argparse.Namespace) -> list[str]:
    return [
        f"paths.data='{folder}/data'",
        f"paths.runs='{folder}/runs'",
        f"system={args.system}",
        f"recipe.batch_size={args.batch_size}",
        "trainer.progress=false",
        *args.settings,
    ]


def seconds(words: list[str], steps: int, tracking: str) -> float:
    """Train a run that is like the others but for its seed, and return how long it took."""
    here = [f"tracking={tracking}", f"seed={next(RUNS)}", f"recipe.steps={steps}", f"recipe.validate_every={steps}"]
    config = compose("train", overrides=[*words, *here])
    started = time.perf_counter()
    train(config)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--system", default="lmtcnn_2_1")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("settings", nargs="*", help="settings of `agegender train`")
    args = parser.parse_args()
    logging.getLogger("agegender").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder, initialize_config_dir(config_folder(), version_base="1.3"):
        words = settings(Path(folder), args)
        few = [f"paths.data='{folder}/data'", "data.generate.faces=200", "data.generate.users=20"]
        prepare(compose("prepare", overrides=[*few, "data=generated"]))
        for tracking in ("mlflow", "none"):
            seconds(words, 2, tracking)
        print(f"{args.system}, {args.steps} steps of {args.batch_size}")
        ratios = take_turns(
            ("tracked", lambda: seconds(words, args.steps, "mlflow")),
            ("untracked", lambda: seconds(words, args.steps, "none")),
            args.pairs,
            "s",
        )
    print_ratio(ratios)


if __name__ == "__main__":
    main()
