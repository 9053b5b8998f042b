"""The softmax head: one logit per label value, cross-entropy."""

import torch
from torch import Tensor
from torch.nn import functional as F

from agegender.heads.head import Head
from agegender.tasks import Task


class SoftmaxHead(Head):
    """(N, D) features -> (N, K) logits. With `decision` "expectation" it is DEX (Rothe, Timofte, Van Gool, IJCV 2018).

    A label between two values counts as the nearer one.
    """

    reading = "the softmax is the probability of each label"

    def __init__(self, features: int, task: Task, *, decision: str = "argmax"):
        super().__init__(features, task, outputs=len(task.labels), decision=decision)

    def face_losses(self, logits: Tensor, labels: Tensor, sigmas: Tensor | None) -> Tensor:
        return F.cross_entropy(logits, self.index(labels), reduction="none")

    def posterior(self, logits: Tensor) -> Tensor:
        return torch.softmax(logits.float(), dim=1)
