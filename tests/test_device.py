"""Where a run computes is decided from the machine and written into its configuration."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from agegender.config.settings import config_folder
from agegender.data.batches import Faces
from agegender.errors import UserError
from agegender.models.network import create_model
from agegender.training import device
from agegender.training.device import (
    check_device,
    check_memory,
    computing_device,
    gpu_claimed,
    place,
    place_faces,
    resolve_trainer,
    runs_at_once,
    set_process,
    workers,
)
from agegender.training.module import loss_of

GIGABYTE = 10**9


@pytest.fixture
def config() -> DictConfig:
    with initialize_config_dir(config_folder(), version_base="1.3"):
        return compose("train")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretends to a number of GPUs with free memory and to CPU cores; nothing is computed on them."""

    def pretend(gpus: int = 0, free: int = 0, cores: int = 8, triton: bool = True) -> None:
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free, free))
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
        monkeypatch.setattr(device, "find_spec", lambda name: name if triton else None)
        monkeypatch.setenv("CC", "cc")
        monkeypatch.setattr(device.joblib, "cpu_count", lambda: cores)

    return pretend


def test_without_a_gpu_nothing_is_copied_or_compiled(config: DictConfig, machine: Callable[..., None]) -> None:
    machine(gpus=0)
    resolve_trainer(config, GIGABYTE)
    assert OmegaConf.to_container(config.trainer) == {
        "accelerator": "auto",
        "device": 0,
        "workers": 0,
        "threads": None,
        "resident": False,
        "compile": False,
        "progress": True,
    }
    assert place(config) == {"accelerator": "auto", "devices": 1, "precision": "32-true"}


@pytest.mark.parametrize(
    ("at_once", "pixels", "resident"),
    [
        (1, 5 * GIGABYTE, True),
        (4, 5 * GIGABYTE, True),  # two runs a GPU: 10 of the 25 GB
        (12, 5 * GIGABYTE, False),  # six runs a GPU: 30 of the 25 GB
        (1, 26 * GIGABYTE, False),
    ],
)
def test_the_runs_on_a_gpu_share_its_memory(
    config: DictConfig, machine: Callable[..., None], at_once: int, pixels: int, resident: bool
) -> None:
    machine(gpus=2, free=100 * GIGABYTE)
    config.trainer.workers = 3
    resolve_trainer(config, pixels, at_once=at_once)
    assert workers(config) == (0 if resident else 3)
    assert (config.trainer.device, config.trainer.resident, config.trainer.compile) == (0, resident, True)
    assert place(config)["devices"] == [0]
    assert computing_device(config) == torch.device("cuda", 0)


def test_nothing_is_compiled_where_nothing_can_compile(config: DictConfig, machine: Callable[..., None]) -> None:
    machine(gpus=1, free=100 * GIGABYTE, triton=False)
    resolve_trainer(config, GIGABYTE)
    assert config.trainer.compile is False


def test_a_run_gets_a_gpu_that_no_other_is_on(config: DictConfig, machine: Callable[..., None], tmp_path: Path) -> None:
    machine(gpus=2)
    config.paths.runs = str(tmp_path / "runs")
    runs = [config.copy() for _ in range(6)]
    with gpu_claimed(runs[0]):
        with gpu_claimed(runs[1]), gpu_claimed(runs[2]), gpu_claimed(runs[3]), gpu_claimed(runs[4]):
            pass
        with gpu_claimed(runs[5]):
            pass
    assert [run.trainer.device for run in runs] == [0, 1, 0, 1, 0, 1], "what has ended leaves its GPU to the next"
    runs[0].trainer.device = 1
    with gpu_claimed(runs[0]):
        assert runs[0].trainer.device == 1, "as asked"


def test_one_gpu_or_none_need_no_claim(config: DictConfig, machine: Callable[..., None], tmp_path: Path) -> None:
    config.paths.runs = str(tmp_path / "runs")
    for gpus in (0, 1):
        machine(gpus=gpus)
        with gpu_claimed(config):
            assert config.trainer.device is None
    assert not (tmp_path / "runs").exists()


