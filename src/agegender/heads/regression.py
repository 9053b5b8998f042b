"""Regression: one number per face, its loss a function of the distance from the label."""

from torch import Tensor

from agegender.errors import UserError
from agegender.heads.head import Head
from agegender.tasks import Task

NORMS = ("l1", "l2")


class RegressionHead(Head):
    """(N, D) features -> (N, 1): the label value on a scale from -1 (the first value) to 1 (the last).

    On that scale the loss is |error| (`norm` "l1") or error^2 ("l2"), so that its size does not depend on the unit. The
    posterior lies on the two label values around the answer, or on the end of the scale beyond it, and has it as mean.
    """

    reading = "the label on a scale from -1, the first, to 1, the last"

    def __init__(self, features: int, task: Task, *, norm: str = "l1", decision: str = "expectation"):
        super().__init__(features, task, outputs=1, decision=decision)
        if norm not in NORMS:
            raise UserError(f"norm={norm} of the head of {task.name}: choose from {', '.join(NORMS)}")
        self.norm = norm
        self.reach = (task.values[-1] - task.values[0]) / 2

    def face_losses(self, logits: Tensor, labels: Tensor, sigmas: Tensor | None) -> Tensor:
        error = logits[:, 0] - ((labels - self.task.first) / self.reach - 1)
        return error.abs() if self.norm == "l1" else error**2

    def posterior(self, logits: Tensor) -> Tensor:
        value = self.task.first + self.reach * (1 + logits.float().clamp(-1, 1))
        return (1 - (self.values - value).abs() / self.task.step).clamp(min=0)
