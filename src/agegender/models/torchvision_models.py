"""Torchvision's small networks, a baseline for those of the papers, without their classifiers.

The layers, and how they are initialised, are torchvision's own; the weights are fresh, so a row of theirs is not a
network fine-tuned from ImageNet. Their batch norm has a scale and uses running statistics in both modes.
"""

from torch import Tensor, nn

from agegender.models.model import Builder, Model


class TorchvisionBackbone(nn.Module):
    """The backbone: (N, 3, S, S) standardised RGB -> (N, features) pooled features, with `dropout` on them.

    `name` is torchvision's; `classifier` is the attribute that holds the layers after the features.
    """

    def __init__(self, name: str, features: int, classifier: str, dropout: float):
        super().__init__()
        # Here, because its import takes a second that the other networks need not wait for.
        from torchvision import models

        self.features = features
        self.layers: nn.Module = models.get_model(name, weights=None)
        setattr(self.layers, classifier, nn.Dropout(dropout))

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.layers(images)
        return features


def builder(name: str, features: int, classifier: str) -> Builder:
    """The same backbone for every size and in both modes."""
    return lambda input_size, mode, dropout: TorchvisionBackbone(name, features, classifier, dropout)


MODELS = (
    Model("mobilenet_v3_small", builder("mobilenet_v3_small", 576, "classifier"), 227),
    Model("shufflenet_v2", builder("shufflenet_v2_x1_0", 1024, "fc"), 227),
    Model("efficientnet_b0", builder("efficientnet_b0", 1280, "classifier"), 227),
    Model("resnet18", builder("resnet18", 512, "fc"), 227),
)
