"""Replaces batch norms by convolutions, as the mobile runtimes have no batch norm."""

from typing import Any

import torch
from torch import fx
from torch.nn.utils.fusion import fuse_conv_bn_weights

from agegender.runtimes.runtime import Conversion

aten = torch.ops.aten


def without_norms(conversion: Conversion) -> fx.GraphModule:
    """Export the network for the example's batch size with its batch norms made convolutions.

    Those after a convolution fold into it; the others, after a ReLU, become a depthwise convolution of 1x1. The mobile
    runtimes have no batch norm. ExecuTorch's own rewriting fails on norms without a scale (two of them get constants of
    one name), and both quantisers lose precision per channel: one leaves a norm in float32, the other quantises its
    constants with one range for all channels.
    """
    network: Any = torch.export.export(conversion.model, (conversion.example,)).module()
    graph = network.graph
    for node in list(graph.nodes):
        if node.target != aten.batch_norm.default or node.args[5]:  # [5]: statistics of the batch, nothing to fold
            continue
        source = node.args[0]
        scale, shift, mean, variance = (_constant(network, constant) for constant in node.args[1:5])
        if source.target == aten.conv2d.default and len(source.users) == 1:
            image, weight, bias, *rest = (*source.args, None)[: max(3, len(source.args))]
            kernel, offset = _constant(network, weight), _constant(network, bias)
        else:
            image, kernel, offset = source, torch.ones(len(mean), 1, 1, 1), None
            rest = [[1, 1], [0, 0], [1, 1], len(mean)]  # stride, padding, dilation, groups
        fused = fuse_conv_bn_weights(kernel, offset, mean, variance, node.args[7], scale, shift)
        with graph.inserting_before(node):
            constants = []
            for name, value in zip(("weight", "bias"), fused, strict=True):
                network.register_buffer(f"{node.name}_{name}", value.detach())
                constants.append(graph.get_attr(f"{node.name}_{name}"))
                constants[-1].meta["val"] = value.detach()  # the quantiser reads its shape
            folded = graph.call_function(aten.conv2d.default, (image, *constants, *rest))
        folded.meta = dict(node.meta)
        node.replace_all_uses_with(folded)
        graph.erase_node(node)
    graph.eliminate_dead_code()
    network.delete_all_unused_submodules()
    network.recompile()
    exported: fx.GraphModule = network
    return exported


def _constant(network: fx.GraphModule, node: fx.Node | None) -> Any:
    """The tensor that a node of the graph stands for, None for none."""
    if node is None:
        return None
    value: Any = network
    for part in str(node.target).split("."):
        value = getattr(value, part)
    return value
