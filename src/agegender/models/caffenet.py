"""CaffeNet, the AlexNet-like network of Ozbulak et al.: BVLC/caffe `models/bvlc_reference_caffenet/train_val.prototxt`.

Their abstract says "generic AlexNet-like CNN", which is taken to mean this one; their layers were not found. No trained
weights of it can be had here.
"""

from torch import Tensor, nn

from agegender.models.layers import caffe_norm, caffe_pool, classifier, gaussian_conv, values_after
from agegender.models.model import Model


class CaffeNet(nn.Module):
    """The backbone: (N, 3, S, S), BGR in 0..255 less a mean -> (N, 4096).

    Unlike AlexNet it pools before it normalises. Convolutions 2, 4 and 5 are of two groups.
    """

    features = 4096

    def __init__(self, input_size: int, dropout: float):
        super().__init__()
        self.layers = nn.Sequential(
            *(gaussian_conv(3, 96, 11, bias=0.0, stride=4), nn.ReLU(), caffe_pool(), caffe_norm(96)),
            *(gaussian_conv(96, 256, 5, bias=1.0, padding=2, groups=2), nn.ReLU(), caffe_pool(), caffe_norm(256)),
            *(gaussian_conv(256, 384, 3, bias=0.0, padding=1), nn.ReLU()),
            *(gaussian_conv(384, 384, 3, bias=1.0, padding=1, groups=2), nn.ReLU()),
            *(gaussian_conv(384, 256, 3, bias=1.0, padding=1, groups=2), nn.ReLU(), caffe_pool()),
        )
        self.classifier = classifier(values_after(self.layers, input_size), self.features, dropout)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.classifier(self.layers(images))
        return features


MODELS = (Model("caffenet", lambda size, mode, dropout: CaffeNet(size, dropout), 227),)
