"""ONNX Runtime on the CPU, and the ONNX files that it and others read."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from agegender.errors import UserError
from agegender.runtimes.runtime import Conversion, Runtime, Session
from agegender.runtimes.silence import quiet

if TYPE_CHECKING:
    from onnx import GraphProto

INPUT = "images"
OPSET = 20  # of the year 2023: what today's readers of ONNX, TensorRT and Core ML's converters among them, take


def convert(conversion: Conversion, file: Path) -> None:
    """Write the network as ONNX, int8 as QDQ, quantised by ONNX Runtime's own tool."""
    import onnx

    example, free = conversion.example, conversion.free_batch
    if free and len(example) == 1:
        example = example.repeat(2, 1, 1, 1)  # torch takes a size of one for one that never changes
    with quiet():
        try:
            program = torch.onnx.export(
                conversion.model,
                (example,),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("batch")},) if free else None,
                input_names=[INPUT],
                opset_version=OPSET,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise UserError(f"this network cannot be written as ONNX: {_cause(error)}") from error
        assert program is not None
        model = program.model_proto
    name_outputs(model.graph, conversion.outputs)
    if conversion.precision == "int8":
        model = _quantised(model, conversion)
    onnx.helper.set_model_props(model, dict(conversion.metadata))
    file.write_bytes(model.SerializeToString())


def name_outputs(graph: GraphProto, names: Sequence[str]) -> None:
    """Give the outputs these names, none of which is `INPUT`; values inside that have such a name already get another.

    The exporter itself would give two values one name.
    """
    own = [output.name for output in graph.output]
    inside = {value for node in graph.node for value in (*node.input, *node.output)} - set(own)
    new = {value: f"{value}_inside" for value in inside & set(names)} | dict(zip(own, names, strict=False))
    for each in (*graph.output, *graph.value_info, *graph.initializer):
        each.name = new.get(each.name, each.name)
    for node in graph.node:
        for values in (node.input, node.output):
            values[:] = [new.get(value, value) for value in values]


def _cause(error: BaseException) -> str:
    """The first line of what began it: the exporter wraps the operator's name in pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())[:300]


def _quantised(model: Any, conversion: Conversion) -> Any:
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Faces(CalibrationDataReader):  # type: ignore[misc]
        batches = iter(conversion.calibration_batches())

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            batch = next(self.batches, None)
            return None if batch is None else {INPUT: np.ascontiguousarray(batch)}

    with tempfile.TemporaryDirectory() as name, quiet():
        whole, ready, small = (Path(name) / file for file in ("whole.onnx", "ready.onnx", "small.onnx"))
        onnx.save(model, whole)
        quant_pre_process(whole, ready, skip_symbolic_shape=True)  # folds batch norms, so that names are the final ones
        quantize_static(
            ready,
            small,
            Faces(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=["Conv", "Gemm", "MaxPool", "Relu", "Reshape", "Flatten", "AveragePool"],
            nodes_to_exclude=float_nodes(onnx.load(ready).graph),
        )
        return onnx.load(small)


def float_nodes(graph: GraphProto) -> list[str]:
    """Name the squares and the sums of squares of local response normalisations, whose range eight bits do not hold.

    Nothing else in these networks multiplies a map by itself; what follows the sums (roots, sums of two maps) is not
    quantised because its type is not among the quantised ones.
    """
    squares = {n.output[0]: n for n in graph.node if n.op_type == "Mul" and n.input[0] == n.input[1]}
    sums = {n.output[0]: n for n in graph.node if n.op_type == "Conv" and n.input[0] in squares}
    return [node.name for node in (*squares.values(), *sums.values())]


def open_file(file: Path, threads: int) -> Session:
    """Open an ONNX file for a number of threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def run(images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        outputs: list[NDArray[np.float32]] = session.run(None, {INPUT: images})
        return outputs

    return run


def metadata(file: Path) -> Mapping[str, str]:
    """Read the metadata that `convert` wrote."""
    import onnx

    return {entry.key: entry.value for entry in onnx.load(file, load_external_data=False).metadata_props}


ONNXRUNTIME = Runtime(
    name="onnxruntime",
    title="ONNX Runtime",
    suffix=".onnx",
    precisions=("float32", "int8"),
    convert=convert,
    open=open_file,
    metadata=metadata,
    modules=("onnx", "onnxscript", "onnxruntime"),
    extra="onnxruntime",
    free_batch=True,
)
