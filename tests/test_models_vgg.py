"""The networks of Caffe and Torch7, AlexNet and VGG: counted and compared with their graphs written out"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agegender import create_model
from agegender.models.layers import caffe_norm
from layer_by_layer import layers, macs, moving_statistics, parameters


def test_gilnet_and_caffenet_layer_by_layer() -> None:
    with torch.device("meta"):
        gilnet, caffenet = create_model("gilnet", ("age",)), create_model("caffenet", ("age",))
    first, second, third = 7 * 7 * 3 * 96 + 96, 25 * 96 * 256 + 256, 9 * 256 * 384 + 384
    full = [7 * 7 * 384 * 512 + 512, 512 * 512 + 512, 512 * 8 + 8]
    assert list(map(parameters, layers(gilnet))) == [first, second, third, *full]
    grouped = [25 * 48 * 256 + 256, third, 9 * 192 * 384 + 384, 9 * 192 * 256 + 256]
    full = [6 * 6 * 256 * 4096 + 4096, 4096 * 4096 + 4096, 4096 * 8 + 8]
    assert list(map(parameters, layers(caffenet))) == [11 * 11 * 3 * 96 + 96, *grouped, *full]


VGG = [(1, 2), (2, 2), (4, 3), (8, 3), (8, 3)]  # of each block: its width in those of the first, its convolutions


def test_vgg_face_and_its_narrow_relatives_layer_by_layer() -> None:
    for name, width in (("vgg_face", 64), ("thin_age", 32), ("tiny_age", 16)):
        with torch.device("meta"):
            network = create_model(name, ("age",))
        channels = [3, *(width * times for times, count in VGG for _ in range(count))]
        pairs = list(pairwise(channels))
        if name == "vgg_face":
            expected = [9 * a * b + b for a, b in pairs]
            expected += [7 * 7 * 512 * 4096 + 4096, 4096 * 4096 + 4096, 4096 * 8 + 8]
        else:
            expected = [n for a, b in pairs for n in (9 * a * b, 2 * b)] + [8 * width * 8 + 8]
        assert list(map(parameters, layers(network))) == expected
        assert moving_statistics(network) == (0 if name == "vgg_face" else 2 * sum(channels[1:]))


def test_macs_of_the_networks_from_caffe_and_torch7() -> None:
    sizes = {"gilnet": 227, "caffenet": 227, "vgg_face": 224, "thin_age": 224, "tiny_age": 224}
    with torch.device("meta"):
        found = {name: macs(create_model(name, ("age",)), size) for name, size in sizes.items()}
    assert {name: round(n / 1e6, 1) for name, n in found.items() if n < 9e8} == {"gilnet": 709.3, "caffenet": 720.3}
    large = {name: round(n / 1e6) for name, n in found.items() if n > 9e8}
    assert large == {"vgg_face": 15_466, "thin_age": 3_858, "tiny_age": 975}
    full = (18_816 + 512 + 8) * 512
    assert found["gilnet"] == 56 * 56 * 96 * 147 + 28 * 28 * 256 * 25 * 96 + 14 * 14 * 384 * 9 * 256 + full


def caffes_pool(x: Tensor) -> Tensor:
    """Caffe's max pooling of 3x3 at stride 2: the last window of an even map hangs over, and sees what is there."""
    over = (x.shape[-1] + 1) % 2
    return F.max_pool2d(F.pad(x, (0, over, 0, over), value=float("-inf")), 3, 2)


# Of each convolution: stride, padding, groups, what comes after its ReLU (p: pool, n: norm), and the side of its map.
CAFFE = {
    "gilnet": [(4, 0, 1, "pn", 28), (1, 2, 1, "pn", 14), (1, 1, 1, "p", 7)],
    "caffenet": [
        *[(4, 0, 1, "pn", 27), (1, 2, 2, "pn", 13)],
        *[(1, 1, 1, "", 13), (1, 1, 2, "", 13), (1, 1, 2, "p", 6)],
    ],
}


