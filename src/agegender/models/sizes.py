"""Which sizes of faces the backbones read, tried without computing anything."""

from bisect import bisect_left
from functools import lru_cache
from pathlib import Path

import torch
from omegaconf import OmegaConf

from agegender.config.settings import config_folder
from agegender.errors import UserError
from agegender.models.network import BACKBONES
from agegender.modes import get_mode

LARGEST = 1024  # pixels, beyond which no size is tried


def check_size(model: str, size: int) -> None:
    """Refuse a model there is none of, and faces of (size, size) pixels that its full layers or its strides forbid."""
    if model not in BACKBONES:
        raise UserError(f"system.model.name={model}: there is no such model, choose from {', '.join(BACKBONES)}")
    own = own_size(model)
    if size == own or reads(model, size):
        return
    least = bisect_left(range(own), True, key=lambda pixels: reads(model, pixels))
    most = own + bisect_left(range(own + 1, LARGEST + 1), True, key=lambda pixels: not reads(model, pixels))
    sizes = f"at least {least}" if most == LARGEST else f"{least} to {most}"
    raise UserError(f"system.model.input_size={size}: {model} reads faces of {sizes} pixels, choose one of these sizes")


def own_size(model: str) -> int:
    """Return the size that a model's configuration gives it, that of its paper."""
    return int(OmegaConf.load(Path(config_folder()) / "model" / f"{model}.yaml").input_size)


@lru_cache
def reads(model: str, size: int) -> bool:
    """Whether a backbone takes faces of (size, size) pixels: its shapes fit, on torch's device without memory."""
    with torch.device("meta"), torch.inference_mode():
        backbone = BACKBONES[model](get_mode("sound"), 0.0).eval()
        try:
            backbone(torch.empty(2, 3, size, size))
        except RuntimeError:
            return False
    return True
