"""OpenVINO on the CPU: one `.xml` with the graph, its weights beside it in a `.bin`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agegender.errors import UserError
from agegender.runtimes.onnxruntime import INPUT
from agegender.runtimes.runtime import Conversion, Runtime, Session
from agegender.runtimes.silence import quiet

KEY = "agegender"  # under which the model keeps the metadata
# The hint decides what is computed in; without it OpenVINO takes bfloat16 on a CPU that has it, and says float32.
HINTS = {"float32": "f32", "float16": "f32", "bfloat16": "bf16", "int8": "f32"}


def convert(conversion: Conversion, file: Path) -> None:
    """Write the network for the example's batch size.

    float16 keeps weights in half precision and computes in float32; int8 is quantised by NNCF, OpenVINO's own tool.
    """
    with quiet():
        openvino = _openvino()
        model = openvino.convert_model(
            conversion.model, example_input=conversion.example, input=list(conversion.example.shape)
        )
        model.input(0).set_names({INPUT})
        if conversion.precision == "int8":
            model = _quantised(model, conversion)
        for key, value in {"precision_hint": HINTS[conversion.precision], **conversion.metadata}.items():
            model.set_rt_info(value, [KEY, key])
        openvino.save_model(model, file, compress_to_fp16=conversion.precision == "float16")


def _openvino() -> Any:
    """Import OpenVINO without the package that reports its use to its makers: it and NNCF then do without."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return openvino


def _quantised(model: Any, conversion: Conversion) -> Any:
    """Quantise weights and activations but those of local response normalisation, known by its squares."""
    import nncf

    images = [batch.numpy() for batch in conversion.calibration_batches()]
    normalisations = [node.get_friendly_name() for node in model.get_ordered_ops() if _in_normalisation(node)]
    return nncf.quantize(
        model,
        nncf.Dataset(images),
        subset_size=len(images),
        ignored_scope=nncf.IgnoredScope(names=normalisations) if normalisations else None,
    )


def _in_normalisation(node: Any) -> bool:
    """Whether an operation is the square, or the sum of squares, of a local response normalisation."""
    if node.get_type_name() == "Convolution":
        return _is_square(node.input_value(0).get_node())
    return _is_square(node)


def _is_square(node: Any) -> bool:
    sources = [value.get_node().get_friendly_name() for value in node.input_values()]
    return bool(node.get_type_name() == "Multiply" and sources[0] == sources[1])


def open_file(file: Path, threads: int) -> Session:
    """Open a model for a number of threads, in one stream, for latency."""
    with quiet():
        core = _openvino().Core()
        model = core.read_model(file)
        hint = metadata_of(model)["precision_hint"]
        settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": hint}
        compiled = core.compile_model(model, "CPU", settings)
        used = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        request = compiled.create_infer_request()
    if used != hint:
        raise UserError(
            f"runtime=openvino computes in {used} on this processor, not in {hint}: choose another precision"
        )
    count = len(model.outputs)

    def run(images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        answers = request.infer([images], share_inputs=True)
        return [answers[number].copy() for number in range(count)]

    return run


def metadata(file: Path) -> Mapping[str, str]:
    """Read the metadata that `convert` was given."""
    found = dict(metadata_of(_openvino().Core().read_model(file)))
    del found["precision_hint"]
    return found


def metadata_of(model: Any) -> Mapping[str, str]:
    """Return what a model keeps for the suite, the hint of its precision included."""
    return {key: model.get_rt_info([KEY, key]).astype(str) for key in model.get_rt_info()[KEY]}


OPENVINO = Runtime(
    name="openvino",
    title="OpenVINO",
    suffix=".xml",
    precisions=tuple(HINTS),
    convert=convert,
    open=open_file,
    metadata=metadata,
    modules=("openvino", "nncf"),
    extra="openvino",
)
