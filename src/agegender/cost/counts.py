"""What a network costs by arithmetic alone: parameters, MACs, activations, bytes."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

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
    macs: list[int] = []
    activations: list[int] = []

    def note(layer: nn.Conv2d | nn.Linear, inputs: object, output: Tensor) -> None:
        """Each weight is multiplied once at every place of the output."""
        places = output.shape[2:] if isinstance(layer, nn.Conv2d) else output.shape[1:-1]
        macs.append(layer.weight.numel() * places.numel())
        activations.append(output.numel())

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(note)
    with torch.no_grad():
        network(image)
    parameters = sum(p.numel() for p in network.parameters())
    state = sum(t.numel() for name, t in network.state_dict().items() if not name.endswith("num_batches_tracked"))
    return Counts(parameters, sum(macs), sum(activations), FLOAT32 * state)
