"""ExecuTorch with XNNPACK, torch's runtime for phones: one `.pte` file that holds program, weights and metadata."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn

from agegender.errors import UserError
from agegender.models.layers import LocalResponseNorm
from agegender.runtimes.batch_norm import without_norms
from agegender.runtimes.runtime import Conversion, Runtime
from agegender.runtimes.silence import quiet

METADATA = "metadata"  # the program's second method: it returns the file's metadata as JSON


def convert(conversion: Conversion, file: Path) -> None:
    """Write the network as a .pte; UserError names an operator that ExecuTorch has no kernel for."""
    with quiet():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

        example = (conversion.example,)
        network: Any = without_norms(conversion)
        if conversion.precision == "int8":
            network = _quantise(network, conversion)
        edge = to_edge_transform_and_lower(
            torch.export.export(network, example),
            partitioner=[XnnpackPartitioner()],
            constant_methods={METADATA: json.dumps(dict(conversion.metadata))},
            # ExecuTorch's own check stops at operators that are rare; what matters is whether there is a kernel.
            compile_config=EdgeCompileConfig(_check_ir_validity=False),
        )
        _refuse_without_kernel(edge.exported_program().graph)
        program = edge.to_executorch().buffer
    file.write_bytes(program)


def _quantise(network: fx.GraphModule, conversion: Conversion) -> nn.Module:
    """Make weights (per channel, symmetric) and activations int8 by the calibration images; LRN stays in float32."""
    from executorch.backends.xnnpack.quantizer import xnnpack_quantizer
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    quantizer: Any = xnnpack_quantizer.XNNPACKQuantizer()
    quantizer.set_global(xnnpack_quantizer.get_symmetric_quantization_config(is_per_channel=True))
    quantizer.set_module_type(LocalResponseNorm, None)  # squares, whose range eight bits do not hold
    prepared = prepare_pt2e(network, quantizer)
    with torch.no_grad():
        for images in conversion.calibration_batches():
            prepared(images)
    quantised: nn.Module = convert_pt2e(prepared)
    return quantised


def _refuse_without_kernel(graph: fx.Graph) -> None:
    """Refuse an operator outside XNNPACK that ExecuTorch has no kernel for: the file would fail only when opened."""
    from executorch.exir.dialects.edge._ops import EdgeOpOverload

    kernels = {name.split(".")[0] for name in _bindings()._get_operator_names()}
    for node in graph.nodes:
        if not isinstance(node.target, EdgeOpOverload) or node.target._schema.name in kernels:
            continue
        layers = [path for path, _ in node.meta.get("nn_module_stack", {}).values()]
        where = f" (layer {layers[-1]})" if layers and layers[-1] else ""
        raise UserError(
            f"ExecuTorch has no kernel for the operator {node.target._schema.name}{where}: choose another runtime"
        )


def _bindings() -> Any:
    """ExecuTorch's bindings for Python, whose import prints."""
    with quiet():
        from executorch.extension.pybindings import portable_lib
    return portable_lib


class _Pool:
    """XNNPACK's threads, one pool in the process; `resets` counts the pools, since a new one ends those before it."""

    resets = 0

    @classmethod
    def resize(cls, threads: int) -> None:
        if _bindings()._threadpool_get_thread_count() != threads:
            _bindings()._unsafe_reset_threadpool(threads)
            cls.resets += 1


class _Session:
    """A file opened for a number of threads.

    A program keeps the pool that it was loaded with, so it is loaded again where another session has changed the pool
    in between (an old program would wait for ever for threads that are gone): sessions of one number of threads take
    turns freely, those of several pay for each turn with a load. Sessions are not for several threads of Python.
    """

    def __init__(self, file: Path, threads: int):
        self.file, self.threads = file, threads
        self.load()

    def load(self) -> None:
        self.program: Any = None
        with quiet():
            _Pool.resize(self.threads)
            self.resets = _Pool.resets
            self.program = _bindings()._load_for_executorch(str(self.file))

    def __call__(self, images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        if self.resets != _Pool.resets:
            self.load()
        # The outputs are copies of the program's memory: `clone_outputs` is the default.
        return [logits.numpy() for logits in self.program.forward((torch.from_numpy(images),))]


def metadata(file: Path) -> Mapping[str, str]:
    """Read the metadata that `convert` wrote."""
    with quiet():
        (text,) = _bindings()._load_program(str(file)).load_method(METADATA)(())
    values: dict[str, str] = json.loads(text)
    return values


EXECUTORCH = Runtime(
    name="executorch",
    title="ExecuTorch, XNNPACK",
    suffix=".pte",
    precisions=("float32", "int8"),
    convert=convert,
    open=_Session,
    metadata=metadata,
    modules=("executorch",),
    extra="executorch",
)
