"""Where a run computes: which device, how many runs share the machine, what stays on the device, what is compiled."""

import ctypes
import os
import platform
from typing import Any

import psutil
import torch
from omegaconf import DictConfig

from agegender.data.batches import Faces
from agegender.errors import UserError

RUN_MEMORY = 1.0e9  # bytes: less than a training process was ever seen to take on a CPU, without the pack's pages
RESIDENT_SHARE = 0.25  # of a device's free memory that the faces of its runs may take; the rest is for training


# glibc's malloc.h: blocks from which on memory is asked of the system one by one, and free memory that is given back.
M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1


def gpus(config: DictConfig) -> int:
    """Return how many GPUs a run may choose from: none where another accelerator is asked for."""
    return torch.cuda.device_count() if config.trainer.accelerator in ("auto", "gpu", "cuda") else 0


def runs_at_once(launcher: Any) -> int:
    """Return how many jobs Hydra's launcher runs at a time: joblib's `n_jobs` (-1: one per core), without joblib 1."""
    jobs, cores = int(launcher.get("n_jobs", 1)), os.cpu_count() or 1
    return max(1, cores + 1 + jobs) if jobs < 0 else max(1, jobs)


def check_memory(at_once: int) -> None:
    """Refuse more runs at a time than the memory can hold even at the least they take."""
    free = psutil.virtual_memory().available
    if at_once > 1 and at_once * RUN_MEMORY > free:
        raise UserError(
            f"hydra.launcher.n_jobs={at_once}: so many runs at a time need {at_once * RUN_MEMORY / 1e9:.0f} GB of "
            f"memory or more and {free / 1e9:.1f} GB are free: choose "
            f"hydra.launcher.n_jobs={max(1, int(free / RUN_MEMORY))}"
        )


def decide(config: DictConfig, pack_bytes: int, *, job: int = 0, at_once: int = 1) -> None:
    """Put what suits this machine where `config.trainer` has null, so that the run's config.yaml says what it was.

    `pack_bytes` is the size of the pack's pixels; `job` the run's number in its sweep, of which `at_once` share the
    machine.
    """
    trainer, devices = config.trainer, gpus(config)
    if trainer.threads is None and at_once > 1:
        trainer.threads = max(1, (os.cpu_count() or 1) // at_once)
    if trainer.device is None:
        trainer.device = job % devices if devices else 0
    if not 0 <= trainer.device < max(1, devices):
        raise UserError(f"trainer.device={trainer.device}: there are {devices} GPUs, counted from 0")
    if trainer.compile is None:
        trainer.compile = devices > 0
    if trainer.resident is None:
        sharing = -(-at_once // max(1, devices))
        trainer.resident = devices > 0 and pack_bytes * sharing <= RESIDENT_SHARE * _free(trainer.device)


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


def place(config: DictConfig) -> dict[str, Any]:
    """Return the words that tell Lightning's Trainer where and how exactly to compute."""
    torch.backends.cudnn.allow_tf32 = config.precision != "32-true"
    return {
        "accelerator": config.trainer.accelerator,
        "devices": [_index(config)] if gpus(config) else 1,
        "precision": "32-true" if config.precision == "tf32" else config.precision,
    }


def settle(config: DictConfig, parts: dict[str, Faces]) -> dict[str, Faces]:
    """Return the faces with their pixels where they are read from: on the device with `trainer.resident`."""
    if not config.trainer.resident:
        return parts
    device = torch.device("cuda", _index(config)) if gpus(config) else torch.device("cpu")
    return {part: faces.resident(device) for part, faces in parts.items()}


def workers(config: DictConfig) -> int:
    """Return the number of loader processes: they cannot reach what a GPU holds, and need not."""
    return 0 if config.trainer.resident and gpus(config) else int(config.trainer.workers)


def _index(config: DictConfig) -> int:
    return int(config.trainer.device or 0)