@pytest.mark.parametrize("name", CAFFE)
def test_networks_from_caffe_are_their_graphs_written_out(name: str) -> None:
    torch.manual_seed(5)
    network = create_model(name, ("age",)).eval()
    nn.init.normal_(network.heads.age.weight)  # type: ignore[union-attr,arg-type]
    x = images = 128 * torch.rand(1, 3, 227, 227, generator=torch.Generator().manual_seed(6)) - 60
    with torch.inference_mode():
        steps = iter(layers(network))
        for stride, padding, groups, then, side in CAFFE[name]:
            conv = next(steps)
            x = F.relu(F.conv2d(x, conv.weight, conv.bias, stride, padding, groups=groups))  # type: ignore[arg-type]
            x = caffes_pool(x) if "p" in then else x
            # torch divides alpha by the window, as Caffe does.
            x = F.local_response_norm(x, 5, alpha=1e-4, beta=0.75, k=1.0) if "n" in then else x
            assert x.shape[-1] == side
        full1, full2, head = steps
        expected = head(F.relu(full2(F.relu(full1(x.flatten(1))))))
        torch.testing.assert_close(network(images)["age"], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "size"), [*[("vgg_face", 224), ("vgg_face", 70)], *[("tiny_age", 224), ("tiny_age", 64), ("thin_age", 64)]]
)
def test_vgg_face_and_its_narrow_relatives_are_their_graphs_written_out(name: str, size: int) -> None:
    x = images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(6))
    torch.manual_seed(5)
    network = create_model(name, ("age",), input_size=size).train()
    nn.init.normal_(network.heads.age.weight)  # type: ignore[union-attr,arg-type]
    for norm in (layer for layer in layers(network) if isinstance(layer, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias)
        norm.momentum = 1.0
    with torch.inference_mode():
        network(images)
        steps: Iterator[Any] = iter(layers(network.eval()))
        for _, count in VGG:
            for _ in range(count):
                conv = next(steps)
                x = F.conv2d(x, conv.weight, conv.bias, padding=1)
                if conv.bias is None:
                    norm = next(steps)
                    x = F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)
                x = F.relu(x)
            x = F.max_pool2d(x, 2, 2)
        *full, head = steps
        x = x.flatten(1) if full else F.avg_pool2d(x, size // 32).flatten(1)
        for layer in full:
            x = F.relu(layer(x))
        torch.testing.assert_close(network(images)["age"], head(x), rtol=1e-4, atol=1e-4)


def test_lrn_of_caffe_is_torchs_which_divides_alpha_by_the_window_too() -> None:
    x = torch.randn(2, 96, 5, 5, generator=torch.Generator().manual_seed(0)) * 300
    reference = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)(x)
    torch.testing.assert_close(caffe_norm(96)(x), reference, rtol=1e-5, atol=1e-4)


def test_initial_weights_follow_the_definitions() -> None:
    torch.manual_seed(0)
    for name, biases in (("gilnet", [0, 1, 0, 1, 1, 0]), ("caffenet", [0, 1, 0, 1, 1, 1, 1, 0])):
        found: list[Any] = layers(create_model(name, ("age",)))
        assert [layer.bias.unique().tolist() for layer in found] == [[bias] for bias in biases]
        deviations = [0.01] * (len(found) - 3) + [0.005, 0.005, 0.01]
        assert [float(layer.weight.detach().std()) for layer in found] == pytest.approx(deviations, rel=0.05)
    convs = [m for m in create_model("thin_age", ("age",)).modules() if isinstance(m, nn.Conv2d)]
    deviations = [(2 / (9 * conv.out_channels)) ** 0.5 for conv in convs]
    assert [float(conv.weight.detach().std()) for conv in convs] == pytest.approx(deviations, rel=0.07)
    assert all(conv.bias is None for conv in convs)


def test_dropout_falls_on_full_layers_or_on_pooled_features() -> None:
    for name, count in (("gilnet", 2), ("caffenet", 2), ("vgg_face", 2), ("thin_age", 1)):
        with torch.device("meta"):
            network = create_model(name, dropout=0.3)
        assert [m.p for m in network.modules() if isinstance(m, nn.Dropout)] == [0.3] * count
