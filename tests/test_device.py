"""Where a run computes is resolved for the machine."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from agegender.data.batches import Faces
from agegender.errors import UserError
from agegender.models.network import create_model
from agegender.spec import Trainer
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


def test_without_a_gpu_nothing_is_copied_or_compiled(machine: Callable[..., None]) -> None:
    machine(gpus=0)
    trainer = resolve_trainer(Trainer(), GIGABYTE)
    assert trainer == Trainer(device=0, resident=False, compile=False)
    assert place(trainer, "32-true") == {"accelerator": "auto", "devices": 1, "precision": "32-true"}


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
    machine: Callable[..., None], at_once: int, pixels: int, resident: bool
) -> None:
    machine(gpus=2, free=100 * GIGABYTE)
    trainer = resolve_trainer(Trainer(workers=3), pixels, at_once=at_once)
    assert workers(trainer) == (0 if resident else 3)
    assert (trainer.device, trainer.resident, trainer.compile) == (0, resident, True)
    assert place(trainer, "tf32")["devices"] == [0]
    assert computing_device(trainer) == torch.device("cuda", 0)


def test_nothing_is_compiled_where_nothing_can_compile(machine: Callable[..., None]) -> None:
    machine(gpus=1, free=100 * GIGABYTE, triton=False)
    assert resolve_trainer(Trainer(), GIGABYTE).compile is False


def test_a_run_gets_a_gpu_that_no_other_is_on(machine: Callable[..., None], tmp_path: Path) -> None:
    machine(gpus=2)

    def claim(device: int | None = None) -> AbstractContextManager[Trainer]:
        return gpu_claimed(Trainer(device=device), tmp_path / "runs")

    with claim() as first:
        with claim() as second, claim() as third, claim() as fourth, claim() as fifth:
            pass
        with claim() as sixth:
            pass
    devices = [each.device for each in (first, second, third, fourth, fifth, sixth)]
    assert devices == [0, 1, 0, 1, 0, 1], "what has ended leaves its GPU to the next"
    with claim(1) as asked:
        assert asked.device == 1


def test_one_gpu_or_none_need_no_claim(machine: Callable[..., None], tmp_path: Path) -> None:
    for gpus in (0, 1):
        machine(gpus=gpus)
        with gpu_claimed(Trainer(), tmp_path / "runs") as trainer:
            assert trainer.device is None
    assert not (tmp_path / "runs").exists()


def test_what_is_asked_for_is_kept(machine: Callable[..., None]) -> None:
    machine(gpus=2, free=100 * GIGABYTE)
    asked = Trainer(device=1, resident=False, compile=False, threads=1)
    assert resolve_trainer(asked, GIGABYTE, at_once=4) == asked
    with pytest.raises(UserError, match=r"trainer\.device=2: there are 2 GPUs, counted from 0"):
        check_device(Trainer(device=2))
    check_device(asked)


def test_a_cpu_run_on_a_machine_with_gpus_leaves_them_alone(machine: Callable[..., None]) -> None:
    machine(gpus=2, free=100 * GIGABYTE)
    trainer = resolve_trainer(Trainer(accelerator="cpu"), GIGABYTE)
    assert (trainer.device, trainer.resident, trainer.compile) == (0, False, False)
    assert place(trainer, "32-true")["devices"] == 1


def test_runs_at_a_time_divide_the_cores(machine: Callable[..., None]) -> None:
    machine(cores=8)
    assert [runs_at_once({"n_jobs": jobs}) for jobs in (1, 4, -1, -2, None)] == [1, 4, 8, 7, 1]
    with pytest.raises(UserError, match="n_jobs=0: choose how many runs at a time"):
        runs_at_once({"n_jobs": 0})
    assert runs_at_once({"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}) == 1
    assert resolve_trainer(Trainer(), GIGABYTE, at_once=3).threads == 2


def test_more_runs_than_the_memory_holds_are_refused() -> None:
    free = psutil.virtual_memory().available
    check_memory(1)
    with pytest.raises(
        UserError, match=r"n_jobs=100000: .* GB are free: choose hydra\.launcher\.n_jobs=(\d+)"
    ) as error:
        check_memory(100_000)
    assert int(str(error.value).rsplit("=", 1)[1]) * device.RUN_MEMORY <= 1.2 * free


def test_pixels_kept_in_memory_are_the_same_faces() -> None:
    import pandas as pd

    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    table = pd.DataFrame({"slot": [5, 1, 4], "gender": pd.array([0, 1, None], dtype="Int64")})
    splits = {"test": Faces(images, table, ["gender"])}
    assert place_faces(Trainer(), splits) is splits
    resident = place_faces(Trainer(resident=True), splits)["test"]
    rows = np.array([2, 0])
    assert torch.equal(resident.stored(rows), splits["test"].stored(rows))
    assert resident.images.shape == (3, 8, 8, 3), "only the faces of the split"
    assert workers(Trainer(resident=True, workers=2)) == 2


def test_precision_says_what_convolutions_on_a_gpu_may_do() -> None:
    before = torch.backends.cudnn.allow_tf32
    try:
        for precision, lightning, tf32 in (
            ("32-true", "32-true", False),
            ("tf32", "32-true", True),
            ("bf16-mixed", "bf16-mixed", True),
        ):
            set_process(torch.get_num_threads(), precision)
            assert place(Trainer(), precision)["precision"] == lightning
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
