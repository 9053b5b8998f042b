"""ExecuTorch: what goes into a file comes out of it again."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from agegender.errors import UserError
from agegender.runtimes.executorch import EXECUTORCH
from converted import METADATA, answers, convert, faces, outspoken

pytest.importorskip("executorch", reason="ExecuTorch is not installed: pip install 'agegender-bench[executorch]'")

network = pytest.fixture(scope="module")(outspoken)


@pytest.fixture(scope="module")
def float32(network, tmp_path_factory) -> Path:
    return convert(EXECUTORCH, network, "float32", 1, tmp_path_factory.mktemp("float32") / "model.pte")


@pytest.fixture(scope="module")
def int8(network, tmp_path_factory) -> Path:
    return convert(EXECUTORCH, network, "int8", 1, tmp_path_factory.mktemp("int8") / "model.pte")


def test_float32_answers_as_torch_does(network, float32):
    for expected, actual in answers(EXECUTORCH, network, float32):
        assert len(set(expected.argmax(1))) > 1  # or equal answers would say nothing
        np.testing.assert_allclose(actual, expected, atol=1e-3)
        assert (actual.argmax(1) == expected.argmax(1)).all()


def test_int8_stays_close_and_is_small(network, float32, int8):
    """Random weights amplify rounding more than trained ones: 0.16 to 0.23 of the logits' deviation were measured.

    An answer that does not depend on the image has 1; activations cut off at half their range have more than 0.5.
    """
    for expected, actual in answers(EXECUTORCH, network, int8):
        assert np.sqrt(((actual - expected) ** 2).mean()) < 0.35 * expected.std()
    assert int8.stat().st_size < 0.3 * float32.stat().st_size


def test_metadata_comes_back(float32, int8):
    assert EXECUTORCH.metadata(float32) == METADATA
    assert EXECUTORCH.metadata(int8) == METADATA


def test_a_batch_of_four(network, tmp_path):
    images = faces(4, 6)
    session = EXECUTORCH.open(convert(EXECUTORCH, network, "float32", 4, tmp_path / "model.pte"), 1)
    with torch.no_grad():
        expected = network(images)
    for one, other in zip(expected, session(images.numpy()), strict=True):
        np.testing.assert_allclose(other, one.numpy(), atol=1e-3)


def test_outputs_outlive_the_next_call(float32):
    session = EXECUTORCH.open(float32, 1)
    first = session(faces(1, 7).numpy())
    kept = [logits.copy() for logits in first]
    session(faces(1, 8).numpy())
    assert all((one == other).all() for one, other in zip(first, kept, strict=True))


def test_sessions_of_several_thread_counts_take_turns(float32):
    from executorch.extension.pybindings import portable_lib

    images = faces(1, 9).numpy()
    sessions = {threads: EXECUTORCH.open(float32, threads) for threads in (1, 2)}
    results = []
    for threads in (1, 2, 1):
        results.append(sessions[threads](images)[0])
        assert portable_lib._threadpool_get_thread_count() == threads
    assert (results[0] == results[2]).all()
    np.testing.assert_allclose(results[1], results[0], atol=1e-3)


def test_an_operator_without_kernel_is_named(tmp_path):
    class Bessel(nn.Module):
        def forward(self, images: Tensor) -> tuple[Tensor, ...]:
            return (torch.special.bessel_j0(images).mean((2, 3)),)

    with pytest.raises(UserError, match="bessel_j0"):
        convert(EXECUTORCH, Bessel().eval(), "float32", 1, tmp_path / "model.pte")
    assert not (tmp_path / "model.pte").exists()


def test_conversion_says_nothing(network, tmp_path, capfd):
    convert(EXECUTORCH, network, "float32", 1, tmp_path / "model.pte")
    EXECUTORCH.open(tmp_path / "model.pte", 1)
    assert capfd.readouterr() == ("", "")
