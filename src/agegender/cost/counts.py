"""What a network costs by arithmetic alone: parameters, MACs, activations, bytes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from agegender.models.layers import LocalResponseNorm

FLOAT32 = 4  # bytes


@dataclass(frozen=True)
class Counts:
    """Of one face. MACs and activations are those of convolutions and linear layers only, without biases.

    `activations` are the values these layers put out (Radosavovic et al., CVPR 2020, section 3.2, counts them so for
    convolutions). `bytes` are the parameters and the running statistics of batch norm in float32.
    """

    parameters: int
    macs: int
    activations: int
    bytes: int


def count(build: Callable[[], nn.Module], size: int) -> Counts:
    """Count a network that `build` makes, which sees faces of `size` pixels; it is built without any numbers in it."""
    with torch.device("meta"):
        network = build().eval()
        image = torch.zeros(1, 3, size, size)
    outputs: list[int] = []
    names = {module: name for name, module in network.named_modules()}
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(lambda *call: outputs.append(call[2].numel()))
    counter: Any = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network(image)
    flops = counter.get_flop_counts()
    total = sum(flops["Global"].values())
    # A fixed operation of the architecture, whose sum over channels is written as a convolution.
    normalisations = [names[module] for module in names if isinstance(module, LocalResponseNorm)]
    root = type(network).__name__
    total -= sum(sum(flops.get(f"{root}.{name}", {}).values()) for name in normalisations)
    parameters = sum(p.numel() for p in network.parameters())
    state = sum(t.numel() for name, t in network.state_dict().items() if not name.endswith("num_batches_tracked"))
    return Counts(parameters, total // 2, sum(outputs), FLOAT32 * state)
