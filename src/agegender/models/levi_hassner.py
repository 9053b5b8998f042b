"""The Levi-Hassner network as the TensorFlow ports have it: dpressel/rude-carnie and ivclab/agegenderLMTCNN `model.py`.

It is not the Caffe network of the paper (`gilnet`): floor pooling leaves a 6x6 map and the LRN window is 11 channels.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from agegender.models.layers import BetaBatchNorm2d, LocalResponseNorm, classifier
from agegender.modes import Mode


class LeviHassner(nn.Module):
    """The trunk, three convolution blocks and two full layers: (N, 3, 227, 227) standardised RGB -> (N, 512)."""

    input_size = 227
    features = 512

    def __init__(self, blocks: Sequence[nn.Module], dropout: float):
        super().__init__()
        self.block1, self.block2, self.block3 = blocks
        self.classifier = classifier(384 * 6 * 6, self.features, dropout)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.classifier(self.block3(self.block2(self.block1(images))))
        return features


def levi_hassner_tf(dropout: float = 0.0) -> LeviHassner:
    """Build the ports' default network, `levi_hassner`: local response normalisation after the first two pools."""
    conv1 = gaussian_conv(3, 96, 7, bias=0.0, stride=4)
    conv2 = gaussian_conv(96, 256, 5, bias=1.0, padding=2)
    conv3 = gaussian_conv(256, 384, 3, bias=0.0, padding=1)
    blocks = (
        nn.Sequential(conv1, nn.ReLU(), nn.MaxPool2d(3, stride=2), LocalResponseNorm(96)),
        nn.Sequential(conv2, nn.ReLU(), nn.MaxPool2d(3, stride=2), LocalResponseNorm(256)),
        nn.Sequential(conv3, nn.ReLU(), nn.MaxPool2d(3, stride=2)),
    )
    return LeviHassner(blocks, dropout)


def levi_hassner_bn(mode: Mode, dropout: float = 0.0) -> LeviHassner:
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
    return LeviHassner(blocks, dropout)


def gaussian_conv(
    inputs: int, outputs: int, kernel: int, *, bias: float | None, stride: int = 1, padding: int = 0
) -> nn.Conv2d:
    """Build a convolution with the authors' initialisers: weights N(0, 0.01), a constant bias or (None) no bias."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=bias is not None)
    nn.init.normal_(conv.weight, std=0.01)
    if bias is not None:
        nn.init.constant_(conv.bias, bias)  # type: ignore[arg-type]
    return conv
