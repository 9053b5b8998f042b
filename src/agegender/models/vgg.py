"""VGG-16 and its narrow relatives: VGG-Face as it is, DLDL-v2's ThinAgeNet and TinyAgeNet without the full layers."""

from torch import Tensor, nn

from agegender.models.layers import values_after
from agegender.models.model import Model


class VGGFace(nn.Module):
    """VGG-Face's backbone, which is VGG-16 as far as its fc7: (N, 3, S, S), BGR in 0..255 less a mean -> (N, 4096).

    Layers and first weights are torchvision's: the authors' initial values were not found, and their trained weights
    cannot be had here. `dropout` falls on both full layers.
    """

    features = 4096

    def __init__(self, input_size: int, dropout: float):
        super().__init__()
        # Here, because its import takes a second that the other networks need not wait for.
        from torchvision.models import vgg16

        whole = vgg16(weights=None, dropout=dropout)
        self.layers = whole.features
        first, *others, _ = whole.classifier
        if (values := values_after(self.layers, input_size)) != first.in_features:
            first = nn.Linear(values, self.features)  # another size than the 224 pixels of the paper
            nn.init.normal_(first.weight, std=0.01)
            nn.init.zeros_(first.bias)
        self.classifier = nn.Sequential(nn.Flatten(), first, *others)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.classifier(self.layers(images))
        return features


class AgeNet(nn.Module):
    """ThinAgeNet (`width` 32) or TinyAgeNet (16) without its head: (N, 3, S, S) -> (N, 8 * width), S at least 32.

    gaobb/DLDL-v2 `models/hp_scratch.lua`: VGG-16's convolutions at a half or a quarter of their width, without bias,
    each with batch norm, and "hybrid pooling", a last maximum over 2x2 and then the mean over the map, which is 7x7 at
    the authors' 224 pixels and whatever is left at others. Weights begin at N(0, 2 / (9 * outputs)), as theirs do
    before they are trained on MS-Celeb-1M. The authors have no dropout; `dropout` falls on the pooled features.
    """

    def __init__(self, width: int, dropout: float):
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for outputs, count in ((width, 2), (2 * width, 2), (4 * width, 3), (8 * width, 3), (8 * width, 3)):
            for _ in range(count):
                conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
                nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
                layers += [conv, nn.BatchNorm2d(outputs), nn.ReLU()]
                inputs = outputs
            layers.append(nn.MaxPool2d(2))
        self.features = inputs
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout))

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.layers(images)
        return features


MODELS = (
    Model("vgg_face", lambda size, mode, dropout: VGGFace(size, dropout), 224),
    Model("thin_age", lambda size, mode, dropout: AgeNet(32, dropout), 224),
    Model("tiny_age", lambda size, mode, dropout: AgeNet(16, dropout), 224),
)
