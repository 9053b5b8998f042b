"""What networks are counted by."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from agegender.models.layers import LocalResponseNorm


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def macs(network: nn.Module, size: int = 227) -> int:
    """By torch's own counter of operations: a check that shares nothing with `cost.counts`, which counts by layers."""
    counter = FlopCounterMode(display=False)
    # LRN is a fixed operation of the architecture and does not count (design: convolutions and linear layers only).
    for module in network.modules():
        if isinstance(module, LocalResponseNorm):
            module.forward = lambda x: x  # type: ignore[method-assign]
    with counter, torch.inference_mode():
        network.eval()(torch.zeros(1, 3, size, size))
    return counter.get_total_flops() // 2


def layers(network: nn.Module) -> list[nn.Module]:
    """The layers with weights, in the order of the graph."""
    return [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.BatchNorm2d, nn.Linear))]


def moving_statistics(network: nn.Module) -> int:
    return sum(b.numel() for n, b in network.named_buffers() if "running" in n)
