"""The networks of the papers: counted layer by layer, compared with torch's own layers, in both modes."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from agegender import create_model, list_models
from agegender.errors import UserError
from agegender.models.layers import BetaBatchNorm2d, LocalResponseNorm


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def macs(network: nn.Module) -> int:
    counter = FlopCounterMode(display=False)
    # LRN is a fixed operation of the architecture and does not count (design: convolutions and linear layers only).
    for module in network.modules():
        if isinstance(module, LocalResponseNorm):
            module.forward = lambda x: x  # type: ignore[method-assign]
    with counter, torch.inference_mode():
        network.eval()(torch.zeros(1, 3, 227, 227))
    return counter.get_total_flops() // 2


@pytest.mark.parametrize(
    ("name", "tasks", "expected"),
    [
        ("lmtcnn_2_1", ("age", "gender"), 7_614_634),
        ("levi_hassner_tf", ("age",), 8_859_144),
        ("levi_hassner_tf", ("gender",), 8_856_066),
        ("levi_hassner_tf", ("age", "gender"), 8_860_170),
    ],
)
def test_parameter_counts_are_the_published_ones(name: str, tasks: tuple[str, ...], expected: int) -> None:
    assert parameters(create_model(name, tasks)) == expected


def test_lmtcnn_layer_by_layer() -> None:
    network = create_model("lmtcnn_2_1")
    counts = [parameters(m) for m in network.modules() if isinstance(m, (nn.Conv2d, nn.BatchNorm2d, nn.Linear))]
    conv1, dw1, pw1 = 7 * 7 * 3 * 96 + 96, 9 * 96 + 96, 96 * 512 + 512
    dw2, pw2 = 9 * 512 + 512, 512 * 384 + 384
    full = [13824 * 512 + 512, 512 * 512 + 512, 512 * 8 + 8, 512 * 2 + 2]
    assert counts == [conv1, dw1, 96, pw1, 512, dw2, 512, pw2, 384, *full]
    assert sum(b.numel() for n, b in network.named_buffers() if "running" in n) == 3_008


def test_macs_agree_with_the_closed_form() -> None:
    full = 13824 * 512 + 512 * 512
    conv1 = 56 * 56 * 96 * 7 * 7 * 3
    lmtcnn = conv1 + 27 * 27 * (96 * 9 + 96 * 512) + 14 * 14 * (512 * 9 + 512 * 384) + full + 512 * 10
    levi_hassner = conv1 + 27 * 27 * 256 * 25 * 96 + 13 * 13 * 384 * 9 * 256 + full + 512 * 8
    assert macs(create_model("lmtcnn_2_1")) == lmtcnn
    assert macs(create_model("levi_hassner_tf", ("age",))) == levi_hassner
    assert round(lmtcnn / 1e6, 1) == 127.5
    assert round(levi_hassner / 1e6, 1) == 649.0


@pytest.mark.parametrize("channels", [96, 256])
def test_lrn_is_torchs_with_tensorflows_parameters(channels: int) -> None:
    x = torch.randn(2, channels, 5, 5, generator=torch.Generator().manual_seed(0)) * 30
    reference = nn.LocalResponseNorm(11, alpha=1.1e-3, beta=0.75, k=1.0)(x)
    torch.testing.assert_close(LocalResponseNorm(channels)(x), reference, rtol=1e-5, atol=1e-5)


def test_initial_weights_follow_the_authors() -> None:
    torch.manual_seed(0)
    lh = create_model("levi_hassner_tf")
    convs = [m for m in lh.modules() if isinstance(m, nn.Conv2d)]
    assert [c.bias.unique().tolist() for c in convs] == [[0.0], [1.0], [0.0]]  # type: ignore[union-attr]
    assert all(abs(float(c.weight.detach().std()) - 0.01) < 5e-4 for c in convs)
    fc1, fc2, age, gender = (m for m in lh.modules() if isinstance(m, nn.Linear))
    assert all(abs(float(m.weight.detach().std()) - 0.005) < 1e-4 and bool((m.bias == 1).all()) for m in (fc1, fc2))
    assert all(abs(float(m.weight.detach().std()) - 0.01) < 2e-3 and bool((m.bias == 0).all()) for m in (age, gender))
    depthwise = create_model("lmtcnn_2_1").backbone.block1[0].weight  # type: ignore[index,union-attr]
    limit = (6 / (9 * 96 + 9)) ** 0.5  # TensorFlow's fan of a [3, 3, 96, 1] kernel: in 9 x 96, out 9
    assert 0.95 * limit < float(depthwise.detach().abs().max()) <= limit


def test_beta_batch_norm_equals_torchs_with_unit_scale() -> None:
    ours = BetaBatchNorm2d(4, batch_statistics=False, momentum=0.1)
    torchs = nn.BatchNorm2d(4, eps=1e-3)
    with torch.no_grad():
        ours.bias.copy_(torch.arange(4.0))
        torchs.bias.copy_(torch.arange(4.0))
    x = torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(ours(x), torchs(x))
    torch.testing.assert_close(ours.eval()(x + 1), torchs.eval()(x + 1))


def test_faithful_mode_depends_on_the_batch_and_sound_mode_does_not() -> None:
    images = torch.randn(4, 3, 227, 227, generator=torch.Generator().manual_seed(2))
    answers = {}
    for mode in ("faithful", "sound"):
        torch.manual_seed(3)
        network = create_model("lmtcnn_2_1", mode=mode).eval()
        with torch.inference_mode():
            answers[mode] = (network(images)["age"][:2], network(images[:2])["age"])
    assert not torch.allclose(*answers["faithful"], atol=1e-4)
    torch.testing.assert_close(*answers["sound"], rtol=1e-4, atol=1e-5)


def test_every_model_answers_each_task_alone_and_together() -> None:
    images = torch.zeros(1, 3, 227, 227)
    for name in list_models():
        for tasks in (("age",), ("gender",), ("age", "gender")):
            logits = create_model(name, tasks).eval()(images)
            assert {task: tuple(x.shape) for task, x in logits.items()} == {
                task: (1, {"age": 8, "gender": 2}[task]) for task in tasks
            }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "lmtcnn"}, "no model 'lmtcnn'"),
        ({"name": "lmtcnn_2_1", "tasks": ("smile",)}, "no task 'smile'"),
        ({"name": "lmtcnn_2_1", "tasks": ()}, "at least one task"),
        ({"name": "lmtcnn_2_1", "mode": "quick"}, "mode=quick"),
        ({"name": "lmtcnn_2_1", "heads": {"age": "svm"}}, "no head 'svm'"),
    ],
)
def test_unknown_names_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        create_model(**arguments)  # type: ignore[arg-type]
