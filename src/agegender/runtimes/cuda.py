"""torch on an NVIDIA GPU: eager, compiled, and replayed as one CUDA graph; a call brings faces there and logits back.

Written for a GPU and not yet run on one: what a CPU can run of it is tested there.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agegender.runtimes import torch as eager
from agegender.runtimes.runtime import Conversion, Runtime, Session

Forward = Callable[[Tensor], tuple[Tensor, ...]]
How = Callable[[nn.Module, Tensor], Forward]
"""A module on a GPU and the first faces -> what is called from then on."""
DTYPES = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16}


def convert(conversion: Conversion, file: Path) -> None:
    """Keep the module, channels last; which numbers convolutions compute in is decided when it is opened."""
    precision = "bfloat16" if conversion.precision == "bfloat16" else "float32"
    metadata = {**conversion.metadata, "cuda_precision": conversion.precision}
    eager.convert(conversion._replace(precision=precision, metadata=metadata), file, layout=torch.channels_last)


def open_file(file: Path, threads: int, *, how: How, device: str = "cuda") -> Session:
    """Open a file on a GPU; the number of threads means nothing there."""
    content = eager.load(file)
    model, precision = content["model"].eval().to(device), content["metadata"]["cuda_precision"]
    forward: Forward | None = None

    @torch.inference_mode()
    def run(images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        nonlocal forward
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        x = torch.from_numpy(images).to(device, DTYPES[precision], memory_format=torch.channels_last)
        forward = forward or how(model, x)
        return [logits.float().cpu().numpy() for logits in forward(x)]  # .cpu() waits for the GPU

    return run


def as_it_is(model: nn.Module, example: Tensor) -> Forward:
    """Run the module."""
    return model


def compiled(model: nn.Module, example: Tensor) -> Forward:
    """Run what torch.compile makes of it."""
    forward: Forward = torch.compile(model, dynamic=False)
    return forward


def replayed(model: nn.Module, example: Tensor) -> Forward:
    """Record the module's kernels once and replay them (torch.cuda.CUDAGraph): no launches from Python."""
    faces = example.clone()
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # libraries set themselves up here, which must not be recorded
        for _ in range(3):
            model(faces)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        logits: tuple[Tensor, ...] = model(faces)

    def forward(x: Tensor) -> tuple[Tensor, ...]:
        faces.copy_(x)
        graph.replay()
        return logits

    return forward


CUDA, CUDA_COMPILED, CUDA_GRAPH = (
    Runtime(
        name=name,
        title=title,
        suffix=".pt",
        precisions=tuple(DTYPES),
        convert=convert,
        open=partial(open_file, how=how),
        metadata=lambda file: {k: v for k, v in eager.metadata(file).items() if k != "cuda_precision"},
        device="cuda",
    )
    for name, title, how in (
        ("cuda", "torch on CUDA", as_it_is),
        ("cuda_compiled", "torch on CUDA, compiled", compiled),
        ("cuda_graph", "torch on CUDA, CUDA graph", replayed),
    )
)