def test_what_is_asked_for_is_kept(config: DictConfig, machine: Callable[..., None]) -> None:
    machine(gpus=2, free=100 * GIGABYTE)
    config.trainer.update({"device": 1, "resident": False, "compile": False, "threads": 1})
    resolve_trainer(config, GIGABYTE, at_once=4)
    assert [config.trainer[name] for name in ("device", "resident", "compile", "threads")] == [1, False, False, 1]
    config.trainer.device = 2
    with pytest.raises(UserError, match=r"trainer\.device=2: there are 2 GPUs, counted from 0"):
        check_device(config)
    config.trainer.device = 1
    check_device(config)


def test_a_cpu_run_on_a_machine_with_gpus_leaves_them_alone(config: DictConfig, machine: Callable[..., None]) -> None:
    machine(gpus=2, free=100 * GIGABYTE)
    config.trainer.accelerator = "cpu"
    resolve_trainer(config, GIGABYTE)
    assert (config.trainer.device, config.trainer.resident, config.trainer.compile) == (0, False, False)
    assert place(config)["devices"] == 1


def test_runs_at_a_time_divide_the_cores(config: DictConfig, machine: Callable[..., None]) -> None:
    machine(cores=8)
    assert [runs_at_once({"n_jobs": jobs}) for jobs in (1, 4, -1, -2, None)] == [1, 4, 8, 7, 1]
    with pytest.raises(UserError, match="n_jobs=0: choose how many runs at a time"):
        runs_at_once({"n_jobs": 0})
    assert runs_at_once({"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}) == 1
    resolve_trainer(config, GIGABYTE, at_once=3)
    assert config.trainer.threads == 2


def test_more_runs_than_the_memory_holds_are_refused() -> None:
    free = psutil.virtual_memory().available
    check_memory(1)
    with pytest.raises(
        UserError, match=r"n_jobs=100000: .* GB are free: choose hydra\.launcher\.n_jobs=(\d+)"
    ) as error:
        check_memory(100_000)
    assert int(str(error.value).rsplit("=", 1)[1]) * device.RUN_MEMORY <= 1.2 * free


def test_pixels_kept_in_memory_are_the_same_faces(config: DictConfig) -> None:
    import pandas as pd

    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    table = pd.DataFrame({"slot": [5, 1, 4], "gender": pd.array([0, 1, None], dtype="Int64")})
    splits = {"test": Faces(images, table, ["gender"])}
    assert place_faces(config, splits) is splits
    config.trainer.resident = True
    resident = place_faces(config, splits)["test"]
    rows = np.array([2, 0])
    assert torch.equal(resident.stored(rows), splits["test"].stored(rows))
    assert resident.images.shape == (3, 8, 8, 3), "only the faces of the part"
    config.trainer.workers = 2
    assert workers(config) == 2


def test_precision_says_what_convolutions_on_a_gpu_may_do(config: DictConfig) -> None:
    before = torch.backends.cudnn.allow_tf32
    config.trainer.threads = torch.get_num_threads()
    try:
        for precision, lightning, tf32 in (
            ("32-true", "32-true", False),
            ("tf32", "32-true", True),
            ("bf16-mixed", "bf16-mixed", True),
        ):
            config.precision = precision
            set_process(config)
            assert place(config)["precision"] == lightning
            assert torch.backends.cudnn.allow_tf32 is tf32
    finally:
        torch.backends.cudnn.allow_tf32 = before


def test_the_compiled_loss_is_the_loss() -> None:
    """With the front end that every backend shares; what a GPU's kernels make of it is measured there."""
    torch.manual_seed(0)
    network = create_model("lmtcnn_1_1")
    images, labels = torch.randn(2, 3, 227, 227), {"age": torch.tensor([3, -1]), "gender": torch.tensor([1, 0])}
    compiled = torch.compile(loss_of, backend="aot_eager", fullgraph=True)
    ours, theirs = compiled(network, images, labels), loss_of(network, images, labels)
    torch.testing.assert_close(ours, theirs)
    gradients = []
    for loss, _ in (ours, theirs):
        network.zero_grad()
        loss.backward()
        gradients.append([p.grad.clone() for p in network.parameters() if p.grad is not None])
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)
