"""The Levi-Hassner network: in Caffe as published (GilNet), and as the TensorFlow ports have it.

They are two networks. Caffe rounds the size of pooled maps up, which leaves a 7x7 map where the ports have 6x6, and its
LRN reads 5 channels with alpha divided by 5, theirs 11 channels with alpha whole.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from agegender.models.layers import (
    BetaBatchNorm2d,
    LocalResponseNorm,
    caffe_norm,
    caffe_pool,
    classifier,
    gaussian_conv,
    values_after,
)
from agegender.models.model import Model
from agegender.modes import Mode


class LeviHassner(nn.Module):
    """The backbone, three convolution blocks and two full layers: (N, 3, S, S) -> (N, 512)."""

    features = 512

    def __init__(self, blocks: Sequence[nn.Module], input_size: int, dropout: float):
        super().__init__()
        self.block1, self.block2, self.block3 = blocks
        self.classifier = classifier(values_after(nn.Sequential(*blocks), input_size), self.features, dropout)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.classifier(self.block3(self.block2(self.block1(images))))
        return features


def gilnet(input_size: int, mode: Mode, dropout: float) -> LeviHassner:
    """Build the paper's Caffe network: GilLevi/AgeGenderDeepLearning `*_net_definitions/train_val_*.prototxt`.

    It reads BGR in 0..255 less a mean (`conf/preprocessing/caffe.yaml`). That the authors' last layer learns at ten
    times the rate, its bias at twenty times, belongs to their training and is not done here.
    """
    conv1 = gaussian_conv(3, 96, 7, bias=0.0, stride=4)
    conv2 = gaussian_conv(96, 256, 5, bias=1.0, padding=2)
    conv3 = gaussian_conv(256, 384, 3, bias=0.0, padding=1)
    blocks = (
        nn.Sequential(conv1, nn.ReLU(), caffe_pool(), caffe_norm(96)),
        nn.Sequential(conv2, nn.ReLU(), caffe_pool(), caffe_norm(256)),
        nn.Sequential(conv3, nn.ReLU(), caffe_pool()),
    )
    return LeviHassner(blocks, input_size, dropout)


def levi_hassner_tf(input_size: int, mode: Mode, dropout: float) -> LeviHassner:
    """Build the ports' default network: `levi_hassner` in dpressel/rude-carnie and ivclab/agegenderLMTCNN `model.py`.

    It reads standardised RGB, and normalises local responses after the first two pools.
    """
    conv1 = gaussian_conv(3, 96, 7, bias=0.0, stride=4)
    conv2 = gaussian_conv(96, 256, 5, bias=1.0, padding=2)
    conv3 = gaussian_conv(256, 384, 3, bias=0.0, padding=1)
    blocks = (
        nn.Sequential(conv1, nn.ReLU(), nn.MaxPool2d(3, stride=2), LocalResponseNorm(96)),
        nn.Sequential(conv2, nn.ReLU(), nn.MaxPool2d(3, stride=2), LocalResponseNorm(256)),
        nn.Sequential(conv3, nn.ReLU(), nn.MaxPool2d(3, stride=2)),
    )
    return LeviHassner(blocks, input_size, dropout)


def levi_hassner_bn(input_size: int, mode: Mode, dropout: float) -> LeviHassner:
    """Build the ports' `levi_hassner_bn`: batch norm between convolution and ReLU, instead of LRN and of biases.

    Its batch norm does get `is_training`, so running statistics are used in evaluation in both modes; the faithful one
    estimates them at the authors' decay of 0.9997.
    """
    momentum = 1 - 0.9997 if mode.name == "faithful" else mode.batch_norm_momentum
    conv1 = gaussian_conv(3, 96, 7, bias=None, stride=4)
    conv2 = gaussian_conv(96, 256, 5, bias=None, padding=2)
    conv3 = gaussian_conv(256, 384, 3, bias=None, padding=1)
    norms = [BetaBatchNorm2d(channels, batch_statistics=False, momentum=momentum) for channels in (96, 256, 384)]
    blocks = [
        nn.Sequential(conv, norm, nn.ReLU(), nn.MaxPool2d(3, stride=2))
        for conv, norm in zip((conv1, conv2, conv3), norms, strict=True)
    ]
    return LeviHassner(blocks, input_size, dropout)


MODELS = (
    Model("gilnet", gilnet, 227),
    Model("levi_hassner_tf", levi_hassner_tf, 227),
    Model("levi_hassner_bn", levi_hassner_bn, 227),
)
