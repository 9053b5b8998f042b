"""Ranking: is the label above this value? One yes or no for every label value but the last."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agegender.heads.head import Head
from agegender.tasks import Task


class RankingHead(Head):
    """K - 1 binary classifiers (OR-CNN: Niu et al., CVPR 2016), logits (N, K - 1), the sum of their cross-entropies.

    The answer is the number of values that are exceeded with a probability above one half: "median" (Ranking-CNN: Chen
    et al., CVPR 2017, counts likewise, but trains a network per value). The K - 1 answers may contradict each other;
    for the posterior they are put into falling order, which changes neither their count nor the expectation.
    """

    reading = "the sigmoid is the probability that the label is above each label but the last"

    def __init__(self, features: int, task: Task, *, decision: str = "median"):
        super().__init__(features, task, outputs=len(task.labels) - 1, decision=decision)

    def levels(self, labels: Tensor) -> Tensor:
        """The targets, 1 where the label (the nearest value to it) is above the value: (N,) -> (N, K - 1)."""
        return (self.index(labels)[:, None] > torch.arange(len(self.values) - 1, device=labels.device)).float()

    def face_losses(self, logits: Tensor, labels: Tensor, sigmas: Tensor | None) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, self.levels(labels), reduction="none").sum(dim=1)

    def exceeded(self, logits: Tensor) -> Tensor:
        """Probabilities that the label is above each value but the last: (N, K - 1)."""
        return torch.sigmoid(logits.float())

    def posterior(self, logits: Tensor) -> Tensor:
        above = self.exceeded(logits).sort(dim=1, descending=True).values
        return F.pad(above, (1, 0), value=1.0) - F.pad(above, (0, 1), value=0.0)


class CoralHead(RankingHead):
    """CORAL (Cao, Mirjalili, Raschka, PRL 2020): the K - 1 classifiers share their weights and differ in a bias.

    The biases start in falling order between 1 and 0, as in coral-pytorch (`CoralLayer`).
    """

    def __init__(self, features: int, task: Task, *, decision: str = "median"):
        Head.__init__(self, features, task, outputs=1, decision=decision, bias=False)
        count = len(task.labels) - 1
        self.thresholds = nn.Parameter(torch.arange(count, 0, -1) / count)

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) + self.thresholds


class CornHead(RankingHead):
    """CORN (Shi, Cao, Raschka, 2021): each classifier answers for the faces above the value before its own.

    The loss is the mean over all those answers; the product of the probabilities never rises from value to value.
    """

    reading = "the product of the sigmoids up to each is the probability that the label is above it"

    def _asked(self, labels: Tensor) -> Tensor:
        return F.pad(self.levels(labels), (1, 0), value=1.0)[:, :-1]

    def face_losses(self, logits: Tensor, labels: Tensor, sigmas: Tensor | None) -> Tensor:
        losses = F.binary_cross_entropy_with_logits(logits, self.levels(labels), reduction="none")
        return (losses * self._asked(labels)).sum(dim=1)

    def terms(self, labels: Tensor) -> Tensor:
        return self._asked(labels).sum(dim=1)

    def exceeded(self, logits: Tensor) -> Tensor:
        return torch.sigmoid(logits.float()).cumprod(dim=1)
