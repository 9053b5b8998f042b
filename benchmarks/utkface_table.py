"""Train the whole LMTCNN table on all of UTKFace where there is a GPU but no network, and pack up what to take home.

    python benchmarks/utkface_table.py --source UTKFACE.zip [--work FOLDER] [--home FOLDER] [--minutes 9] [--at-once 4]
                                       [SETTING ...]

It prepares the pack and trains experiment=lmtcnn, five folds, 5,000 steps of 128 a run in the sound mode, untracked,
until all runs are done or the minutes are over. Called again it goes on; so it does on another machine where the runs
taken home lie under FOLDER/runs. MLflow need not be there. What is taken home is runs.tar.gz: of each finished run all
but its weights. SETTINGs are those of `agegender train`; give the same ones at home, where the tables are made:

    tar -xzf runs.tar.gz
    agegender prepare data=utkface data.source=UTKFACE.zip
    agegender report experiment=lmtcnn data=utkface recipe=quick recipe.steps=5000 recipe.batch_size=128 [SETTING ...]
    agegender track
"""

import argparse
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

from command import AGEGENDER

TABLE = ("experiment=lmtcnn", "data=utkface", "recipe=quick", "recipe.steps=5000", "recipe.batch_size=128")
GRACE = 30  # seconds that an interrupted sweep has to end in


def train(work: Path, minutes: float, words: list[str]) -> int:
    """Train for so long and return the exit status; an interrupted run goes on from its last validation next time."""
    process = subprocess.Popen([*AGEGENDER, "train", "-m", *words], cwd=work, start_new_session=True)
    try:
        return process.wait(60 * minutes)
    except subprocess.TimeoutExpired:
        return 0
    finally:
        interrupt(process)


def interrupt(process: subprocess.Popen[bytes]) -> None:
    """Do to every process of a sweep what Ctrl-C does; kill what has not ended in good time."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def pack_up(runs: Path, archive: Path) -> int:
    """Write what finished runs left, but for their weights; return their number."""
    done = sorted(mark.parent for mark in runs.glob("*/done"))
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:gz") as tar:
        for run in done:
            for file in sorted(run.iterdir()):
                if file.is_file() and file.suffix != ".safetensors":
                    tar.add(file, f"runs/{run.name}/{file.name}")
    return len(done)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="the zip or folder of UTKFace")
    parser.add_argument("--work", type=Path, default=Path(), help="folder of the pack and the runs")
    parser.add_argument("--home", type=Path, help="folder for runs.tar.gz; without, that of the work")
    parser.add_argument("--minutes", type=float, default=9.0, help="for everything")
    parser.add_argument("--at-once", type=int, default=4, help="runs that share the machine")
    parser.add_argument("settings", nargs="*", help="settings of `agegender train`")
    args = parser.parse_args()
    started = time.monotonic()
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell's background commands ignore it, and so would ours
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # as `timeout` sends it: the sweep has to end too
    args.work.mkdir(parents=True, exist_ok=True)
    prepare = ("prepare", "data=utkface", f"data.source='{args.source.resolve()}'")
    subprocess.run([*AGEGENDER, *prepare], cwd=args.work, check=True)
    launcher = ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={args.at_once}"] if args.at_once > 1 else []
    words = [*TABLE, "tracking=none", "trainer.progress=false", *launcher, *args.settings]
    status = train(args.work, args.minutes - (time.monotonic() - started + GRACE) / 60, words)
    archive = (args.home or args.work) / "runs.tar.gz"
    count = pack_up(args.work / "runs", archive)
    print(f"{count} finished runs are in {archive}, {archive.stat().st_size / 1e6:.1f} MB")
    sys.exit(status)


if __name__ == "__main__":
    main()
