"""How much memory one inference takes: opened and run once in a process of its own."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RESET = Path("/proc/self/clear_refs")  # Linux; 5 written to it resets the peak (proc(5))


def peak_of_one_inference(runtime: str, file: Path, images: NDArray[np.float32]) -> int | None:
    """Return the bytes by which a process grows at most while it opens the file and runs it once with one thread.

    The runtime's own code is loaded before; None where the system does not tell a process its peak.
    """
    if not RESET.exists():
        return None
    with ProcessPoolExecutor(1, get_context("spawn")) as alone:
        return alone.submit(_peak, runtime, file, images).result()


def _peak(runtime: str, file: Path, images: NDArray[np.float32]) -> int:
    from agegender.runtimes import get_runtime

    kind = get_runtime(runtime)
    kind.open(file, 1)(images)  # once before, so that imports and thread pools are not counted
    before = _status("VmRSS")
    RESET.write_text("5")
    kind.open(file, 1)(images)
    return max(0, _status("VmHWM") - before)


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))
