"""A network: a backbone that reads faces and one head per task."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from agegender.errors import UserError
from agegender.heads.catalogue import create_head
from agegender.models.catalogue import get_model
from agegender.models.sizes import check_size, features_of
from agegender.modes import get_mode
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


def create_model(
    name: str,
    tasks: Sequence[str] = ("age", "gender"),
    mode: str = "sound",
    *,
    input_size: int | None = None,
    dropout: float = 0.0,
    heads: Mapping[str, str | Mapping[str, Any]] | None = None,
) -> Network:
    """Build a network with fresh weights (seed torch for repeatable ones).

    `name` is one of `list_models()`, or the `models.model.Model` at `package.module:object`; `tasks` one or more task
    names, a head each in this order; `mode` "sound" or "faithful" (the authors' batch norm: LMTCNN's keeps to batch
    statistics in evaluation too); `input_size` in pixels, None for the paper's; `dropout` 0..1; `heads` {task: name of
    a head, or {"name": name, its own options ...}}, softmax where not given.
    The network maps images (N, 3, S, S), float32, S = `input_size`, prepared as its systems say
    (`data.transforms.preprocessing`; most: RGB, each image standardised to mean 0 and deviation 1), to a dictionary
    {task: logits (N, K)}. Raises UserError for an unknown name, task, mode or head, for no task at all, and for a size
    that the backbone does not work on.
    """
    if not tasks:
        raise UserError(f"model '{name}' needs at least one task, such as tasks=[age]")
    model = get_model(name)
    size = model.input_size if input_size is None else input_size
    check_size(name, size)
    backbone = model.build(size, get_mode(mode), dropout)
    features = features_of(backbone)
    chosen = {task: (heads or {}).get(task, "softmax") for task in tasks}
    created = {
        task: create_head(**({"name": head} if isinstance(head, str) else head), features=features, task=get_task(task))
        for task, head in chosen.items()
    }
    if model.truncated_heads:
        for head in created.values():
            nn.init.trunc_normal_(head.weight, std=0.01, a=-0.02, b=0.02)
    return Network(backbone, created)
