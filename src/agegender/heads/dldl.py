"""Deep label distribution learning (Gao et al., TIP 2017, and DLDL-v2, IJCAI 2018)."""

from torch import Tensor

from agegender.errors import UserError
from agegender.heads.head import check_number, check_sigma, divergence, expectation, normal_targets, sigmas_of
from agegender.heads.softmax import SoftmaxHead
from agegender.tasks import Task

SCALINGS = ("paper", "code")


class DldlHead(SoftmaxHead):
    """KL divergence of the posterior from a normal distribution about the label; the answer is the expectation.

    `sigma`, in label units, is the distribution's deviation, or "annotated": each face's own.
    """

    def __init__(self, features: int, task: Task, *, decision: str = "expectation", sigma: float | str = 2.0):
        super().__init__(features, task, decision=decision)
        self.sigma = check_sigma(sigma, task)

    def face_losses(self, logits: Tensor, labels: Tensor, sigmas: Tensor | None) -> Tensor:
        return divergence(logits, normal_targets(labels, self.values, sigmas_of(self.sigma, sigmas)))


class DldlV2Head(DldlHead):
    """DLDL-v2: KL + `l1_weight` * |E - y|, E the posterior's mean in label units.

    `scaling` "paper" weighs both as the formula does. In "code" the divergence is divided by the number of label
    values K too, as the authors' `KLDivCriterion` averages over every element: with 101 ages the L1 term weighs 101
    times more (reference 5.2). The L1 term counts from the share `l1_from` of the training steps on: the authors train
    with the divergence alone first and go on with both for as long.
    """

    def __init__(
        self,
        features: int,
        task: Task,
        *,
        decision: str = "expectation",
        sigma: float | str = 2.0,
        l1_weight: float = 1.0,
        l1_from: float = 0.0,
        scaling: str = "paper",
    ):
        super().__init__(features, task, decision=decision, sigma=sigma)
        if scaling not in SCALINGS:
            raise UserError(f"scaling={scaling} of the head of {task.name}: choose from {', '.join(SCALINGS)}")
        self.l1_weight = check_number("l1_weight", l1_weight, task)
        self.l1_from = check_number("l1_from", l1_from, task)
        self.share = 1 / len(task.labels) if scaling == "code" else 1.0

    def face_losses(self, logits: Tensor, labels: Tensor, sigmas: Tensor | None) -> Tensor:
        error = (expectation(self.posterior(logits), self.values) - labels).abs()
        weight = self.l1_weight * (self.progress >= self.l1_from)
        return self.share * super().face_losses(logits, labels, sigmas) + weight * error
