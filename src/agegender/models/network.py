"""A network: a trunk that reads faces and one head per task."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from agegender.errors import UserError
from agegender.heads import create_head
from agegender.models.caffenet import CaffeNet
from agegender.models.inception_v3 import inception_v3
from agegender.models.levi_hassner import gilnet, levi_hassner_bn, levi_hassner_tf
from agegender.models.lmtcnn import LMTCNN
from agegender.models.mobilenet_v1 import MobileNetV1
from agegender.models.today import TRUNKS, today
from agegender.models.vgg import AgeNet, VGGFace
from agegender.modes import Mode, get_mode
from agegender.tasks import get_task


class Network(nn.Module):
    """Backbone and heads: images (N, 3, S, S) float32 -> {task name: logits (N, K)}."""

    def __init__(self, backbone: nn.Module, heads: Mapping[str, nn.Module]):
        super().__init__()
        self.backbone = backbone
        self.heads = nn.ModuleDict(heads)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        features = self.backbone(images)
        return {task: head(features) for task, head in self.heads.items()}


BACKBONES: dict[str, Callable[[Mode, float], nn.Module]] = {
    "lmtcnn_1_1": lambda mode, dropout: LMTCNN((256, 384), mode, dropout),
    "lmtcnn_2_1": lambda mode, dropout: LMTCNN((512, 384), mode, dropout),
    "mobilenet_v1": MobileNetV1,
    # Those that do not ask for the mode are one function in both: no batch norm, or torch's own.
    "gilnet": lambda _, dropout: gilnet(dropout),
    "levi_hassner_tf": lambda _, dropout: levi_hassner_tf(dropout),
    "levi_hassner_bn": levi_hassner_bn,
    "inception_v3": inception_v3,
    "caffenet": lambda _, dropout: CaffeNet(dropout),
    "vgg_face": lambda _, dropout: VGGFace(dropout),
    "thin_age": lambda _, dropout: AgeNet(32, dropout),
    "tiny_age": lambda _, dropout: AgeNet(16, dropout),
    **{name: partial(today, name) for name in TRUNKS},
}
# Heads start at N(0, 0.01); over these trunks the authors cut that distribution at two deviations.
TRUNCATED_HEADS = ("mobilenet_v1", "inception_v3")


def list_models() -> list[str]:
    """Names that `create_model` accepts: the networks of the papers, then those of torchvision."""
    return list(BACKBONES)


def create_model(
    name: str,
    tasks: Sequence[str] = ("age", "gender"),
    mode: str = "sound",
    *,
    dropout: float = 0.0,
    heads: Mapping[str, str | Mapping[str, Any]] | None = None,
) -> Network:
    """Build a network with fresh weights (seed torch for repeatable ones).

    `name` is one of `list_models()`; `tasks` one or more task names, a head each in this order; `mode` "sound" or
    "faithful" (the authors' batch norm: LMTCNN's keeps to batch statistics in evaluation too); `dropout` 0..1; `heads`
    {task: name of a head, or {"name": name, its own options ...}}, softmax where not given.
    The network maps images (N, 3, S, S), float32, of the size in `conf/model/<name>.yaml` and prepared as its systems
    say (`data.preprocessing`; most: RGB, each image standardised to mean 0 and deviation 1), to a dictionary
    {task: logits (N, K)}. Raises UserError for an unknown name, task, mode or head, or no task at all.
    """
    if name not in BACKBONES:
        raise UserError(f"there is no model '{name}': choose from {', '.join(BACKBONES)}")
    if not tasks:
        raise UserError(f"model '{name}' needs at least one task, such as tasks=[age]")
    backbone = BACKBONES[name](get_mode(mode), dropout)
    features: int = backbone.features  # type: ignore[assignment]
    chosen = {task: (heads or {}).get(task, "softmax") for task in tasks}
    created = {
        task: create_head(**({"name": head} if isinstance(head, str) else head), features=features, task=get_task(task))
        for task, head in chosen.items()
    }
    if name in TRUNCATED_HEADS:
        for head in created.values():
            nn.init.trunc_normal_(head.weight, std=0.01, a=-0.02, b=0.02)
    return Network(backbone, created)
