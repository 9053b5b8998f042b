"""Which sizes of faces a backbone works on, tried without computing anything."""

from bisect import bisect_left
from functools import cache

import torch
from torch import nn

from agegender.errors import UserError
from agegender.models.catalogue import MODELS, get_model
from agegender.modes import get_mode

LARGEST = 1024  # pixels, beyond which no size is tried


def check_size(name: str, size: int) -> None:
    """Refuse a model there is none of, and faces of (size, size) pixels that its backbone does not work on."""
    if name in MODELS and size == MODELS[name].input_size:
        return
    reason = refusal(name, size)
    if reason is None:
        return
    larger = range(size + 1, LARGEST + 1)
    least = bisect_left(larger, True, key=lambda pixels: refusal(name, pixels) is None)
    if least == len(larger):  # a backbone from outside the suite, which need not work on every larger size
        raise UserError(f"input_size={size}: {name} does not work on faces of this size, choose another ({reason})")
    raise UserError(f"input_size={size}: {name} works on faces of at least {larger[least]} pixels, choose such a size")


@cache
def refusal(name: str, size: int) -> str | None:
    """Say why a backbone does not work on faces of (size, size) pixels; None where it does."""
    with torch.device("meta"), torch.inference_mode():
        try:
            backbone = get_model(name).build(size, get_mode("sound"), 0.0).eval()
            shape = tuple(backbone(torch.empty(2, 3, size, size)).shape)
        except (RuntimeError, ValueError) as error:
            return " ".join(str(error).split())[:100]
    return None if shape == (2, features_of(backbone)) else f"features of two faces have the shape {shape}"


def features_of(backbone: nn.Module) -> int:
    """Return the number of a backbone's features; UserError where it does not say it."""
    features = getattr(backbone, "features", None)
    if not isinstance(features, int):
        raise UserError(f"{type(backbone).__name__} is no backbone: its attribute `features` must be their number")
    return features
