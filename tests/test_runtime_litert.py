"""LiteRT: what goes into a file comes out of it again."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from agegender.errors import UserError
from agegender.runtimes.litert import LITERT
from converted import METADATA, answers, convert, faces, outspoken

for needed in LITERT.modules:
    pytest.importorskip(needed, reason="LiteRT is not installed: pip install 'agegender-bench[litert]'")

network = pytest.fixture(scope="module")(outspoken)


@pytest.fixture(scope="module")
def float32(network, tmp_path_factory) -> Path:
    return convert(LITERT, network, "float32", 1, tmp_path_factory.mktemp("float32") / "model.tflite")


@pytest.fixture(scope="module")
def int8(network, tmp_path_factory) -> Path:
    return convert(LITERT, network, "int8", 1, tmp_path_factory.mktemp("int8") / "model.tflite")


def test_float32_answers_as_torch_does(network, float32):
    for expected, actual in answers(LITERT, network, float32):
        assert len(set(expected.argmax(1))) > 1  # or equal answers would say nothing
        np.testing.assert_allclose(actual, expected, atol=1e-3)
        assert (actual.argmax(1) == expected.argmax(1)).all()


def test_int8_stays_close_and_is_small(network, float32, int8):
    """Random weights amplify rounding more than trained ones: 0.16 to 0.23 of the logits' deviation were measured.

    An answer that does not depend on the image has 1; activations cut off at half their range have more than 0.5.
    """
    for expected, actual in answers(LITERT, network, int8):
        assert np.sqrt(((actual - expected) ** 2).mean()) < 0.35 * expected.std()
    assert int8.stat().st_size < 0.3 * float32.stat().st_size


def test_metadata_comes_back(float32, int8):
    assert LITERT.metadata(float32) == METADATA
    assert LITERT.metadata(int8) == METADATA


def test_a_batch_of_four(network, tmp_path):
    images = faces(4, 6)
    session = LITERT.open(convert(LITERT, network, "float32", 4, tmp_path / "model.tflite"), 1)
    with torch.no_grad():
        expected = network(images)
    for one, other in zip(expected, session(images.numpy()), strict=True):
        np.testing.assert_allclose(other, one.numpy(), atol=1e-3)


def test_outputs_outlive_the_next_call(float32):
    session = LITERT.open(float32, 1)
    first = session(faces(1, 7).numpy())
    kept = [logits.copy() for logits in first]
    session(faces(1, 8).numpy())
    assert all((one == other).all() for one, other in zip(first, kept, strict=True))


def threads_of_process() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted in /proc, which Linux has")
def test_threads_are_as_many_as_asked(float32):
    images, before = faces(1, 9).numpy(), threads_of_process()
    one = LITERT.open(float32, 1)
    one(images)
    assert threads_of_process() == before
    three = LITERT.open(float32, 3)
    np.testing.assert_allclose(three(images)[0], one(images)[0], atol=1e-3)
    assert threads_of_process() == before + 2  # and the caller's own


def test_float16_is_half_as_large(network, float32, tmp_path):
    """Eleven bits of weights through seven layers: 0.002 of the logits' deviation were measured."""
    file = convert(LITERT, network, "float16", 1, tmp_path / "model.tflite")
    for expected, actual in answers(LITERT, network, file):
        assert np.sqrt(((actual - expected) ** 2).mean()) < 0.01 * expected.std()
    assert file.stat().st_size < 0.55 * float32.stat().st_size
    assert LITERT.metadata(file) == METADATA


def test_an_operator_without_kernel_is_named(tmp_path):
    class Bessel(nn.Module):
        def forward(self, images: Tensor) -> tuple[Tensor, ...]:
            return (torch.special.bessel_j0(images).mean((2, 3)),)

    with pytest.raises(UserError, match="bessel_j0"):
        convert(LITERT, Bessel().eval(), "float32", 1, tmp_path / "model.tflite")
    assert not (tmp_path / "model.tflite").exists()


def test_conversion_says_nothing(network, tmp_path, capfd):
    convert(LITERT, network, "float32", 1, tmp_path / "model.tflite")
    LITERT.open(tmp_path / "model.tflite", 1)
    assert capfd.readouterr() == ("", "")
