"""The runtimes of the suite, each in a file of its own that imports its packages only when it is used."""

from dataclasses import replace

from agegender.lookup import find
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
    # By the name that it is found by: what is measured, perhaps in another process, keeps no more of it.
    return replace(find(name, RUNTIMES, "runtime", "runtime", lambda found: isinstance(found, Runtime)), name=name)


def title_of(name: str) -> str:
    """Return a runtime's title; its name where it is not of the suite, whose code a report need not have."""
    return RUNTIMES[name].title if name in RUNTIMES else name
