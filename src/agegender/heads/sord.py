"""Soft ordinal labels (SORD: Diaz, Marathe, CVPR 2019): the target falls off with the distance from the true label."""

from torch import Tensor

from agegender.heads.head import check_number, divergence, normal_targets
from agegender.heads.softmax import SoftmaxHead
from agegender.tasks import Task


class SordHead(SoftmaxHead):
    """Target: softmax over k of -`alpha` * ((l_k - y) / step)^2; loss: KL divergence, the cross-entropy but a constant.

    With squared distances that is the label distribution of DLDL at sigma = step / sqrt(2 alpha).
    """

    def __init__(self, features: int, task: Task, *, decision: str = "argmax", alpha: float = 1.0):
        super().__init__(features, task, decision=decision)
        self.alpha = check_number("alpha", alpha, task, low=1e-6)

    def face_losses(self, logits: Tensor, labels: Tensor, sigmas: Tensor | None) -> Tensor:
        sigma = self.task.step / (2 * self.alpha) ** 0.5
        return divergence(logits, normal_targets(labels, self.values, sigma))
