"""torch, ONNX Runtime and OpenVINO: what goes into a file comes out of it again."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from agegender.errors import UserError
from agegender.runtimes import cuda
from agegender.runtimes.catalogue import RUNTIMES, get_runtime
from agegender.runtimes.onnxruntime import INPUT
from agegender.runtimes.runtime import Conversion, files_of
from agegender.tasks import TASKS
from converted import METADATA, faces, outspoken

HERE = ("torch", "torch_channels_last", "onnxruntime", "openvino")


model = pytest.fixture(scope="module")(outspoken)


def needs(name: str) -> None:
    for module in RUNTIMES[name].modules:
        pytest.importorskip(module, reason=f"the extra {RUNTIMES[name].extra} is not installed")


def convert(name: str, model: nn.Module, precision: str, folder: Path, batch: int = 1) -> Path:
    needs(name)
    seen = list(torch.split(faces(16, 1), 1)) if precision == "int8" else []
    file = folder / f"{name}-{precision}{RUNTIMES[name].suffix}"
    RUNTIMES[name].convert(Conversion(model, faces(batch, 2), precision, seen, METADATA), file)
    return file


def answers(name: str, file: Path, images: Tensor, threads: int = 1) -> list[np.ndarray]:
    found = RUNTIMES[name].open(file, threads)(images.numpy())
    assert all(logits.dtype == np.float32 for logits in found)
    return found


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", HERE)
def test_float32_says_what_torch_says(name: str, model: nn.Module, tmp_path: Path) -> None:
    file = convert(name, model, "float32", tmp_path, batch=3)
    images = faces(3, 3)
    with torch.no_grad():
        expected = [task.numpy() for task in model(images)]
    found = answers(name, file, images)
    assert max(logits.std() for logits in expected) > 0.1, "or any file would do"
    for ours, theirs, of_two in zip(expected, found, answers(name, file, images, threads=2), strict=True):
        np.testing.assert_allclose(theirs, ours, atol=1e-4)
        np.testing.assert_allclose(of_two, ours, atol=1e-4)
    assert RUNTIMES[name].metadata(file) == METADATA


def threads_of(name: str, file: Path, threads: int) -> int:
    """How many more threads this process has while it answers."""
    before = len(list(Path("/proc/self/task").iterdir()))
    session = get_runtime(name).open(file, threads)
    session(faces(1, 3).numpy())
    return len(list(Path("/proc/self/task").iterdir())) - before


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="only Linux tells the threads of a process")
@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_session_has_the_threads_it_was_given(name: str, model: nn.Module, tmp_path: Path) -> None:
    file = convert(name, model, "float32", tmp_path)
    found = []
    for threads in (1, 2):
        with ProcessPoolExecutor(1, get_context("spawn")) as alone:
            found.append(alone.submit(threads_of, name, file, threads).result())
    assert found[1] - found[0] == 1


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_int8_is_small_and_near(name: str, model: nn.Module, tmp_path: Path) -> None:
    """Near: by the deviation of the logits' errors over their own; random weights keep nothing small."""
    images = faces(8, 4)
    with torch.no_grad():
        expected = torch.cat(model(images), 1).numpy()
    file = convert(name, model, "int8", tmp_path)
    found = np.concatenate([np.concatenate(answers(name, file, image), 1) for image in torch.split(images, 1)])
    error = np.sqrt(np.mean((found - expected) ** 2)) / expected.std()
    assert 1e-4 < error < 0.3
    whole = sum(t.numel() for t in model.state_dict().values()) * 4
    assert sum(part.stat().st_size for part in files_of(file)) < 0.3 * whole
    assert RUNTIMES[name].metadata(file) == METADATA


@pytest.mark.parametrize(("name", "precision"), [("torch", "bfloat16"), ("openvino", "float16")])
def test_half_precision_halves_the_file(name: str, precision: str, model: nn.Module, tmp_path: Path) -> None:
    sizes = [
        sum(part.stat().st_size for part in files_of(convert(name, model, kind, tmp_path)))
        for kind in (precision, "float32")
    ]
    assert 0.49 < sizes[0] / sizes[1] < 0.52


