"""The softmax head: one logit per label value, cross-entropy, the most probable value is the answer."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agegender.tasks import Task

NO_LABEL = -1  # a face without a label for the head's task; it adds nothing to the loss


class SoftmaxHead(nn.Linear):
    """(N, D) features -> (N, K) logits; weights N(0, 0.01), bias 0 (LMT and rude-carnie `model.py`)."""

    def __init__(self, features: int, task: Task):
        super().__init__(features, len(task.labels))
        self.task = task
        nn.init.normal_(self.weight, std=0.01)
        nn.init.zeros_(self.bias)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy over the faces with a label (int64 (N,), NO_LABEL where missing); 0 if none has one."""
        labelled = (labels != NO_LABEL).sum().clamp(min=1)
        return F.cross_entropy(logits, labels, ignore_index=NO_LABEL, reduction="sum") / labelled

    def posterior(self, logits: Tensor) -> Tensor:
        """Probabilities of the label values: (N, K), float32, rows sum to 1."""
        return torch.softmax(logits.float(), dim=1)

    def decide(self, posterior: Tensor) -> Tensor:
        """The answer: the index of the most probable label value, int64 (N,)."""
        return posterior.argmax(dim=1)
