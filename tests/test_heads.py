"""Heads against hand-computed values and torch's own functions."""

import math

import pytest
import torch

from agegender.heads import create_head
from agegender.heads.softmax import NO_LABEL
from agegender.tasks import TASKS


def test_softmax_loss_is_the_mean_cross_entropy_of_labelled_faces() -> None:
    head = create_head("softmax", 4, TASKS["gender"])
    logits = torch.tensor([[0.0, math.log(3.0)], [5.0, -5.0], [math.log(4.0), 0.0]])
    labels = torch.tensor([0, NO_LABEL, 0])
    # p(0) is 1/4 in the first row and 4/5 in the third; the second has no label.
    expected = -(math.log(1 / 4) + math.log(4 / 5)) / 2
    assert float(head.loss(logits, labels)) == pytest.approx(expected)


def test_softmax_loss_without_any_label_is_zero_and_moves_nothing() -> None:
    logits = torch.randn(3, 8, requires_grad=True)
    loss = create_head("softmax", 4, TASKS["age"]).loss(logits, torch.full((3,), NO_LABEL))
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None and float(logits.grad.abs().max()) == 0


def test_softmax_posterior_and_decision() -> None:
    head = create_head("softmax", 4, TASKS["gender"])
    posterior = head.posterior(torch.tensor([[0.0, math.log(3.0)], [2.0, 2.0]], dtype=torch.bfloat16))
    torch.testing.assert_close(posterior, torch.tensor([[0.25, 0.75], [0.5, 0.5]]), rtol=5e-3, atol=0)
    assert posterior.dtype == torch.float32
    assert head.decide(posterior).tolist() == [1, 0]
