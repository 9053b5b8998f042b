"""What every head is: a linear layer that knows its loss, its posterior over label values and its decision rule."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agegender.errors import UserError
from agegender.tasks import ANNOTATED, NO_LABEL, Task

DECISIONS = ("argmax", "expectation", "median")


class Head(nn.Linear, ABC):
    """(N, D) features -> (N, outputs) logits; weights N(0, 0.01), bias 0 (LMT and rude-carnie `model.py`).

    A head of a paper says in `face_losses` what it minimises and in `posterior` what its logits mean. Its `decision`
    makes an answer of the posterior: the most probable value ("argmax"), the mean ("expectation") or the first value
    that is not exceeded with a probability above one half ("median"). UserError for any other decision.
    """

    reading = ""  # what an exported file says of its logits: how they become probabilities of the label values
    values: Tensor
    progress: Tensor

    def __init__(self, features: int, task: Task, *, outputs: int, decision: str, bias: bool = True):
        super().__init__(features, outputs, bias=bias)
        if decision not in DECISIONS:
            raise UserError(f"decision={decision} of the head of {task.name}: choose from {', '.join(DECISIONS)}")
        self.task, self.decision = task, decision
        self.register_buffer("values", torch.tensor(task.values), persistent=False)
        # The share of the training steps that are over, 0..1, for losses in stages; the training sets it.
        self.register_buffer("progress", torch.zeros(()), persistent=False)
        nn.init.normal_(self.weight, std=0.01)
        if bias:
            nn.init.zeros_(self.bias)

    @abstractmethod
    def face_losses(self, logits: Tensor, labels: Tensor, sigmas: Tensor | None) -> Tensor:
        """Each face's loss (N,): logits float32 (N, outputs); labels and sigmas float32 (N,), in label units."""

    @abstractmethod
    def posterior(self, logits: Tensor) -> Tensor:
        """Probabilities of the label values: (N, K), float32, rows sum to 1."""

    def terms(self, labels: Tensor) -> Tensor:
        """How many terms each face has in the mean that the loss is (N,)."""
        return torch.ones_like(labels)

    def loss(self, logits: Tensor, labels: Tensor, sigmas: Tensor | None = None) -> Tensor:
        """Mean loss of the faces with a label (float32 (N,), NO_LABEL where missing); 0 if none has one.

        `sigmas`, float32 (N,), are the standard deviations of the labels where the data set names them.
        """
        labelled = labels != NO_LABEL
        known = torch.where(labelled, labels, self.task.first)
        losses = self.face_losses(logits.float(), known, sigmas)
        return (losses * labelled).sum() / (self.terms(known) * labelled).sum().clamp(min=1)

    def decide(self, posterior: Tensor) -> Tensor:
        """The answer: of a measured task a number in its unit, float32 (N,), or else the label's index, int64 (N,)."""
        if self.decision == "expectation":
            mean = expectation(posterior, self.values)
            return mean if self.task.measured else mean.round().long()
        index = posterior.argmax(dim=1) if self.decision == "argmax" else (posterior.cumsum(dim=1) < 0.5).sum(dim=1)
        index = index.clamp(max=len(self.values) - 1)  # rounding may leave the whole sum below one half
        return self.values.to(index.device)[index] if self.task.measured else index

    def index(self, labels: Tensor) -> Tensor:
        """The nearest label value's number, int64 (N,)."""
        return ((labels - self.task.first) / self.task.step).round().long()


def expectation(posterior: Tensor, values: Tensor) -> Tensor:
    """The mean of each posterior, (N, K) over values (K,) -> (N,): no matrix product, which autocast would round."""
    return (posterior * values.to(posterior.device)).sum(dim=1)


def normal_targets(labels: Tensor, values: Tensor, sigmas: Tensor | float) -> Tensor:
    """Label distributions (N, K): exp(-(l_k - y)^2 / (2 sigma^2)), normalised over the label values l_k.

    DLDL-v2 (the authors' code, reference 5.2). `labels` (N,) and `sigmas` (N,), or one for all, in label units.
    """
    spread = sigmas[:, None] if isinstance(sigmas, Tensor) else sigmas
    return torch.softmax(-((values - labels[:, None]) ** 2) / (2 * spread**2), dim=1)


def divergence(logits: Tensor, targets: Tensor) -> Tensor:
    """KL(target || softmax of the logits) of each face: (N, K), (N, K) -> (N,)."""
    return F.kl_div(F.log_softmax(logits, dim=1), targets, reduction="none").sum(dim=1)


def check_sigma(sigma: float | str, task: Task) -> float | str:
    """Return a head's `sigma`; UserError unless it is above 0 or "annotated"."""
    if sigma == ANNOTATED or (isinstance(sigma, int | float) and 0 < sigma < float("inf")):
        return sigma
    raise UserError(
        f"sigma={sigma} of the head of {task.name}: give a number above 0, in {task.unit or 'groups'}, or {ANNOTATED}"
    )


def check_number(name: str, value: float, task: Task, *, low: float = 0.0) -> float:
    """Return an option of a head; UserError unless it is a number of at least `low`."""
    if isinstance(value, int | float) and low <= value < float("inf"):
        return value
    raise UserError(f"{name}={value} of the head of {task.name}: give a number of at least {low:g}")


def sigmas_of(sigma: float | str, annotated: Tensor | None) -> Tensor | float:
    """The sigmas that a head with this setting uses; RuntimeError where it wants annotated ones and there are none."""
    if isinstance(sigma, str):
        if annotated is None:
            raise RuntimeError("the labels of this task come without standard deviations")
        return annotated
    return sigma
