"""Extrapolate a whole table, five folds of the official recipe, from real runs: the suite against the plain way.

The suite's side is `agegender train -m`, so many runs at a time as asked for; a step's seconds come from the runs' own
histories after the start, a validation's too, of which the recipe has 50; everything else a run takes is added once.
The other side is ImageFolder and a bare float32 loop, run after run.

    python benchmarks/whole_table.py [--systems lmtcnn_2_1 levi_hassner_tf] [--steps 60] [--batch-size 16] [--folds 1]
                                     [--at-once 1] [--source UTKFACE.zip] [SETTING ...]

A step of another batch size is taken to last in proportion to its images. SETTINGs are those of `agegender train`.
Without --source the faces are drawn. The last line is the plain way's time over the suite's (lowest to highest system).
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir

from agegender.config.resolve import resolve_run
from agegender.config.settings import config_folder
from agegender.models.network import create_model
from command import AGEGENDER
from faces import class_folders, image_names
from plain import plain_loader, train_plainly
from ratios import print_ratio

STEPS, BATCH, VALIDATIONS, FOLDS = 50_000, 128, 50, 5  # of the official recipe (LMT `train.py` and its shell scripts)
START = 0.3  # of the steps that do not count: compiling, caches


def agegender(folder: Path, *words: str) -> None:
    subprocess.run([*AGEGENDER, *words], cwd=folder, check=True)


def suite(folder: Path, args: argparse.Namespace) -> dict[str, float]:
    """Return the seconds of a whole run of each system, while `--at-once` runs share the machine."""
    data = ["data=utkface", f"data.source='{args.source.resolve()}'"] if args.source else ["data=generated"]
    agegender(folder, "prepare", *data, *([] if args.source else ["data.generate.faces=200", "data.generate.users=20"]))
    launcher = ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={args.at_once}"] if args.at_once > 1 else []
    recipe = ["recipe=lmtcnn_official", f"recipe.steps={args.steps}", f"recipe.batch_size={args.batch_size}"]
    recipe.append(f"recipe.validate_every={args.steps // 2}")
    runs = [f"system={','.join(args.systems)}", f"fold={','.join(map(str, range(args.folds)))}", "tracking=none"]
    agegender(folder, "train", "-m", *data[:1], *recipe, *runs, "trainer.progress=false", *launcher, *args.settings)
    found: dict[str, list[float]] = {system: [] for system in args.systems}
    for run in (folder / "runs").glob("*-*"):
        if (run / "done").exists():
            found[run.name.split("-")[0]].append(official_seconds(run, args.batch_size))
    return {system: sum(seconds) / len(seconds) for system, seconds in found.items()}


def official_seconds(run: Path, batch_size: int) -> float:
    """Return what a run of the official recipe would take: its steps, its validations, and everything else once.

    A validation is what the steps around it took longer than others, so its checkpoint is in it.
    """
    entries = [json.loads(line) for line in (run / "history.jsonl").read_text(encoding="utf-8").splitlines()]
    logged = [(entry["step"], entry["time"]) for entry in entries if "train/loss" in entry["values"]]
    validated = [entry["step"] for entry in entries if "val/loss" in entry["values"]]
    spans = [  # between two logged steps: how many steps, how long, how many validations
        (other - one, until - since, sum(one <= step < other for step in validated))
        for (one, since), (other, until) in itertools.pairwise(logged)
        if one >= START * logged[-1][0]
    ]
    step = statistics.median(time / steps for steps, time, validations in spans if not validations)
    validation = statistics.median(time - steps * step for steps, time, validations in spans if validations)
    whole: float = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["seconds"]
    rest = whole - step * (logged[-1][0] + 1) - validation * len(validated)
    return float(step * STEPS * BATCH / batch_size + validation * VALIDATIONS + rest)


def plain_way(files: Path, system: str, args: argparse.Namespace) -> float:
    """Return the seconds of a whole run of one system in a bare loop over ImageFolder."""
    with initialize_config_dir(config_folder(), version_base="1.3"):
        run = resolve_run(compose("train", overrides=[f"system={system}", "recipe=lmtcnn_official"]))
    network, recipe = create_model(run.system.model.name, run.tasks, run.mode), run.recipe.model_dump()
    loader = plain_loader(files, args.batch_size, os.cpu_count() or 1, recipe["contrast"])
    step = train_plainly(network, loader, recipe, args.plain_steps, skip=int(START * args.plain_steps))
    return step * STEPS * BATCH / float(args.batch_size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", default=["lmtcnn_2_1", "levi_hassner_tf"])
    parser.add_argument("--steps", type=int, default=60, help="at least 30")
    parser.add_argument("--plain-steps", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--folds", type=int, default=1, help="of five, that are really run")
    parser.add_argument("--at-once", type=int, default=1, help="runs that share the machine")
    parser.add_argument("--source", type=Path, help="the zip or folder of UTKFace")
    parser.add_argument("settings", nargs="*", help="settings of `agegender train`")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours = suite(folder, args)
        source = args.source or folder / "data" / "generated"
        files = class_folders(source, image_names(source, 2000), folder / "files")
        theirs = {system: plain_way(files, system, args) for system in args.systems}
    sharing = min(args.at_once, len(args.systems) * args.folds)
    hours = {system: FOLDS * ours[system] / sharing / 3600 for system in args.systems}
    plain_hours = {system: FOLDS * theirs[system] / 3600 for system in args.systems}
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} CPU cores"
    print(f"{FOLDS} folds of {STEPS:,} steps of {BATCH} on {where}, hours, extrapolated from {args.steps} steps a run")
    for system in args.systems:
        print(f"  {system}: suite {hours[system]:,.2f}, plain {plain_hours[system]:,.2f}")
    total, plain_total = sum(hours.values()), sum(plain_hours.values())
    print(f"  together: suite {total:,.2f}, plain {plain_total:,.2f}, {plain_total / total:.2f} times as long")
    print_ratio([plain_hours[system] / hours[system] for system in args.systems], digits=2)


if __name__ == "__main__":
    main()
