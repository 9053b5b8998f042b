"""torch itself, on the CPU: the network as it is trained, in torch's default layout or with channels last."""

from collections.abc import Mapping
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agegender.runtimes.runtime import Conversion, Runtime, Session

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def convert(conversion: Conversion, file: Path, *, layout: torch.memory_format) -> None:
    """Keep the whole module: nothing is converted but its layout and its numbers."""
    model = deepcopy(conversion.model).to(dtype=DTYPES[conversion.precision], memory_format=layout)  # type: ignore[call-overload]
    torch.save({"model": model, "metadata": dict(conversion.metadata)}, file)


def open_file(file: Path, threads: int, *, layout: torch.memory_format) -> Session:
    """Open a file for a number of threads, in the layout it was kept in."""
    model = load(file)["model"].eval()
    dtype = next(model.parameters()).dtype

    @torch.inference_mode()
    def run(images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        if torch.get_num_threads() != threads:  # torch's number of threads is the process's
            torch.set_num_threads(threads)
        logits = model(torch.from_numpy(images).to(dtype=dtype, memory_format=layout))
        return [task.float().numpy() for task in logits]

    return run


def load(file: Path) -> dict[str, Any]:
    """Read a file that `convert` wrote. It is a pickle: never one from elsewhere."""
    content: dict[str, Any] = torch.load(file, weights_only=False)
    return content


def metadata(file: Path) -> Mapping[str, str]:
    """Read the metadata that `convert` wrote."""
    found: dict[str, str] = load(file)["metadata"]
    return found


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
