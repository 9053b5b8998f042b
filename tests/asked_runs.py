"""Runs to ask about image files, trained in one step, and the call that asks them."""

from pathlib import Path

import pytest
from hydra import compose
from torch import nn

from agegender.commands.predict import predict
from agegender.commands.train import train
from agegender.config.settings import PredictSettings, settings_of
from agegender.models.network import Network
from agegender.runs.folder import RunFolder
from agegender.spec import Run
from agegender.training.fit import build_network
from short_runs import folder_of


def outspoken(run: Run) -> Network:
    """A fresh network that tells faces apart; after one step from its usual weights it answers to all alike."""
    network = build_network(run)
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.5 * (2 / layer.in_features) ** 0.5)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network


def one_step_run(temporary: pytest.TempPathFactory, packs: Path, *words: str, runs: str = "runs") -> RunFolder:
    """Train a run of one step below `runs` unless it is there: the files that ask for it share one desk."""
    desk = temporary.getbasetemp() / "a desk"
    here = [f"paths.runs='{desk}/{runs}'", f"data.pack='{packs}'", "trainer.progress=false", "trainer.threads=1"]
    here += ["trainer.accelerator=cpu", "tracking=none", "debug=one_step", "system=lmtcnn_1_1"]
    config = compose("train", overrides=[*here, *words])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("agegender.training.fit.build_network", outspoken)
        train(config)
    return folder_of(config)


def ask(folder: RunFolder, images: object, *words: str) -> int:
    here = [f"run='{folder.path}'", f"images='{images}'", *words]
    return predict(settings_of(PredictSettings, compose("predict", overrides=here)))