def test_int8_leaves_local_response_normalisation_alone(model: nn.Module, tmp_path: Path) -> None:
    """The squares are products of one map with itself; neither they nor their sums come from a quantised value."""
    file = convert("onnxruntime", model, "int8", tmp_path)
    import onnx

    graph = onnx.load(file).graph
    producers = {output: node for node in graph.node for output in node.output}
    squares = [node for node in graph.node if node.op_type == "Mul" and node.input[0] == node.input[1]]
    (sums,) = (node for node in graph.node if node.op_type == "Conv" and node.input[0] == squares[0].output[0])
    assert len(squares) == 1
    assert sums.input[1] not in producers, "its band is a float32 constant"
    others = [node for node in graph.node if node.op_type == "Conv" and node is not sums]
    assert len(others) == 5
    assert all(producers[node.input[1]].op_type == "DequantizeLinear" for node in others)


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("bfloat16", 0.5)])
def test_what_runs_on_a_gpu_says_what_torch_says(
    precision: str, tolerance: float, model: nn.Module, tmp_path: Path
) -> None:
    """As far as a CPU can run it; compiled and replayed steps need the GPU."""
    file = tmp_path / "model.pt"
    RUNTIMES["cuda"].convert(Conversion(model, faces(1, 2), precision, [], METADATA), file)
    assert RUNTIMES["cuda"].metadata(file) == METADATA
    with torch.no_grad():
        expected = model(faces(2, 3))
    found = cuda.open_file(file, 1, how=cuda.as_it_is, device="cpu")(faces(2, 3).numpy())
    for ours, theirs in zip(expected, found, strict=True):
        np.testing.assert_allclose(theirs, ours.numpy(), atol=tolerance)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no NVIDIA GPU")
@pytest.mark.parametrize("name", ["cuda", "cuda_compiled", "cuda_graph"])
def test_a_gpu_says_what_torch_says(name: str, model: nn.Module, tmp_path: Path) -> None:
    test_float32_says_what_torch_says(name, model, tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is an NVIDIA GPU")
def test_without_a_gpu_there_is_a_sentence() -> None:
    with pytest.raises(UserError, match=r"^runtime=cuda_graph needs an NVIDIA GPU, and torch sees none"):
        get_runtime("cuda_graph").check("float32")


@pytest.mark.parametrize("names", [("relu", "linear"), ("linear_1", "linear")])
def test_onnx_outputs_have_the_names_they_are_given_and_any_batch_size(
    names: tuple[str, str], model: nn.Module, tmp_path: Path
) -> None:
    """Also where values between operators are called the same."""
    needs("onnxruntime")
    import onnx
    import onnxruntime

    file, images = tmp_path / "model.onnx", faces(3, 3)
    RUNTIMES["onnxruntime"].convert(Conversion(model, images[:1], "float32", [], METADATA, names, True), file)
    onnx.checker.check_model(str(file))
    found = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"]).get_outputs()
    assert [output.name for output in found] == list(names)
    assert [output.shape for output in found] == [["batch", 8], ["batch", 2]]
    with torch.no_grad():
        expected = model(images)
    for count in (1, 3):
        for ours, theirs in zip(expected, answers("onnxruntime", file, images[:count]), strict=True):
            np.testing.assert_allclose(theirs, ours[:count].numpy(), atol=1e-4)


def test_no_task_is_called_as_the_input() -> None:
    assert INPUT not in TASKS


class Sorting(nn.Module):
    """A layer no mobile runtime has."""

    def forward(self, images: Tensor) -> tuple[Tensor]:
        return (torch.special.bessel_j0(images.flatten(1)[:, :4]),)


def test_an_operator_without_a_counterpart_is_named(tmp_path: Path) -> None:
    needs("onnxruntime")
    with pytest.raises(UserError, match=r"cannot be written as ONNX: .*bessel_j0"):
        convert("onnxruntime", Sorting(), "float32", tmp_path)


def test_what_is_not_there_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"^runtime=tensorrt: there is no such runtime, choose from torch, "):
        get_runtime("tensorrt")
    with pytest.raises(UserError, match=r"^precision=int4: ONNX Runtime has float32, int8$"):
        needs("onnxruntime")
        get_runtime("onnxruntime").check("int4")
    monkeypatch.setattr("agegender.runtimes.runtime.find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"^runtime=litert needs litert_torch: pip install 'agegender-bench\[litert\]'$"
    ):
        get_runtime("litert").check("float32")
    get_runtime("torch").check("float32")


def test_nothing_reports_our_use_of_openvino(model: nn.Module, tmp_path: Path) -> None:
    """Its tools would tell their makers of every conversion, over the network."""
    import sys

    convert("openvino", model, "float32", tmp_path)
    assert sys.modules["openvino_telemetry"] is None
