"""Counts of networks, against closed forms written layer by layer."""

import pytest
import torch
from torch import nn

from agegender import create_model, list_models
from agegender.cost.counts import Counts, count
from agegender.models.layers import LocalResponseNorm
from layer_by_layer import macs


def test_a_small_network_is_counted_by_hand() -> None:
    def build() -> nn.Module:
        conv = nn.Conv2d(3, 8, 3, stride=2)  # 11 -> 5
        depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        layers = [conv, LocalResponseNorm(8), depthwise, nn.BatchNorm2d(8), nn.MaxPool2d(5), nn.Flatten()]
        return nn.Sequential(*layers, nn.Linear(8, 4))

    parameters = (27 * 8 + 8) + 9 * 8 + (8 + 8) + (8 * 4 + 4)
    macs = 5 * 5 * 8 * 27 + 5 * 5 * 8 * 9 + 8 * 4
    activations = 5 * 5 * 8 + 5 * 5 * 8 + 4
    assert count(build, 11) == Counts(parameters, macs, activations, 4 * (parameters + 8 + 8))


FULL = 13824 * 512 + 512 * 512 + 512 * 10
CONV1 = 56 * 56 * 96 * 7 * 7 * 3


@pytest.mark.parametrize(
    ("name", "macs", "activations"),
    [
        (
            "lmtcnn_2_1",
            CONV1 + 27 * 27 * (96 * 9 + 96 * 512) + 14 * 14 * (512 * 9 + 512 * 384) + FULL,
            56 * 56 * 96 + 27 * 27 * (96 + 512) + 14 * 14 * (512 + 384) + 512 + 512 + 10,
        ),
        (
            "levi_hassner_tf",
            CONV1 + 27 * 27 * 256 * 25 * 96 + 13 * 13 * 384 * 9 * 256 + FULL,
            56 * 56 * 96 + 27 * 27 * 256 + 13 * 13 * 384 + 512 + 512 + 10,
        ),
    ],
)
def test_the_papers_networks_agree_with_their_closed_forms(name: str, macs: int, activations: int) -> None:
    found = count(lambda: create_model(name), 227)
    assert (found.macs, found.activations) == (macs, activations)


@pytest.mark.parametrize("name", list_models())
def test_macs_are_those_of_torchs_own_counter(name: str) -> None:
    with torch.device("meta"):
        network = create_model(name, input_size=96)
        expected = macs(network, 96)
    assert count(lambda: create_model(name, input_size=96), 96).macs == expected


def test_bytes_are_those_of_a_checkpoint() -> None:
    """12.96 MB of MobileNet and 30.47 of LMTCNN-2-1, running statistics included."""
    sizes = {name: count(lambda name=name: create_model(name), 227).bytes for name in ("mobilenet_v1", "lmtcnn_2_1")}
    assert sizes == {"mobilenet_v1": 4 * (3_217_226 + 21_888), "lmtcnn_2_1": 4 * (7_614_634 + 3_008)}
