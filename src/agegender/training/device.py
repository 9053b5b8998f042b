"""Where a run computes: which device, how many runs share the machine, what stays on the device, what is compiled."""

import ctypes
import fcntl
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import joblib
import torch

from agegender.data.batches import Faces
from agegender.errors import UserError
from agegender.machine.memory import free_memory
from agegender.spec import Trainer

RUN_MEMORY = 1.0e9  # bytes: less than a training process was ever seen to take on a CPU, without the pack's pages
RESIDENT_SHARE = 0.25  # of a device's free memory that the faces of its runs may take; the rest is for training


# glibc's malloc.h: blocks from which on memory is asked of the system one by one, and free memory that is given back.
M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1


def gpus(trainer: Trainer) -> int:
    """Return how many GPUs a run may choose from: none where another accelerator is asked for."""
    return torch.cuda.device_count() if trainer.accelerator in ("auto", "gpu", "cuda") else 0


def runs_at_once(launcher: Any) -> int:
    """Return how many jobs Hydra's launcher runs at a time: joblib's `n_jobs` (-1: one per core), without joblib 1."""
    jobs = launcher.get("n_jobs")
    if jobs == 0:
        raise UserError("hydra.launcher.n_jobs=0: choose how many runs at a time, or -1 for one per core")
    jobs = 1 if jobs is None else int(jobs)
    return max(1, joblib.cpu_count() + 1 + jobs) if jobs < 0 else jobs


def check_memory(at_once: int) -> None:
    """Refuse more runs at a time than the memory can hold even at the least they take."""
    free = free_memory()
    if at_once > 1 and at_once * RUN_MEMORY > free:
        raise UserError(
            f"hydra.launcher.n_jobs={at_once}: so many runs at a time need {at_once * RUN_MEMORY / 1e9:.0f} GB of "
            f"memory or more and {free / 1e9:.1f} GB are free: choose "
            f"hydra.launcher.n_jobs={max(1, int(free / RUN_MEMORY))}"
        )


def check_device(trainer: Trainer) -> None:
    """Refuse an accelerator and the number of a GPU that are not there, and more threads than there are cores."""
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    accelerator = trainer.accelerator
    if not {"gpu": any(here.values()), **here}.get(accelerator, True):
        raise UserError(f"trainer.accelerator={accelerator}: there is none that torch can use, choose auto or cpu")
    check_threads("trainer.threads", trainer.threads)
    number, devices = trainer.device, gpus(trainer)
    if number is not None and not 0 <= number < max(1, devices):
        raise UserError(f"trainer.device={number}: there are {devices} GPUs, counted from 0")


def check_threads(name: str, threads: int | None) -> None:
    """Refuse more threads than there are cores for this process: they would wait for each other."""
    if threads is not None and threads > (cores := joblib.cpu_count()):
        raise UserError(f"{name}={threads}: this process may use {cores} cores, choose {name}={cores} or fewer")


def resolve_trainer(trainer: Trainer, pixels: float, *, at_once: int = 1) -> Trainer:
    """Return the settings with what suits this machine in the place of None.

    `pixels` are the bytes of the faces that the run reads; `at_once` runs share the machine.
    """
    devices, device = gpus(trainer), trainer.device or 0
    threads, compiled, resident = trainer.threads, trainer.compile, trainer.resident
    if threads is None and at_once > 1:
        threads = max(1, joblib.cpu_count() // at_once)
    if compiled is None:
        compiled = devices > 0 and _compiles(device)
    if resident is None:
        sharing = -(-at_once // max(1, devices))
        resident = devices > 0 and pixels * sharing <= RESIDENT_SHARE * _free(device)
    return trainer.model_copy(update={"threads": threads, "device": device, "compile": compiled, "resident": resident})


def set_process(threads: int | None, precision: str) -> None:
    """Set what holds for everything a process computes: threads, how exact convolutions on a GPU are, freed memory."""
    if threads:
        torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = precision != "32-true"
    keep_freed_memory()


@contextmanager
def gpu_claimed(trainer: Trainer, runs: Path) -> Iterator[Trainer]:
    """Give a run, where it may choose, the first GPU with a free place until it ends, first places before second.

    Jobs end in no order, so to take GPUs in turn would leave some idle. A claim is a lock on a file beside the run
    folders in `runs`; runs of other folders are not seen.
    """
    devices = gpus(trainer)
    with ExitStack() as claims:
        if trainer.device is None and devices > 1:
            places = ((gpu, number) for number in count() for gpu in range(devices))
            chosen = next(gpu for gpu, number in places if _claim(claims, runs, gpu, number))
            trainer = trainer.model_copy(update={"device": chosen})
        yield trainer


def _claim(claims: ExitStack, runs: Path, gpu: int, number: int) -> bool:
    """Take a place on a GPU if it is free; a process that dies gives it back."""
    runs.mkdir(parents=True, exist_ok=True)
    lock = claims.enter_context((runs / f"gpu{gpu}-place{number}.lock").open("w"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _compiles(gpu: int) -> bool:
    """Whether torch.compile has what it needs: Triton with a C compiler, and a GPU of the kinds Triton knows."""
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
    return bool(find_spec("triton") and compiler and torch.cuda.get_device_capability(gpu) >= (7, 0))


def _free(device: int) -> int:
    free, _ = torch.cuda.mem_get_info(device)
    return free


def keep_freed_memory() -> None:
    """Let the C library keep what one training step frees for the next one, where it is glibc.

    It would give large blocks back to the system at once and get them anew, page by page, in every step; at a batch of
    128 that is two fifths of a step on a CPU.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        # Older versions refuse so high a threshold; setting the other alone would only make things worse there.
        if library.mallopt(M_MMAP_THRESHOLD, 2**30):
            library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def place(trainer: Trainer, precision: str) -> dict[str, Any]:
    """Return the options that tell Lightning's Trainer where and how exactly to compute."""
    return {
        "accelerator": trainer.accelerator,
        "devices": [computing_device(trainer).index] if gpus(trainer) else 1,
        "precision": "32-true" if precision == "tf32" else precision,
    }


def computing_device(trainer: Trainer) -> torch.device:
    """Return the GPU of a run, NVIDIA's or Apple's, as Lightning takes it; the CPU where there is none."""
    if gpus(trainer):
        return torch.device("cuda", trainer.device or 0)
    apple = trainer.accelerator in ("auto", "gpu", "mps") and torch.backends.mps.is_available()
    return torch.device("mps" if apple else "cpu")


def place_faces(trainer: Trainer, splits: dict[str, Faces]) -> dict[str, Faces]:
    """Return the faces with their pixels where they are read from: on the device with `trainer.resident`.

    UserError, before anything is computed, when the pixels of one of them are not those that were packed.
    """
    for faces in splits.values():
        faces.check()
    if not trainer.resident:
        return splits
    return {split: faces.resident(computing_device(trainer)) for split, faces in splits.items()}


def workers(trainer: Trainer) -> int:
    """Return the number of loader processes: they cannot reach what a GPU holds, and need not."""
    return 0 if trainer.resident and gpus(trainer) else trainer.workers
