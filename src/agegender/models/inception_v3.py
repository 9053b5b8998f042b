"""Inception v3 as rude-carnie trains it: slim's backbone under its own batch norm (dpressel/rude-carnie `model.py`).

The layers are torchvision's. Where they average-pool a map inside a block, the padding around it counts; in TensorFlow
it does not. rude-carnie starts from an ImageNet checkpoint; here the weights are fresh.
"""

from torch import nn

from agegender.models.layers import BetaBatchNorm2d
from agegender.models.model import Model
from agegender.modes import Mode

FEATURES = 2048


def inception_v3(input_size: int, mode: Mode, dropout: float) -> nn.Module:
    """Build the backbone: (N, 3, S, S) standardised RGB -> (N, 2048), `dropout` on the pooled features.

    Its batch norm gets `is_training`, so running statistics are used in evaluation in both modes; the faithful one
    estimates them at the authors' decay of 0.9997. No auxiliary classifier: `inception_v3_base` has none.
    """
    # Here, because its import takes a second that the other networks need not wait for.
    from torchvision.models import inception

    momentum = 1 - 0.9997 if mode.name == "faithful" else mode.batch_norm_momentum
    network: nn.Module = inception.inception_v3(weights=None, aux_logits=False, init_weights=False, dropout=dropout)
    for block in network.modules():
        if isinstance(block, inception.BasicConv2d):
            channels = block.bn.num_features
            block.bn = BetaBatchNorm2d(channels, batch_statistics=False, momentum=momentum)
            nn.init.trunc_normal_(block.conv.weight, std=0.1, a=-0.2, b=0.2)  # TensorFlow cuts at two deviations
    network.fc = nn.Identity()
    network.features = FEATURES  # type: ignore[assignment]
    return network


MODELS = (Model("inception_v3", inception_v3, 227, truncated_heads=True),)
