"""A network to convert, faces to ask it about, and the answers of torch and of a file."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agegender.models.network import create_model
from agegender.runtimes.runtime import Conversion, Logits, Runtime

METADATA = {"model": "lmtcnn_1_1", "note": "Grüße"}


def faces(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    rough = F.interpolate(torch.randn(count, 3, 12, 12, generator=generator), (227, 227), mode="bicubic")
    images = rough + 0.3 * torch.randn(count, 3, 227, 227, generator=generator)
    return (images - images.mean((1, 2, 3), keepdim=True)) / images.std((1, 2, 3), keepdim=True)


def outspoken() -> nn.Module:
    """Weights so wide that logits spread, norms that have seen faces, heads so shifted that answers differ."""
    torch.manual_seed(0)
    network = create_model("lmtcnn_1_1")
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        network(faces(8, 1))
        for task, logits in network.eval()(faces(16, 2)).items():
            network.heads[task].bias -= logits.mean(0)
    return Logits(network).eval()


def convert(runtime: Runtime, network: nn.Module, precision: str, batch: int, file: Path) -> Path:
    """Convert for a batch size, with metadata; return the file."""
    calibration = list(torch.split(faces(16, 3), 1)) if precision == "int8" else []
    runtime.convert(Conversion(network, faces(batch, 4), precision, calibration, METADATA), file)
    return file


def answers(
    runtime: Runtime, network: nn.Module, file: Path, threads: int = 1, seed: int = 5
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Each task's logits of twelve faces, torch's and the file's."""
    session, images = runtime.open(file, threads), torch.split(faces(12, seed), 1)
    with torch.no_grad():
        expected = [[logits.numpy() for logits in network(image)] for image in images]
    actual = [session(image.numpy()) for image in images]
    return [
        (np.concatenate(one), np.concatenate(other))
        for one, other in zip(zip(*expected, strict=True), zip(*actual, strict=True), strict=True)
    ]
