"""The runtimes the suite knows, each in a file of its own that imports its packages only when it is used."""

from agegender.registry import find
from agegender.runtimes.cuda import CUDA, CUDA_COMPILED, CUDA_GRAPH
from agegender.runtimes.executorch import EXECUTORCH
from agegender.runtimes.litert import LITERT
from agegender.runtimes.onnxruntime import ONNXRUNTIME
from agegender.runtimes.openvino import OPENVINO
from agegender.runtimes.runtime import Runtime
from agegender.runtimes.torch import CHANNELS_LAST, CONTIGUOUS

RUNTIMES: dict[str, Runtime] = {
    runtime.name: runtime
    for runtime in (
        *(CONTIGUOUS, CHANNELS_LAST, ONNXRUNTIME, OPENVINO, EXECUTORCH, LITERT),
        *(CUDA, CUDA_COMPILED, CUDA_GRAPH),
    )
}


def get_runtime(name: str) -> Runtime:
    """Return the runtime of this name, or the one at `package.module:object`; UserError when there is none."""
    return find(name, RUNTIMES, "runtime", "runtime", lambda found: isinstance(found, Runtime))
