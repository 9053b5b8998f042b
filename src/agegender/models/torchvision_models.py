"""What a user would pick today instead of a paper's network: torchvision's small ones, without their classifiers.

The layers, and how they are initialised, are torchvision's own; the weights are fresh, so a row of theirs is not a
network fine-tuned from ImageNet. Their batch norm has a scale and uses running statistics in both modes.
"""

from torch import Tensor, nn

from agegender.modes import Mode

# Features of each backbone, and the layer that reads them.
TRUNKS = {
    "mobilenet_v3_small": (576, "classifier"),
    "shufflenet_v2": (1024, "fc"),
    "efficientnet_b0": (1280, "classifier"),
    "resnet18": (512, "fc"),
}
OF_TORCHVISION = {"shufflenet_v2": "shufflenet_v2_x1_0"}  # where torchvision's name says the width too


class Backbone(nn.Module):
    """The backbone: (N, 3, S, S) standardised RGB -> (N, D) pooled features, with `dropout` on them."""

    def __init__(self, name: str, dropout: float = 0.0):
        super().__init__()
        # Here, because its import takes a second that the other networks need not wait for.
        from torchvision import models

        self.features, classifier = TRUNKS[name]
        self.layers: nn.Module = models.get_model(OF_TORCHVISION.get(name, name), weights=None)
        setattr(self.layers, classifier, nn.Dropout(dropout))

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.layers(images)
        return features


def today(name: str, mode: Mode, dropout: float) -> Backbone:
    """Build a backbone of this name, the same in both modes."""
    return Backbone(name, dropout)
