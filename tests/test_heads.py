"""Heads against hand-computed values, torch's own functions and coral-pytorch."""

import math

import numpy as np
import pytest
import torch
from coral_pytorch.dataset import corn_label_from_logits, levels_from_labelbatch, proba_to_label
from coral_pytorch.layers import CoralLayer
from coral_pytorch.losses import coral_loss, corn_loss
from torch import Tensor
from torch.nn import functional as F

from agegender.errors import UserError
from agegender.heads.catalogue import HEADS, create_head
from agegender.heads.head import normal_targets
from agegender.tasks import NO_LABEL, TASKS

AGE, YEARS, BEAUTY, GENDER = (TASKS[name] for name in ("age", "age_years", "attractiveness", "gender"))
ORDINAL = [task for task in TASKS.values() if task.ordinal]


def some_logits(head: torch.nn.Module, faces: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 2 * torch.randn(faces, head(torch.zeros(1, 4)).shape[1], generator=generator)


def some_labels(task, faces: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.tensor(task.values)[torch.randint(len(task.values), (faces,), generator=generator)]


@pytest.mark.parametrize("task", ORDINAL, ids=lambda task: task.name)
@pytest.mark.parametrize("name", HEADS)
def test_any_head_answers_any_ordinal_task(name, task) -> None:
    head = create_head(name, 4, task)
    assert head.reading, "what a file says of its logits"
    features = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = some_labels(task)
    logits = head(features)
    head.loss(logits, labels).backward()
    assert features.grad is not None and float(features.grad.abs().sum()) > 0
    posterior = head.posterior(logits.detach().to(torch.bfloat16))
    assert posterior.shape == (6, len(task.labels)) and posterior.dtype == torch.float32
    torch.testing.assert_close(posterior.sum(dim=1), torch.ones(6))
    assert float(posterior.min()) >= 0
    for decision in ("argmax", "expectation", "median"):
        head.decision = decision
        answer = head.decide(posterior)
        assert answer.dtype == (torch.float32 if task.measured else torch.int64)
        assert float(answer.min()) >= task.values[0] and float(answer.max()) <= task.values[-1]


@pytest.mark.parametrize("name", HEADS)
def test_faces_without_a_label_add_nothing_to_the_loss(name) -> None:
    head = create_head(name, 4, YEARS)
    logits, labels = some_logits(head), some_labels(YEARS)
    some = labels.clone()
    some[3:] = NO_LABEL
    torch.testing.assert_close(head.loss(logits, some), head.loss(logits[:3], labels[:3]))
    logits = logits.requires_grad_()
    nothing = head.loss(logits, torch.full((6,), NO_LABEL))
    nothing.backward()
    assert float(nothing.detach()) == 0 and logits.grad is not None and float(logits.grad.abs().max()) == 0


@pytest.mark.parametrize("name", [name for name in HEADS if name != "softmax"])
def test_ordinal_losses_refuse_labels_without_order(name) -> None:
    with pytest.raises(UserError, match=rf"the head {name} needs labels in an order.*use softmax"):
        create_head(name, 4, GENDER)


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("soft", {}, "head=soft: there is no such head, choose from softmax"),
        ("softmax", {"decision": "mode"}, "decision=mode of the head of age_years: choose from argmax"),
        ("softmax", {"sigma": 2}, "head softmax of age_years does not take its options: .*'sigma'"),
        ("sord", {"alpha": 0}, "alpha=0 of the head of age_years: give a number of at least 1e-06"),
        ("dldl_v2", {"l1_from": "half"}, "l1_from=half of the head of age_years: give a number of at least 0"),
        ("mean_variance", {"mean_weight": -1}, "mean_weight=-1 of the head of age_years"),
        ("dldl", {"sigma": 0}, "sigma=0 of the head of age_years: give a number above 0, in years, or annotated"),
        ("dldl", {"sigma": None}, "sigma=None of the head"),
        ("dldl_v2", {"scaling": "both"}, "scaling=both of the head of age_years: choose from paper, code"),
        ("regression", {"norm": "l3"}, "norm=l3 of the head of age_years: choose from l1, l2"),
    ],
)
def test_options_that_no_head_has(name, options, sentence) -> None:
    with pytest.raises(UserError, match=sentence):
        create_head(name, 4, YEARS, **options)


def test_softmax_loss_is_the_mean_cross_entropy_of_labelled_faces() -> None:
    head = create_head("softmax", 4, GENDER)
    logits = torch.tensor([[0.0, math.log(3.0)], [5.0, -5.0], [math.log(4.0), 0.0]])
    # p(0) is 1/4 in the first row and 4/5 in the third; the second has no label.
    expected = -(math.log(1 / 4) + math.log(4 / 5)) / 2
    assert float(head.loss(logits, torch.tensor([0, NO_LABEL, 0]))) == pytest.approx(expected)


