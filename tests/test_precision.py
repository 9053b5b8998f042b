"""bf16-mixed against float32: the same answers and the same direction of descent, for the networks of few layers.

Through the many batch norms of a fresh MobileNet or Inception the gradient of a few images is not stable enough for
such a comparison: there only training tells.
"""

import pytest
import torch
from torch import Tensor

from agegender.models.network import Network, create_model
from agegender.training.module import loss_of


def gradients(network: Network, images: Tensor, labels: dict[str, Tensor]) -> Tensor:
    network.zero_grad()
    loss, _ = loss_of(network, images, labels)
    loss.backward()
    return torch.cat([p.grad.float().flatten() for p in network.parameters() if p.grad is not None])


@pytest.mark.parametrize("name", ["lmtcnn_1_1", "lmtcnn_2_1", "levi_hassner_tf", "levi_hassner_bn"])
def test_bf16_takes_the_steps_of_float32(name: str) -> None:
    """A gradient within 8 degrees of float32's and as long, posteriors within a hundredth."""
    torch.manual_seed(0)
    network = create_model(name).train()
    images = torch.randn(4, 3, 227, 227).to(memory_format=torch.channels_last)
    labels = {"age": torch.tensor([0, 3, 5, 7]), "gender": torch.tensor([0, 1, 1, 0])}
    exact = gradients(network, images, labels)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = gradients(network, images, labels)
        with torch.no_grad():
            logits = network(images)
    assert torch.nn.functional.cosine_similarity(exact, rounded, dim=0) > 0.99
    assert rounded.norm() / exact.norm() == pytest.approx(1, abs=0.05)
    for task, x in network(images).items():
        difference = network.heads[task].posterior(logits[task]) - network.heads[task].posterior(x)
        assert difference.abs().max() < 0.01
