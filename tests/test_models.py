"""The networks of the papers: counted layer by layer, compared with torch's own layers, in both modes."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agegender import create_model, list_models
from agegender.errors import UserError
from agegender.models.catalogue import MODELS
from agegender.models.layers import BetaBatchNorm2d, LocalResponseNorm
from layer_by_layer import layers, macs, moving_statistics, parameters


@pytest.mark.parametrize(
    ("name", "tasks", "expected"),
    [
        ("lmtcnn_1_1", ("age", "gender"), 7_488_426),
        ("lmtcnn_2_1", ("age", "gender"), 7_614_634),
        ("mobilenet_v1", ("age", "gender"), 3_217_226),
        ("gilnet", ("age",), 11_415_048),
        ("gilnet", ("gender",), 11_411_970),
        ("levi_hassner_tf", ("age",), 8_859_144),
        ("levi_hassner_tf", ("gender",), 8_856_066),
        ("levi_hassner_tf", ("age", "gender"), 8_860_170),
        # A shift in place of each bias: the counts of the network it is a variant of.
        ("levi_hassner_bn", ("age",), 8_859_144),
        ("levi_hassner_bn", ("gender",), 8_856_066),
        ("levi_hassner_bn", ("age", "gender"), 8_860_170),
        # 21,768,352 of the backbone: see test_inception.py.
        ("inception_v3", ("age", "gender"), 21_788_842),
        ("caffenet", ("age",), 56_901_000),
        ("caffenet", ("gender",), 56_876_418),
        ("vgg_face", ("age",), 134_293_320),
        ("vgg_face", ("gender",), 134_268_738),
        # Published with 101 outputs.
        ("thin_age", ("age",), 3_708_229 - 257 * (101 - 8)),
        ("tiny_age", ("age",), 934_869 - 129 * (101 - 8)),
        # torchvision's published counts, less the classifier they end in, and two heads.
        ("mobilenet_v3_small", ("age", "gender"), 2_542_856 - (577 * 1024 + 1025 * 1000) + 577 * 10),
        ("shufflenet_v2", ("age", "gender"), 2_278_604 - 1025 * 1000 + 1025 * 10),
        ("efficientnet_b0", ("age", "gender"), 5_288_548 - 1281 * 1000 + 1281 * 10),
        ("resnet18", ("age", "gender"), 11_689_512 - 513 * 1000 + 513 * 10),
    ],
)
def test_parameter_counts_are_the_published_ones(name: str, tasks: tuple[str, ...], expected: int) -> None:
    with torch.device("meta"):
        assert parameters(create_model(name, tasks)) == expected


def test_lmtcnn_layer_by_layer() -> None:
    network = create_model("lmtcnn_2_1")
    conv1, dw1, pw1 = 7 * 7 * 3 * 96 + 96, 9 * 96 + 96, 96 * 512 + 512
    dw2, pw2 = 9 * 512 + 512, 512 * 384 + 384
    full = [13824 * 512 + 512, 512 * 512 + 512, 512 * 8 + 8, 512 * 2 + 2]
    assert list(map(parameters, layers(network))) == [conv1, dw1, 96, pw1, 512, dw2, 512, pw2, 384, *full]
    assert moving_statistics(network) == 3_008
    network = create_model("lmtcnn_1_1")
    convolutions = [14_208, 960, 96, 24_832, 256, 2_560, 256, 98_688, 384]
    assert list(map(parameters, layers(network))) == [*convolutions, 7_078_400, 262_656, 4_104, 1_026]
    assert moving_statistics(network) == 1_984


# Of each separable block of MobileNet: inputs, outputs, and the side of its map before and after.
MOBILENET = [
    *[(32, 64, 114, 114), (64, 128, 114, 57), (128, 128, 57, 57), (128, 256, 57, 29), (256, 256, 29, 29)],
    *[(256, 512, 29, 15), *[(512, 512, 15, 15)] * 5, (512, 1024, 15, 8), (1024, 1024, 8, 8)],
]


def test_mobilenet_layer_by_layer() -> None:
    network = create_model("mobilenet_v1")
    expected = [27 * 32 + 32, 32]
    for inputs, outputs, _, _ in MOBILENET:
        expected += [9 * inputs + inputs, inputs, inputs * outputs + outputs, outputs]
    assert list(map(parameters, layers(network))) == [*expected, 1024 * 8 + 8, 1024 * 2 + 2]
    assert moving_statistics(network) == 21_888
    sides, x = [], torch.zeros(1, 3, 227, 227)
    for block in network.eval().backbone.blocks:  # type: ignore[union-attr]
        x = block(x)
        sides.append(x.shape[-1])
    assert sides == [114, *[after for _, _, _, after in MOBILENET]]


def test_levi_hassner_bn_layer_by_layer() -> None:
    network = create_model("levi_hassner_bn", ("age",))
    convolutions = [7 * 7 * 3 * 96, 96, 25 * 96 * 256, 256, 9 * 256 * 384, 384]
    full = [13824 * 512 + 512, 512 * 512 + 512, 512 * 8 + 8]
    assert list(map(parameters, layers(network))) == [*convolutions, *full]
    assert moving_statistics(network) == 2 * (96 + 256 + 384)


def test_macs_agree_with_the_closed_form() -> None:
    full = 13824 * 512 + 512 * 512
    conv1 = 56 * 56 * 96 * 7 * 7 * 3
    lmtcnn = {
        name: conv1 + 27 * 27 * (96 * 9 + 96 * first) + 14 * 14 * (first * 9 + first * 384) + full + 512 * 10
        for name, first in {"lmtcnn_1_1": 256, "lmtcnn_2_1": 512}.items()
    }
    levi_hassner = conv1 + 27 * 27 * 256 * 25 * 96 + 13 * 13 * 384 * 9 * 256 + full + 512 * 8
    mobilenet = 114 * 114 * 27 * 32 + 1024 * 10
    mobilenet += sum(after * after * (9 * inputs + inputs * outputs) for inputs, outputs, _, after in MOBILENET)
    expected = {**lmtcnn, "mobilenet_v1": mobilenet}
    with torch.device("meta"):  # shapes without numbers: counting needs no more
        assert {name: macs(create_model(name)) for name in expected} == expected
        assert macs(create_model("levi_hassner_tf", ("age",))) == levi_hassner
        assert macs(create_model("levi_hassner_bn", ("age",))) == levi_hassner
    rounded = [round(n / 1e6, 1) for n in (*expected.values(), levi_hassner)]
    assert rounded == [89.9, 127.5, 644.3, 649.0]


def with_estimated_statistics(name: str, images: Tensor) -> nn.Module:
    """A network in evaluation whose running statistics are those of `images`: what changes in a map reaches the end."""
    torch.manual_seed(5)
    network = create_model(name, ("age",), input_size=images.shape[-1])
    for layer in layers(network):
        if layer.bias is not None:
            nn.init.normal_(layer.bias, std=0.1)  # type: ignore[arg-type]
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.inference_mode():
        network.train()(images)
    return network.eval()


def normalised(x: Tensor, norm: nn.Module) -> Tensor:
    """ReLU of a batch norm without scale, as TensorFlow writes it, at eps 0.001."""
    mean, var, beta = (v[:, None, None] for v in (norm.running_mean, norm.running_var, norm.bias))  # type: ignore[index]
    return ((x - mean) / (var + 0.001).sqrt() + beta).clamp(min=0)


def same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Pad as TensorFlow's SAME does: to ceil(size / stride) outputs, the odd pixel below and on the right."""
    total = max(0, (-(-x.shape[-1] // stride) - 1) * stride + kernel - x.shape[-1])
    before, after = total // 2, total - total // 2
    return F.pad(x, (before, after, before, after))


@pytest.mark.parametrize("size", [227, 100])
def test_mobilenet_is_its_graph_written_out(size: int) -> None:
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(6))
    network = with_estimated_statistics("mobilenet_v1", images)
    with torch.inference_mode():
        steps: Iterator[nn.Module] = iter(layers(network))
        conv, norm = next(steps), next(steps)
        x = normalised(F.conv2d(same(images, 3, 2), conv.weight, conv.bias, stride=2), norm)  # type: ignore[arg-type]
        for inputs, _, before, after in MOBILENET:
            stride = 1 if before == after else 2
            conv, norm = next(steps), next(steps)
            x = F.conv2d(same(x, 3, stride), conv.weight, conv.bias, stride, groups=inputs)  # type: ignore[arg-type]
            x = normalised(x, norm)
            conv, norm = next(steps), next(steps)
            x = normalised(F.conv2d(x, conv.weight, conv.bias), norm)  # type: ignore[arg-type]
        head = next(steps)
        expected = x[:, :, :7, :7].mean((2, 3)) @ head.weight.T + head.bias  # type: ignore[operator]
        torch.testing.assert_close(network(images)["age"], expected, rtol=1e-4, atol=1e-4)
        whole = x.mean((2, 3)) @ head.weight.T + head.bias  # type: ignore[operator]
        assert torch.allclose(whole, expected, rtol=1e-4, atol=1e-4) == (size == 100)


def test_levi_hassner_bn_is_its_graph_written_out() -> None:
    x = images = torch.randn(2, 3, 227, 227, generator=torch.Generator().manual_seed(6))
    network = with_estimated_statistics("levi_hassner_bn", images)
    with torch.inference_mode():
        steps = iter(layers(network))
        for stride, padding in ((4, 0), (1, 2), (1, 1)):
            conv, norm = next(steps), next(steps)
            x = normalised(F.conv2d(x, conv.weight, None, stride, padding), norm)  # type: ignore[arg-type]
            x = F.max_pool2d(x, 3, 2)
        full1, full2, head = steps
        x = F.relu(full1(x.flatten(1)))
        torch.testing.assert_close(network(images)["age"], head(F.relu(full2(x))), rtol=1e-4, atol=1e-5)


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
    bn = [m for m in create_model("levi_hassner_bn").modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert [m.bias is None for m in bn] == [True] * 3 + [False] * 4
    assert all(abs(float(c.weight.detach().std()) - 0.01) < 5e-4 for c in bn[:3])
    mobilenet = create_model("mobilenet_v1")
    assert all(not parameter.any() for name, parameter in mobilenet.named_parameters() if name.endswith("bias"))
    head = mobilenet.heads.age.weight.detach()  # type: ignore[operator,union-attr]
    assert float(head.abs().max()) <= 0.02 and abs(float(head.std()) - 0.0088) < 2e-4, "cut at two deviations"
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


# MobileNet's, Levi-Hassner's and Inception's batch norm get `is_training` in the authors' code, LMTCNN's does not.
@pytest.mark.parametrize(
    ("name", "on_batch_statistics", "momentum"),
    [
        ("lmtcnn_1_1", True, 0.001),
        ("lmtcnn_2_1", True, 0.001),
        ("mobilenet_v1", False, 0.001),
        ("levi_hassner_bn", False, 0.0003),
        ("inception_v3", False, 0.0003),
    ],
)
def test_modes_keep_and_repair_the_authors_batch_norm(name: str, on_batch_statistics: bool, momentum: float) -> None:
    images = torch.randn(4, 3, 227, 227, generator=torch.Generator().manual_seed(2))
    answers = {}
    for mode, expected in (("faithful", momentum), ("sound", 0.1)):
        torch.manual_seed(3)
        network = create_model(name, mode=mode).eval()
        norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
        assert norms and all(m.momentum == pytest.approx(expected) and m.eps == 1e-3 for m in norms)
        assert all(m.weight is None for m in norms), "the authors' batch norm has no scale"
        with torch.inference_mode():
            answers[mode] = (network(images)["age"][:2], network(images[:2])["age"])
    torch.testing.assert_close(*answers["sound"], rtol=1e-4, atol=1e-5)
    if on_batch_statistics:
        assert not torch.allclose(*answers["faithful"], atol=1e-4)
    else:
        torch.testing.assert_close(*answers["faithful"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", list_models())
def test_every_model_answers_each_task_alone_and_together(name: str) -> None:
    size = MODELS[name].input_size
    for tasks in (("age",), ("gender",), ("age", "gender")):
        with torch.device("meta"):  # shapes without numbers: test_configs.py trains each of them
            logits = create_model(name, tasks).eval()(torch.zeros(1, 3, size, size))
        assert {task: tuple(x.shape) for task, x in logits.items()} == {
            task: (1, {"age": 8, "gender": 2}[task]) for task in tasks
        }


# The side of the least face that each works on, where not any face is.
LEAST = {"lmtcnn_1_1": 47, "lmtcnn_2_1": 47, "gilnet": 35, "levi_hassner_tf": 63, "levi_hassner_bn": 63}
LEAST |= {"inception_v3": 75, "caffenet": 39, "vgg_face": 32, "thin_age": 32, "tiny_age": 32}


@pytest.mark.parametrize("name", list_models())
def test_every_model_works_at_any_size_from_its_least_on(name: str) -> None:
    least = LEAST.get(name, 1)
    for size in (least, 64, 96, 112, 300):
        if size < least:
            with pytest.raises(UserError, match=f"^input_size={size}: {name} works on faces of at least {least} "):
                create_model(name, input_size=size)
            continue
        with torch.device("meta"):
            logits = create_model(name, ("age",), input_size=size).eval()(torch.zeros(2, 3, size, size))
        assert logits["age"].shape == (2, 8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "lmtcnn"}, "model=lmtcnn: there is no such model, choose from lmtcnn_1_1, .*, or name your own"),
        ({"name": "lmtcnn_2_1", "tasks": ("smile",)}, "no task 'smile'"),
        ({"name": "lmtcnn_2_1", "tasks": ()}, "at least one task"),
        ({"name": "lmtcnn_2_1", "mode": "quick"}, "mode=quick"),
        ({"name": "lmtcnn_2_1", "heads": {"age": "svm"}}, "no such head"),
    ],
)
def test_unknown_names_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        create_model(**arguments)  # type: ignore[arg-type]