def test_softmax_posterior_and_decisions() -> None:
    head = create_head("softmax", 4, GENDER)
    posterior = head.posterior(torch.tensor([[0.0, math.log(3.0)], [2.0, 2.0]], dtype=torch.bfloat16))
    torch.testing.assert_close(posterior, torch.tensor([[0.25, 0.75], [0.5, 0.5]]), rtol=5e-3, atol=0)
    assert head.decide(posterior).tolist() == [1, 0]
    four = torch.tensor([[0.4, 0.1, 0.1, 0.2, 0.2, 0, 0, 0]])
    for decision, answer in (("argmax", 0), ("median", 1), ("expectation", 2)):  # the mean is 1.7
        assert create_head("softmax", 4, AGE, decision=decision).decide(four).item() == answer


def test_a_measured_label_between_two_values_counts_as_the_nearer() -> None:
    head, logits = create_head("softmax", 4, BEAUTY), torch.randn(2, 41, generator=torch.Generator().manual_seed(0))
    expected = F.cross_entropy(logits, torch.tensor([0, 23]))
    torch.testing.assert_close(head.loss(logits, torch.tensor([1.04, 3.32])), expected)


def test_dex_answers_the_expectation() -> None:
    head = create_head("softmax", 4, YEARS, decision="expectation")
    posterior = torch.zeros(1, 101)
    posterior[0, [20, 30]] = torch.tensor([0.25, 0.75])
    assert head.decide(posterior).item() == pytest.approx(27.5)


@pytest.mark.parametrize(("norm", "expected"), [("l1", (0.2 + 0.5) / 2), ("l2", (0.04 + 0.25) / 2)])
def test_regression_by_hand(norm, expected) -> None:
    head = create_head("regression", 4, YEARS, norm=norm)
    logits = torch.tensor([[0.2], [-0.5]])  # 60 and 25 years
    assert float(head.loss(logits, torch.tensor([50.0, 50.0]))) == pytest.approx(expected)
    posterior = head.posterior(torch.tensor([[0.205], [-3.0], [3.0]]))
    assert posterior[0, 60].item() == pytest.approx(0.75, abs=1e-4)
    assert posterior[0, 61].item() == pytest.approx(0.25, abs=1e-4)
    assert head.decide(posterior).tolist() == pytest.approx([60.25, 0, 100], abs=1e-4)


def test_ranking_by_hand() -> None:
    head = create_head("ranking", 4, AGE)
    above = torch.tensor([[0.9, 0.8, 0.3, 0.6, 0.2, 0.1, 0.1]])  # the fourth contradicts the third
    logits = torch.logit(above)
    loss = -sum(math.log(p) for p in (0.9, 0.8, 0.3)) - sum(math.log(1 - p) for p in (0.6, 0.2, 0.1, 0.1))
    assert float(head.loss(logits, torch.tensor([3.0]))) == pytest.approx(loss, rel=1e-5)
    posterior = head.posterior(logits)
    assert head.decide(posterior).item() == 3, "three of the seven are above one half, whatever their order"
    mean = float((posterior * torch.arange(8)).sum())
    assert mean == pytest.approx(float(above.sum()), rel=1e-5), "l_1 + sum of c_k (reference 5.3)"


@pytest.mark.parametrize("name", ["ranking", "coral", "corn"])
def test_targets_between_two_values_lead_to_the_nearer(name) -> None:
    """Of ages and scores that are means of several annotators; otherwise such answers would all be too high."""
    head, labels = create_head(name, 4, YEARS), torch.tensor([30.4, 30.6])
    assert head.levels(labels).sum(dim=1).tolist() == [30, 31]


def test_coral_is_that_of_coral_pytorch() -> None:
    head, theirs = create_head("coral", 4, AGE), CoralLayer(4, 8)
    torch.testing.assert_close(head.thresholds, theirs.coral_bias)
    theirs.coral_weights.weight.data.copy_(head.weight)
    features, labels = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), some_labels(AGE)
    logits = head(features)
    torch.testing.assert_close(logits, theirs(features))
    levels = levels_from_labelbatch(labels.long(), 8)
    torch.testing.assert_close(head.loss(logits, labels), coral_loss(logits, levels))
    logits = some_logits(head)
    assert head.decide(head.posterior(logits)).tolist() == proba_to_label(torch.sigmoid(logits)).tolist()


def test_corn_is_that_of_coral_pytorch() -> None:
    head = create_head("corn", 4, AGE)
    logits, labels = some_logits(head, 40), some_labels(AGE, 40)
    torch.testing.assert_close(head.loss(logits, labels), corn_loss(logits, labels.long(), 8))
    assert head.decide(head.posterior(logits)).tolist() == corn_label_from_logits(logits).tolist()


