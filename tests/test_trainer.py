"""What Lightning could find in the environment or in the current folder reaches no run."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir

from agegender.config.settings import config_folder
from agegender.data.batches import Batch, TrainingBatches
from agegender.runs.folder import RunFolder
from short_runs import SHORT, Overrides, cut_before, run

WORDS = (*SHORT, "evaluation.repeats=none")

SLURM = {
    "SLURM_JOB_ID": "4242",
    "SLURM_JOB_NAME": "faces",
    "SLURM_NTASKS": "1",
    "SLURM_NNODES": "1",
    "SLURM_NODEID": "0",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODELIST": "node1",
}
TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "none",
    "GROUP_RANK": "0",
    "LOCAL_RANK": "1",
    "RANK": "1",
    "WORLD_SIZE": "2",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
}
TRAINER = {"PL_TRAINER_ACCUMULATE_GRAD_BATCHES": "2", "PL_TRAINER_LIMIT_PREDICT_BATCHES": "1"}
ENVIRONMENTS = {
    "a job of slurm": SLURM,
    "four tasks": SLURM | {"SLURM_NTASKS": "4"} | TRAINER,
    "torchrun in an interactive job": SLURM | {"SLURM_JOB_NAME": "interactive"} | TORCHRUN,
}


@pytest.fixture(scope="module")
def alone(packs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, Path]:
    """A finished run in a clean environment, and a checkpoint that a run of another fold was stopped at."""
    folder = tmp_path_factory.mktemp("alone")
    words = [f"paths.runs={folder}/runs", f"data.pack='{packs}'", "trainer.progress=false", *WORDS]
    with initialize_config_dir(config_folder(), version_base="1.3"):
        _, whole = run([*words, "trainer.accelerator=cpu", "trainer.threads=1"])
        with cut_before(3):
            run([*words, "trainer.accelerator=cpu", "trainer.threads=1", "fold=1"])
    [other] = folder.glob("runs/*-f1-*/checkpoints/step=2.ckpt")
    return whole, other


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_run_is_the_same_whatever_lies_around_it(
    alone: tuple[RunFolder, Path],
    overrides: Overrides,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: str,
) -> None:
    whole, other = alone
    here = tmp_path / "here"
    (here / "bin").mkdir(parents=True)
    shutil.copy(other, here / "hpc_ckpt_1.ckpt")
    (here / "bin" / "srun").touch(0o755)
    monkeypatch.chdir(here)
    monkeypatch.setenv("PATH", str(here / "bin"), prepend=":")
    for name, value in ENVIRONMENTS[environment].items():
        monkeypatch.setenv(name, value)
    handlers = []
    original = TrainingBatches.step

    def step(self: TrainingBatches, number: int) -> Batch:
        handlers.append(signal.getsignal(signal.SIGUSR1))
        return original(self, number)

    monkeypatch.setattr(TrainingBatches, "step", step)
    before = signal.getsignal(signal.SIGUSR1)
    _, folder = run(overrides(*WORDS))
    assert folder.predictions.read_bytes() == whole.predictions.read_bytes()
    assert folder.weights.read_bytes() == whole.weights.read_bytes()
    assert curve(folder) == curve(whole)
    assert handlers == [before] * 4, "Slurm's signal is no business of Lightning's"
    assert sorted(path.name for path in here.iterdir()) == ["bin", "hpc_ckpt_1.ckpt"]


def curve(folder: RunFolder) -> list[tuple[int, dict[str, Any]]]:
    return [(line["step"], line["values"]) for line in map(json.loads, folder.history.read_text().splitlines())]
