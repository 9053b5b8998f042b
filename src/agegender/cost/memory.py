"""How much memory one inference takes: opened and run once in a process of its own."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from agegender.machine.processes import process_pool
from agegender.machine.signals import signals_held
from agegender.runtimes.catalogue import get_runtime
from agegender.runtimes.runtime import Conversion, Runtime

RESET = Path("/proc/self/clear_refs")  # Linux; 5 written to it resets the peak (proc(5))


def peak_of_one_inference(runtime: Runtime, file: Path, folder: Path, images: Tensor) -> int | None:
    """Return the bytes by which a process grows at most while it opens the file and runs it once with one thread.

    The process has opened and run a tiny network before, kept in `folder`, so that the runtime's own code is not
    counted. None for a GPU, and where the system does not tell a process its peak.
    """
    if runtime.device != "cpu" or not RESET.exists():
        return None
    tiny = folder / f"tiny-{runtime.name}-{len(images)}{runtime.suffix}"
    if not tiny.exists():
        layers = nn.Sequential(nn.Conv2d(3, 4, 7, stride=8), nn.ReLU(), nn.MaxPool2d(7), nn.Flatten())
        runtime.convert(Conversion(_Tiny(layers).eval(), images, "float32", (), {}), tiny)
    with process_pool(1, "measures memory") as alone:
        with signals_held():
            peak = alone.submit(_peak, runtime.name, tiny, file, images.numpy())
        return peak.result()


class _Tiny(nn.Module):
    def __init__(self, layers: nn.Module):
        super().__init__()
        self.layers = layers

    def forward(self, images: Tensor) -> tuple[Tensor]:
        return (self.layers(images),)


def _peak(runtime: str, tiny: Path, file: Path, images: NDArray[np.float32]) -> int | None:
    kind = get_runtime(runtime)
    kind.open(tiny, 1)(images)
    try:
        before = _status("VmRSS")
        RESET.write_text("5")
        kind.open(file, 1)(images)
        return _status("VmHWM") - before
    except (OSError, StopIteration):  # some containers keep these from their processes
        return None


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))
