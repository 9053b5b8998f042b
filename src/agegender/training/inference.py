"""From a network and batches of images to what it answers: the one way, in tests, predictions and features alike."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from agegender.models.layers import BetaBatchNorm2d
from agegender.models.network import Network

T = TypeVar("T")


@torch.inference_mode()
def compute(
    function: Callable[[Tensor], T], batches: Iterable[Tensor], device: torch.device, precision: str
) -> Iterator[T]:
    """Yield a function of images for each batch, (N, 3, S, S) float32, on a device in a run's `precision`."""
    torch.backends.cudnn.allow_tf32 = precision != "32-true"
    for images in batches:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
            result = function(images.to(device))
        yield result


def posteriors(network: Network) -> Callable[[Tensor], dict[str, Tensor]]:
    """Return the function from images to each task's posterior, float32 (N, K) on the CPU."""
    heads: Any = network.heads  # typed loosely because a ModuleDict knows only modules

    def answer(images: Tensor) -> dict[str, Tensor]:
        return {task: heads[task].posterior(logits).float().cpu() for task, logits in network(images).items()}

    return answer


def decisions(network: Network, answers: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what each head decides on its posterior (N, K): (N,)."""
    heads: Any = network.heads
    return {task: heads[task].decide(posterior) for task, posterior in answers.items()}


def set_statistics(network: nn.Module, statistics: str) -> None:
    """Make every batch norm use the statistics of the present batch ("batch"), or else the running ones."""
    for norm in network.modules():
        if isinstance(norm, BetaBatchNorm2d):
            norm.batch_statistics = statistics == "batch"


@torch.no_grad()
def reestimate(network: nn.Module, batches: Iterable[Tensor], device: torch.device) -> None:
    """Set the running statistics to their mean over these batches; nothing else changes, dropout stays off."""
    norms = [norm for norm in network.modules() if isinstance(norm, BetaBatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's cumulative mean
        norm.train()
    network.to(device)
    for images in batches:
        network(images.to(device))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
