"""What a model is: a backbone by name, and how to build it."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from agegender.modes import Mode

Builder = Callable[[int, Mode, float], nn.Module]
"""(input_size, mode, dropout) -> a backbone with fresh weights.

It maps images (N, 3, input_size, input_size), float32, to features (N, D), and its attribute `features` is D. `mode`
says how batch norm is to be kept, `dropout` is 0..1.
"""


@dataclass(frozen=True)
class Model:
    """A backbone by name; `input_size` is the paper's, in pixels.

    Heads start at N(0, 0.01); with `truncated_heads` that distribution is cut at two deviations, as by the authors.
    """

    name: str
    build: Builder
    input_size: int
    truncated_heads: bool = False
