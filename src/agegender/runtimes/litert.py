"""LiteRT, once TensorFlow Lite: one `.tflite` file that holds graph, weights and metadata."""

import json
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agegender.errors import UserError
from agegender.models.layers import LocalResponseNorm
from agegender.runtimes.batch_norm import without_norms
from agegender.runtimes.runtime import Conversion, Runtime, Session
from agegender.runtimes.silence import quiet

METADATA = "agegender"  # the name of the entry in the file's list of metadata; its buffer holds JSON
SIGNATURE = "serving_default"  # what litert_torch calls the one way to run the network


def convert(conversion: Conversion, file: Path) -> None:
    """Write the network as a .tflite; UserError names an operator that LiteRT does not have."""
    with quiet():
        model = _with_metadata(_float32(conversion), conversion.metadata)
        if conversion.precision != "float32":
            model = _quantise(model, conversion)  # keeps the metadata
    file.write_bytes(model)


def _float32(conversion: Conversion) -> bytes:
    os.environ["LITERT_TORCH_SHOW_PROGRESS"] = "n"  # read at every step; it would print dozens of lines
    import litert_torch

    try:
        # Images stay (N, 3, S, S): the one transpose of the input takes no time that could be measured.
        model = litert_torch.convert(without_norms(conversion), (conversion.example,))
    except Exception as error:
        operator = re.search(r"(?:[Ll]owering not found|not implemented|No lowering)[^\n]*?(aten[.:\w]+)", str(error))
        if operator is None:
            raise
        raise UserError(f"LiteRT has no operator for {operator[1]}: choose another runtime") from error
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.tflite")
        model.export(str(path))
        return path.read_bytes()


def _quantise(model: bytes, conversion: Conversion) -> bytes:
    """Make weights float16, or weights (per channel) and activations int8 by the calibration images."""
    from ai_edge_quantizer import qtyping, quantizer, recipe_manager

    recipe: Any = recipe_manager.RecipeManager()
    operation, algorithm = qtyping.TFLOperationName, quantizer.AlgorithmName
    if conversion.precision == "float16":
        for kind in (operation.CONV_2D, operation.DEPTHWISE_CONV_2D, operation.FULLY_CONNECTED):
            recipe.add_weight_only_config(".*", kind, num_bits=16, algorithm_key=algorithm.FLOAT_CASTING)
    else:
        recipe.add_static_config(".*", operation.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8)
        for kind in (operation.INPUT, operation.OUTPUT):
            recipe.add_quantization_config(".*", kind, algorithm_key=algorithm.NO_QUANTIZE)
    # Operators are named by their module. LRN's squares and their sums have a range that eight bits do not hold.
    lrn = f".*{LocalResponseNorm.__name__}.*"
    recipe.add_quantization_config(lrn, operation.ALL_SUPPORTED, algorithm_key=algorithm.NO_QUANTIZE)
    ranges = _ranges(model, conversion, recipe) if recipe.need_calibration() else None
    work: Any = quantizer.Quantizer(model, recipe.get_quantization_recipe())
    return bytes(work.quantize(ranges).quantized_model)


def _ranges(model: bytes, conversion: Conversion, recipe: Any) -> Any:
    """Each tensor's least and greatest value over all calibration images.

    The quantiser's own choice is a moving average that moves by a twentieth per image: the first image decides, and
    logits beyond its range are cut off.
    """
    from ai_edge_quantizer import calibrator
    from ai_edge_quantizer.utils import qsv_utils

    work: Any = calibrator.Calibrator(model, num_threads=1, qsv_update_func=qsv_utils.min_max_update)
    images = [{"args_0": np.ascontiguousarray(batch)} for batch in conversion.calibration_batches()]
    work.calibrate({SIGNATURE: images}, recipe)
    return work.get_model_qsvs()


def _with_metadata(model: bytes, metadata: Mapping[str, str]) -> bytes:
    """The file's bytes with an entry more in its list of metadata."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    tree: Any = flatbuffer_utils.convert_bytearray_to_object(model)
    entry, buffer = schema.MetadataT(), schema.BufferT()
    buffer.data = np.frombuffer(json.dumps(dict(metadata)).encode(), np.uint8)
    entry.name, entry.buffer = METADATA, len(tree.buffers)
    tree.buffers.append(buffer)
    tree.metadata = [*(tree.metadata or []), entry]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(tree))


def metadata(file: Path) -> Mapping[str, str]:
    """Read the metadata that `convert` wrote; UserError for another program's file."""
    with quiet():
        from ai_edge_litert import schema_py_generated as schema

        model: Any = schema.Model.GetRootAs(file.read_bytes())
    for entry in map(model.Metadata, range(model.MetadataLength())):
        if entry.Name() == METADATA.encode():
            values: dict[str, str] = json.loads(model.Buffers(entry.Buffer()).DataAsNumpy().tobytes())
            return values
    raise UserError(f"{file} was not exported by this suite: it holds no metadata '{METADATA}'")


def open_file(file: Path, threads: int) -> Session:
    """Open the file for so many threads, XNNPACK's included, which LiteRT uses by itself."""
    with quiet():
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_path=str(file), num_threads=threads)
        interpreter.allocate_tensors()
    image = interpreter.get_input_details()[0]["index"]
    outputs = [details["index"] for details in interpreter.get_output_details()]

    def run(images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        interpreter.set_tensor(image, images)
        interpreter.invoke()
        return [interpreter.get_tensor(output) for output in outputs]  # get_tensor copies

    return run


LITERT = Runtime(
    name="litert",
    title="LiteRT",
    suffix=".tflite",
    precisions=("float32", "float16", "int8"),
    convert=convert,
    open=open_file,
    metadata=metadata,
    modules=("litert_torch", "ai_edge_litert"),
    extra="litert",
)