def test_mean_variance_by_hand() -> None:
    head = create_head("mean_variance", 4, AGE)
    logits = torch.full((1, 8), -40.0)
    logits[0, [2, 6]] = torch.log(torch.tensor([0.25, 0.75]))  # mean 5, variance 0.25 * 9 + 0.75 * 1 = 3
    expected = -math.log(0.25) + 0.2 / 2 * (5 - 2) ** 2 + 0.05 * 3
    assert float(head.loss(logits, torch.tensor([2.0]))) == pytest.approx(expected, rel=1e-5)


def test_label_distributions_by_hand() -> None:
    target = normal_targets(torch.tensor([30.4]), torch.tensor(YEARS.values), 2.0)
    weights = np.exp(-((np.arange(101) - 30.4) ** 2) / 8)
    np.testing.assert_allclose(target[0].numpy(), weights / weights.sum(), rtol=1e-4, atol=1e-7)
    own = normal_targets(torch.tensor([30.0, 30.0]), torch.tensor(YEARS.values), torch.tensor([1.0, 4.0]))
    assert own[0, 30] / own[0, 31] == pytest.approx(math.exp(0.5), rel=1e-4)
    assert own[1, 30] / own[1, 31] == pytest.approx(math.exp(1 / 32), rel=1e-4)


@pytest.mark.parametrize("sigma", [2.0, "annotated"])
def test_dldl_is_the_divergence_from_the_label_distribution(sigma) -> None:
    head = create_head("dldl", 4, YEARS, sigma=sigma)
    logits, labels = some_logits(head), some_labels(YEARS)
    sigmas = torch.full((6,), 2.0) if sigma == 2.0 else torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    target = normal_targets(labels, head.values, sigmas).double()
    log_q = torch.log_softmax(logits.double(), dim=1)
    expected = (target * (target.clamp(min=1e-300).log() - log_q)).sum(dim=1).mean()
    given = None if sigma == 2.0 else sigmas
    assert float(head.loss(logits, labels, given)) == pytest.approx(float(expected), rel=1e-4)


def test_sord_is_dldl_with_another_parameter() -> None:
    for task, alpha in ((AGE, 1.0), (BEAUTY, 0.5)):
        sord = create_head("sord", 4, task, alpha=alpha)
        dldl = create_head("dldl", 4, task, sigma=task.step / math.sqrt(2 * alpha))
        logits, labels = some_logits(sord), some_labels(task)
        torch.testing.assert_close(sord.loss(logits, labels), dldl.loss(logits, labels))
    target = normal_targets(torch.tensor([3.0]), torch.tensor(AGE.values), 1 / math.sqrt(2))
    assert target[0, 3] / target[0, 5] == pytest.approx(math.exp(4.0), rel=1e-4)  # exp(-(5 - 3)^2)


def test_dldl_v2_as_in_the_paper_and_as_in_the_code() -> None:
    logits, labels = some_logits(create_head("dldl", 4, YEARS)), some_labels(YEARS)
    divergence = float(create_head("dldl", 4, YEARS).loss(logits, labels))
    error = float((torch.softmax(logits, dim=1) @ torch.arange(101.0) - labels).abs().mean())
    paper = float(create_head("dldl_v2", 4, YEARS).loss(logits, labels))
    code = float(create_head("dldl_v2", 4, YEARS, scaling="code").loss(logits, labels))
    assert paper == pytest.approx(divergence + error, rel=1e-5)
    assert code == pytest.approx(divergence / 101 + error, rel=1e-5)


def test_dldl_v2_in_two_stages() -> None:
    head, dldl = create_head("dldl_v2", 4, YEARS, l1_from=0.5), create_head("dldl", 4, YEARS)
    logits, labels = some_logits(head), some_labels(YEARS)
    torch.testing.assert_close(head.loss(logits, labels), dldl.loss(logits, labels))
    head.progress.fill_(0.5)
    torch.testing.assert_close(head.loss(logits, labels), create_head("dldl_v2", 4, YEARS).loss(logits, labels))


def test_ranking_learns_the_cumulated_label_distribution_of_no_width() -> None:
    """DLDL-v2's claim (reference 5.3): as sigma falls, 1 - the cumulated distribution becomes the ranking target."""
    labels = some_labels(YEARS, 20)
    levels = create_head("ranking", 4, YEARS).levels(labels)
    gaps = []
    for sigma in (8.0, 2.0, 0.5, 0.1):
        above = 1 - normal_targets(labels, torch.tensor(YEARS.values), sigma).cumsum(dim=1)[:, :-1]
        gaps.append(float((above - levels).abs().max()))
    assert gaps == sorted(gaps, reverse=True) and gaps[0] > 0.4 and gaps[-1] < 1e-5
