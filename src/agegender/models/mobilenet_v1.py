"""MobileNet v1 as the LMTCNN authors built it: `mobilenet_multitask` in ivclab/agegenderLMTCNN `model.py`.

Unlike the network of Howard et al. (arXiv 1704.04861) its convolutions have biases, its batch norm has no scale, and a
face of 227 pixels leaves an 8x8 map, of which the 7x7 average pool sees all but the last row and column.
"""

from torch import Tensor, nn

from agegender.models.layers import BetaBatchNorm2d, xavier
from agegender.models.model import Model
from agegender.modes import Mode

# Outputs and stride of the separable blocks, `conv_ds_2` to `conv_ds_14`.
BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))


class MobileNetV1(nn.Module):
    """The backbone: (N, 3, S, S) standardised RGB -> (N, 1024).

    Batch norm gets `is_training` here, so running statistics are used in evaluation in both modes, estimated at slim's
    decay of 0.999 in the faithful one (the 0.9997 in the authors' function is never used). `dropout` falls on the
    pooled features; the authors' graph has none. A map that is not of 8x8 is averaged whole.
    """

    features = 1024

    def __init__(self, input_size: int, mode: Mode, dropout: float):
        super().__init__()
        blocks = [nn.Sequential(*convolution(3, 32, 3, mode, stride=2, size=input_size))]
        inputs, size = 32, (input_size + 1) // 2
        for outputs, stride in BLOCKS:
            depthwise = convolution(inputs, inputs, 3, mode, stride=stride, size=size, groups=inputs)
            size = -(-size // stride)
            blocks.append(nn.Sequential(*depthwise, *convolution(inputs, outputs, 1, mode, size=size)))
            inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.Sequential(nn.AvgPool2d(7 if size == 8 else size), nn.Flatten(), nn.Dropout(dropout))

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.pool(self.blocks(images))
        return features


def convolution(
    inputs: int, outputs: int, kernel: int, mode: Mode, *, size: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """Build convolution with bias, batch norm and ReLU for a map of `size`, padded as TensorFlow's SAME pads.

    A 3x3 convolution of stride 2 pads an odd map by one pixel all round, but an even one only below and on the right.
    """
    lopsided = stride == 2 and size % 2 == 0
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=0 if lopsided else kernel // 2, groups=groups)
    norm = BetaBatchNorm2d(outputs, batch_statistics=False, momentum=mode.batch_norm_momentum)
    padding = [nn.ZeroPad2d((0, 1, 0, 1))] if lopsided else []
    return [*padding, xavier(conv), norm, nn.ReLU()]


MODELS = (Model("mobilenet_v1", MobileNetV1, 227, truncated_heads=True),)
