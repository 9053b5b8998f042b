"""Layers the papers' networks share and torch does not have in the authors' form."""

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F


class LocalResponseNorm(nn.Module):
    """TensorFlow's local response normalisation: x / (bias + alpha * sum of x^2 over 2*radius+1 channels)^0.75.

    alpha is not divided by the window (torch's `LocalResponseNorm(2r+1, alpha=(2r+1)*alpha, k=bias)` is the same
    function). The sum over channels is a convolution with a fixed band matrix and x^-0.75 is taken through square
    roots: `local_response_norm` would be exported as a 3-D pooling that mobile runtimes lack, and `pow` is slow there.
    Shapes: (N, C, H, W) -> (N, C, H, W).
    """

    band: Tensor

    def __init__(self, channels: int, radius: int = 5, alpha: float = 1e-4, bias: float = 1.0):
        super().__init__()
        self.bias = bias
        channel = torch.arange(channels)
        near = (channel[:, None] - channel[None, :]).abs() <= radius
        # A constant of the architecture, not a weight: rebuilt by the constructor, so it stays out of the state dict.
        self.register_buffer("band", (alpha * near.float())[:, :, None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        root = torch.rsqrt(self.bias + F.conv2d(x * x, self.band))
        return x * root * torch.sqrt(root)


class BetaBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation with a shift (beta) and no scale, slim's default: eps 1e-3 (LMT `model.py`).

    `batch_statistics=True` keeps to the statistics of the present batch in evaluation too, as the authors' graph does
    (its batch norm never gets `is_training`); the answers then depend on the other faces of the batch.
    """

    def __init__(self, channels: int, *, batch_statistics: bool, momentum: float):
        super().__init__(channels, eps=1e-3, momentum=momentum)
        self.register_parameter("weight", None)
        self.batch_statistics = batch_statistics

    def reset_parameters(self) -> None:
        """Reset beta and the running statistics (torch's own version expects a scale)."""
        self.reset_running_stats()
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        if self.training or not self.batch_statistics:
            return super().forward(x)
        return F.batch_norm(x, None, None, None, self.bias, training=True, eps=self.eps)


def caffe_norm(channels: int) -> LocalResponseNorm:
    """Build Caffe's LRN layer with `local_size` 5, `alpha` 1e-4, `beta` 0.75, as GilNet and CaffeNet have it.

    Caffe divides alpha by the window: `alpha_over_size` in `src/caffe/layers/lrn_layer.cpp`.
    """
    return LocalResponseNorm(channels, radius=2, alpha=1e-4 / 5)


def caffe_pool() -> nn.MaxPool2d:
    """Build Caffe's max pooling of 3x3 at stride 2, which rounds the size of the map up."""
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


def gaussian_conv(
    inputs: int, outputs: int, kernel: int, *, bias: float | None, stride: int = 1, padding: int = 0, groups: int = 1
) -> nn.Conv2d:
    """Build a convolution of Caffe's or Levi and Hassner's networks: weights N(0, 0.01), a constant bias or None."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=bias is not None)
    nn.init.normal_(conv.weight, std=0.01)
    if bias is not None:
        nn.init.constant_(conv.bias, bias)  # type: ignore[arg-type]
    return conv


def xavier(conv: nn.Conv2d) -> nn.Conv2d:
    """Give a convolution with bias the initial values of LMT `model.py`: Xavier's uniform weights, biases 0."""
    nn.init.xavier_uniform_(conv.weight)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv


def classifier(features: int, width: int, dropout: float) -> nn.Sequential:
    """Build two fully connected layers: weights N(0, 0.005), bias 1 (LMT `model.py`; Caffe's fc6, fc7)."""
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs in (features, width):
        linear = nn.Linear(inputs, width)
        nn.init.normal_(linear.weight, std=0.005)
        nn.init.ones_(linear.bias)
        layers += [linear, nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers)


def values_after(layers: nn.Module, input_size: int) -> int:
    """How many values `layers` make of a face of (input_size, input_size) pixels, found by shapes alone.

    RuntimeError where the face is too small for them.
    """
    tensors = {name: tensor.to("meta") for name, tensor in (*layers.named_parameters(), *layers.named_buffers())}
    with torch.no_grad():
        maps: Tensor = functional_call(layers, tensors, torch.empty(2, 3, input_size, input_size, device="meta"))
    return maps[0].numel()
