"""Check that the suite's speed costs no accuracy: the same training, the suite's way and the plain way, seed by seed.

Both train the same network with the same recipe on the same faces of one fold of UTKFace: one with `agegender train`'s
own `fit`, the other with ImageFolder, torchvision's transforms and a bare float32 loop. Both are then asked about the
same test faces by the same code. The weights after the last step count on both sides.

    python benchmarks/same_accuracy.py [--source UTKFACE.zip] [--system lmtcnn_2_1] [--seeds 3] [SETTING ...]

SETTINGs are those of `agegender train` and hold for both sides, except the precision, which is the suite's. The last
lines are each metric's mean and range over the seeds, and the difference of the means in points.
"""

import argparse
import logging
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from hydra import compose, initialize_config_dir

from agegender.commands.prepare import main as prepare
from agegender.config.resolve import resolve_run
from agegender.config.settings import config_folder
from agegender.data.pack import Pack
from agegender.metrics import evaluate
from agegender.spec import Run
from agegender.training.device import computing_device, resolve_trainer, set_process
from agegender.training.evaluation import predict
from agegender.training.fit import build_network, fit, quiet_lightning
from agegender.training.run_data import data_of, faces_of, pack_of
from agegender.training.run_identity import identity_keys, run_folder
from agegender.training.setup import set_up
from faces import UTKFACE, class_folders
from plain import plain_loader, train_plainly

METRICS = ("age_exact", "age_one_off", "gender_accuracy")


def suite(run: Run, pack: Pack, runs: Path) -> dict[str, float]:
    folder = run_folder(run, pack.digest, runs)
    set_up(folder, run, identity_keys(run, pack.digest))
    fit(run, pack, folder)
    return {name.removeprefix("test/"): value for name, value in folder.read("metrics").items()}


def plain_way(run: Run, pack: Pack, folder: Path) -> dict[str, float]:
    """Train with what torchvision offers, then answer as the suite does."""
    torch.manual_seed(run.seed)
    splits = faces_of(run, pack)
    table = splits["train"].table
    labels = table[["age_group", "gender"]].fillna(-1).astype(int)
    classes = [f"{age}_{gender}" for age, gender in labels.itertuples(index=False)]
    files = class_folders(run.data.source or Path(), list(table["image"]), folder / "files", classes)
    network, recipe = build_network(run), run.recipe.model_dump()
    loader = plain_loader(files, recipe["batch_size"], 2, recipe["contrast"])
    train_plainly(network, loader, recipe, recipe["steps"])
    with quiet_lightning():
        answers = predict(network, data_of(run, splits), run.evaluation, computing_device(run.trainer), run.precision)
    return evaluate(answers, run.tasks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, default=UTKFACE)
    parser.add_argument("--system", default="lmtcnn_2_1")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--fraction", type=float, default=0.2)
    parser.add_argument("settings", nargs="*", help="settings of `agegender train`")
    args = parser.parse_args()
    logging.getLogger("agegender").setLevel(logging.WARNING)
    rows = []
    with tempfile.TemporaryDirectory() as name, initialize_config_dir(config_folder(), version_base="1.3"):
        folder = Path(name)
        here = ["data=utkface", f"data.source='{args.source.resolve()}'", f"paths.data='{folder}/data'"]
        prepare(compose("prepare", overrides=here))
        words = [*here, f"paths.runs='{folder}/runs'", f"protocol.fraction={args.fraction}", f"system={args.system}"]
        for seed in range(args.seeds):
            late = ["recipe.validate_every=${recipe.steps}", "trainer.progress=false", f"seed={seed}"]
            run = resolve_run(compose("train", overrides=[*words, *late, *args.settings]))
            pack = pack_of(run.data)
            run = run.model_copy(update={"trainer": resolve_trainer(run.trainer, pack.images.nbytes)})
            set_process(run.trainer.threads, run.precision)
            sides = {
                "suite": suite(run, pack, folder / "runs"),
                "plain": plain_way(run, pack, folder / f"plain {seed}"),
            }
            for side, scores in sides.items():
                rows.append({"side": side, "seed": seed} | {metric: 100 * scores[metric] for metric in METRICS})
                print(", ".join(f"{k} {v:.2f}" if isinstance(v, float) else f"{k} {v}" for k, v in rows[-1].items()))
    show(pd.DataFrame(rows))


def show(table: pd.DataFrame) -> None:
    for metric in METRICS:
        ours, theirs = (table[table["side"] == side][metric].to_numpy() for side in ("suite", "plain"))
        text = [f"{np.mean(x):.2f} % ({x.min():.2f} to {x.max():.2f})" for x in (ours, theirs)]
        print(f"{metric}: suite {text[0]}, plain {text[1]}, difference {np.mean(ours) - np.mean(theirs):+.2f} points")


if __name__ == "__main__":
    main()
