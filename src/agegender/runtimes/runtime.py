"""What a runtime is: how it takes a network into a file of its own, and how it runs that file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agegender.errors import UserError

Session = Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]
"""images (N, 3, S, S) of a batch size that was converted for -> each task's logits (N, K), in the network's order."""


class Conversion(NamedTuple):
    """A network on its way into a runtime's file.

    `model` maps images (N, 3, S, S), float32, to a tuple of logits (N, K), in evaluation mode; `example` is such
    images, of the batch size that the file will be for. `precision` is one of the runtime's. `calibration` are images
    (1, 3, S, S) of real training faces that an int8 conversion sees, empty for the others. `metadata` goes into the
    file, and `Runtime.metadata` gives it back. `outputs` are the names of the logits, where the file can hold names;
    with `free_batch` the file is for any number of images at a time, where the runtime has that.
    """

    model: nn.Module
    example: Tensor
    precision: str
    calibration: Sequence[Tensor]
    metadata: Mapping[str, str]
    outputs: Sequence[str] = ()
    free_batch: bool = False

    def calibration_batches(self) -> list[Tensor]:
        """Each calibration image, repeated to the example's batch size."""
        return [image.expand(len(self.example), -1, -1, -1) for image in self.calibration]


@dataclass(frozen=True)
class Runtime:
    """One way to run a network: `convert` writes the file, `open` reads it for a number of threads.

    `modules` are what must be importable, `extra` the name under which pip installs them with the suite; without
    modules the runtime is always there. `suffix` ends the file's name.
    UserError from `convert` where an operator cannot be converted, naming it.
    """

    name: str
    title: str
    suffix: str
    precisions: tuple[str, ...]
    convert: Callable[[Conversion, Path], None]
    open: Callable[[Path, int], Session]
    metadata: Callable[[Path], Mapping[str, str]]
    modules: tuple[str, ...] = ()
    extra: str = ""
    device: str = "cpu"
    free_batch: bool = False  # whether a file may leave open how many images it is given

    def check(self, precision: str) -> None:
        """Refuse a runtime that is not installed and a precision it does not have."""
        for module in self.modules:
            if find_spec(module) is None:
                raise UserError(f"runtime={self.name} needs {module}: pip install 'agegender-bench[{self.extra}]'")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise UserError(f"runtime={self.name} needs an NVIDIA GPU, and torch sees none: choose another runtime")
        if precision not in self.precisions:
            raise UserError(f"precision={precision}: {self.title} has {', '.join(self.precisions)}")


class Logits(nn.Module):
    """A network as converters take it: its logits as a tuple, in the order of its heads."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network(images).values())


def files_of(file: Path) -> list[Path]:
    """Return a converted network's files: the one that is opened, and what stands beside it under its name."""
    return sorted(file.parent.glob(f"{file.stem}.*"))
