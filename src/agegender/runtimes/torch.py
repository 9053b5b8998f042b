"""torch itself, on the CPU: the network as it is trained, in torch's default layout or with channels last."""

from collections.abc import Mapping
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agegender.runtimes.runtime import Conversion, Runtime

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def convert(conversion: Conversion, file: Path, *, layout: torch.memory_format) -> None:
    """Keep the whole module: nothing is converted but its layout and its numbers."""
    model = deepcopy(conversion.model).to(dtype=DTYPES[conversion.precision], memory_format=layout)  # type: ignore[call-overload]
    torch.save({"model": model, "metadata": dict(conversion.metadata)}, file)


def open_file(file: Path, threads: int, *, layout: torch.memory_format) -> "EagerSession":
    """Open a file for a number of threads, in the layout it was kept in."""
    return EagerSession(load(file)["model"], threads, layout)


def load(file: Path) -> dict[str, Any]:
    """Read a file that `convert` wrote. It is a pickle: never one from elsewhere."""
    content: dict[str, Any] = torch.load(file, weights_only=False)
    return content


def metadata(file: Path) -> Mapping[str, str]:
    """Read the metadata that `convert` wrote."""
    found: dict[str, str] = load(file)["metadata"]
    return found


class EagerSession:
    """A module called as it is. torch's number of threads is the process's, so it is set before every call."""

    def __init__(self, model: nn.Module, threads: int, layout: torch.memory_format):
        self.model, self.threads, self.layout = model.eval(), threads, layout
        self.dtype = next(model.parameters()).dtype

    @torch.inference_mode()
    def __call__(self, images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        x = torch.from_numpy(images).to(dtype=self.dtype, memory_format=self.layout)
        logits: tuple[Tensor, ...] = self.model(x)
        return [task.float().numpy() for task in logits]


CONTIGUOUS, CHANNELS_LAST = (
    Runtime(
        name=name,
        title=title,
        suffix=".pt",
        precisions=tuple(DTYPES),
        convert=partial(convert, layout=layout),
        open=partial(open_file, layout=layout),
        metadata=metadata,
    )
    for name, title, layout in (
        ("torch", "torch eager", torch.contiguous_format),
        ("torch_channels_last", "torch eager, channels last", torch.channels_last),
    )
)
