"""Inception v3 against torchvision's own network and the numbers torchvision publishes of it."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import Inception_V3_Weights
from torchvision.models import inception_v3 as torchvision_inception_v3

from agegender import create_model

PUBLISHED = Inception_V3_Weights.IMAGENET1K_V1.meta
CLASSIFIER = 2048 * 1000 + 1000
AUXILIARY = 3_326_696  # torchvision counts its auxiliary classifier too
SCALES = 17_216  # one of each batch norm channel, which slim's batch norm lacks


def test_parameters_and_macs_are_torchvisions_less_what_is_left_out() -> None:
    with torch.device("meta"):
        network = create_model("inception_v3")
        backbone = sum(p.numel() for p in network.backbone.parameters())  # type: ignore[union-attr]
        assert backbone == PUBLISHED["num_params"] - AUXILIARY - CLASSIFIER - SCALES == 21_768_352
        assert sum(p.numel() for p in network.parameters()) == backbone + 2048 * 10 + 10 == 21_788_842
        assert sum(b.numel() for name, b in network.named_buffers() if "running" in name) == 2 * SCALES
        counter = FlopCounterMode(display=False)
        with counter, torch.inference_mode():
            network.eval()(torch.zeros(1, 3, 299, 299))
    macs = counter.get_total_flops() // 2 - 2048 * 10 + 2048 * 1000
    assert round(macs / 1e9, 3) == PUBLISHED["_ops"]


@pytest.mark.filterwarnings("ignore:The default weight initialization of inception_v3:FutureWarning")
def test_the_backbone_is_torchvisions_with_scales_of_one() -> None:
    torch.manual_seed(0)
    backbone = create_model("inception_v3", ("age",)).backbone.train()
    images = torch.randn(4, 3, 139, 139)
    for norm in backbone.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = 1.0
            nn.init.normal_(norm.bias, std=0.1)
    with torch.inference_mode():
        backbone(images)  # so that the running statistics are those of these images
    reference = torchvision_inception_v3(weights=None, aux_logits=False, init_weights=False)
    reference.fc = nn.Identity()
    missing, unexpected = reference.load_state_dict(backbone.state_dict(), strict=False)
    assert not unexpected
    assert all(name.endswith("bn.weight") for name in missing), "torchvision's scales stay at one"
    with torch.inference_mode():
        torch.testing.assert_close(backbone.eval()(images), reference.eval()(images), rtol=1e-4, atol=1e-4)


def test_initial_weights_are_cut_at_two_deviations() -> None:
    torch.manual_seed(0)
    network = create_model("inception_v3", ("age",))
    convolutions = torch.cat([m.weight.detach().flatten() for m in network.modules() if isinstance(m, nn.Conv2d)])
    assert 0.19 < float(convolutions.abs().max()) <= 0.2
    assert float(convolutions.std()) == pytest.approx(0.088, abs=1e-3)
    assert float(network.heads.age.weight.detach().abs().max()) <= 0.02  # type: ignore[operator,union-attr]
