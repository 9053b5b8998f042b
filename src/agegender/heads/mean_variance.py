"""Mean-variance loss (Pan, Han, Shan, Chen, CVPR 2018): cross-entropy, and a narrow posterior about the true label."""

from torch import Tensor

from agegender.heads.head import check_number, expectation
from agegender.heads.softmax import SoftmaxHead
from agegender.tasks import Task


class MeanVarianceHead(SoftmaxHead):
    """Adds `mean_weight` / 2 * (E - y)^2 + `variance_weight` * Var to the cross-entropy, in label units.

    E and Var are the mean and the variance of the posterior. The weights 0.2 and 0.05, and the answer E, are those of
    the implementation of Herosan163/AgeEstimation (`main.py`, `mean_variance_loss.py`).
    """

    def __init__(
        self,
        features: int,
        task: Task,
        *,
        decision: str = "expectation",
        mean_weight: float = 0.2,
        variance_weight: float = 0.05,
    ):
        super().__init__(features, task, decision=decision)
        self.mean_weight = check_number("mean_weight", mean_weight, task)
        self.variance_weight = check_number("variance_weight", variance_weight, task)

    def face_losses(self, logits: Tensor, labels: Tensor, sigmas: Tensor | None) -> Tensor:
        posterior = self.posterior(logits)
        mean = expectation(posterior, self.values)
        variance = (posterior * (self.values - mean[:, None]) ** 2).sum(dim=1)
        penalty = self.mean_weight / 2 * (mean - labels) ** 2 + self.variance_weight * variance
        return super().face_losses(logits, labels, sigmas) + penalty
