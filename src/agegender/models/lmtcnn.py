"""LMTCNN (Lee, Chan, Chen, Chen, MIPR 2018), from the graph of the authors' code: ivclab/agegenderLMTCNN `model.py`."""

from functools import partial

from torch import Tensor, nn

from agegender.models.layers import BetaBatchNorm2d, LocalResponseNorm, classifier, values_after, xavier
from agegender.models.model import Model
from agegender.modes import Mode


class LMTCNN(nn.Module):
    """The backbone: (N, 3, S, S) standardised RGB -> (N, 512).

    `widths` are the outputs of the two separable blocks: (256, 384) is the paper's 1-1, (512, 384) its 2-1. The names
    are width multipliers of (256, 384); the depthwise multiplier is always 1.
    """

    features = 512

    def __init__(self, widths: tuple[int, int], input_size: int, mode: Mode, dropout: float):
        super().__init__()
        first, second = widths
        conv1 = xavier(nn.Conv2d(3, 96, 7, stride=4))
        self.stem = nn.Sequential(conv1, nn.ReLU(), nn.MaxPool2d(3, stride=2), LocalResponseNorm(96))
        self.block1 = separable(96, first, stride=1, mode=mode)
        self.block2 = separable(first, second, stride=2, mode=mode)
        self.pool = nn.MaxPool2d(3, stride=2)
        layers = nn.Sequential(self.stem, self.block1, self.block2, self.pool)
        self.classifier = classifier(values_after(layers, input_size), self.features, dropout)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.classifier(self.pool(self.block2(self.block1(self.stem(images)))))
        return features


def separable(inputs: int, outputs: int, stride: int, mode: Mode) -> nn.Sequential:
    """Depthwise 3x3 then pointwise 1x1, each with bias, ReLU and only then batch norm, as slim orders them here.

    Padding 1 equals TensorFlow's SAME at 27 -> 27 (stride 1) and 27 -> 14 (stride 2): one pixel on either side.
    """
    layers: list[nn.Module] = []
    for conv in (nn.Conv2d(inputs, inputs, 3, stride, padding=1, groups=inputs), nn.Conv2d(inputs, outputs, 1)):
        norm = BetaBatchNorm2d(
            conv.out_channels, batch_statistics=mode.batch_statistics, momentum=mode.batch_norm_momentum
        )
        layers += [xavier(conv), nn.ReLU(), norm]
    return nn.Sequential(*layers)


MODELS = (
    Model("lmtcnn_1_1", partial(LMTCNN, (256, 384)), 227),
    Model("lmtcnn_2_1", partial(LMTCNN, (512, 384)), 227),
)
