"""The Levi-Hassner network as the TensorFlow ports have it: dpressel/rude-carnie and ivclab/agegenderLMTCNN `model.py`.

It is not the Caffe network of the paper (`gilnet`): floor pooling leaves a 6x6 map and the LRN window is 11 channels.
"""

from torch import Tensor, nn

from agegender.models.layers import LocalResponseNorm, classifier
from agegender.modes import Mode


class LeviHassner(nn.Module):
    """The trunk: (N, 3, 227, 227) standardised RGB -> (N, 512)."""

    input_size = 227
    features = 512

    def __init__(self, mode: Mode, dropout: float = 0.0):  # no batch norm: both modes are the same function
        super().__init__()
        conv1 = gaussian_conv(3, 96, 7, bias=0.0, stride=4)
        conv2 = gaussian_conv(96, 256, 5, bias=1.0, padding=2)
        conv3 = gaussian_conv(256, 384, 3, bias=0.0, padding=1)
        self.block1 = nn.Sequential(conv1, nn.ReLU(), nn.MaxPool2d(3, stride=2), LocalResponseNorm(96))
        self.block2 = nn.Sequential(conv2, nn.ReLU(), nn.MaxPool2d(3, stride=2), LocalResponseNorm(256))
        self.block3 = nn.Sequential(conv3, nn.ReLU(), nn.MaxPool2d(3, stride=2))
        self.classifier = classifier(384 * 6 * 6, self.features, dropout)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.classifier(self.block3(self.block2(self.block1(images))))
        return features


def gaussian_conv(
    inputs: int, outputs: int, kernel: int, *, bias: float, stride: int = 1, padding: int = 0
) -> nn.Conv2d:
    """Build a convolution with the authors' initialisers: weights N(0, 0.01), a constant bias (1 in conv2 only)."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding)
    nn.init.normal_(conv.weight, std=0.01)
    nn.init.constant_(conv.bias, bias)  # type: ignore[arg-type]
    return conv
