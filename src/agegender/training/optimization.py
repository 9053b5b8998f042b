"""Optimisers and learning-rate schedules, as recipes name them."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature
from typing import Any, TypeVar

import torch
from torch import nn

from agegender.errors import UserError
from agegender.lookup import find
from agegender.models.network import Network

T = TypeVar("T")
Groups = list[dict[str, Any]]
"""torch's parameter groups, each with its `lr` and `weight_decay`."""


def sgd(groups: Groups, *, momentum: float) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum."""
    return torch.optim.SGD(groups, momentum=momentum, fused=True)


def adamw(groups: Groups) -> torch.optim.Optimizer:
    """AdamW, with torch's own betas and epsilon."""
    return torch.optim.AdamW(groups, fused=True)


def adam(groups: Groups, *, epsilon: float = 1e-8) -> torch.optim.Optimizer:
    """Adam, whose weight decay, unlike AdamW's, is part of the gradient."""
    return torch.optim.Adam(groups, eps=epsilon, fused=True)


def staircase(step: int, steps: int, *, factor: float, every: int, restart: int | None = None) -> float:
    """`factor` more after `every` steps; after `restart` steps the rate starts anew."""
    return factor ** (step % (restart or steps + 1) // every)


def cosine(step: int, steps: int, *, warmup: float) -> float:
    """A rise from 0 over the share `warmup` of the steps, then half a cosine down to 0."""
    rise = max(1, round(warmup * steps))
    return min((step + 1) / rise, 0.5 * (1 + math.cos(math.pi * max(0, step - rise) / max(1, steps - rise))))


# The options of each are its keyword-only parameters: a recipe gives them beside the name.
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {"sgd": sgd, "adamw": adamw, "adam": adam}
SCHEDULES: dict[str, Callable[..., float]] = {"staircase": staircase, "cosine": cosine}


def get_optimizer(name: str, options: Mapping[str, Any]) -> Callable[[Groups], torch.optim.Optimizer]:
    """Return the optimiser of this name, or at `package.module:object`, of parameter groups.

    UserError where there is none, or where `options` lack one of its own.
    """
    function = find(name, OPTIMIZERS, "optimiser", "recipe.optimizer")
    return _with_options(function, options, f"recipe.optimizer={name}", "recipe")


def get_schedule(name: str, options: Mapping[str, Any]) -> Callable[[int, int], float]:
    """Return the schedule of this name, or at `package.module:object`: (step, steps) -> factor on the learning rate.

    UserError where there is none, or where `options` lack one of its own.
    """
    function = find(name, SCHEDULES, "schedule", "recipe.schedule.name")
    return _with_options(function, options, f"recipe.schedule.name={name}", "recipe.schedule")


_OPTIONAL = ("momentum", "epsilon")  # what recipes say to an optimiser


def _with_options(function: Callable[..., T], options: Mapping[str, Any], choice: str, group: str) -> Callable[..., T]:
    """Fix the options that a function takes; others, left over from what was chosen before it, do not matter."""
    try:
        parameters = [*signature(function).parameters.values()]
    except (TypeError, ValueError):
        raise UserError(f"{choice} cannot be used: Python does not tell what it takes, wrap it in a function") from None
    own = [each for each in parameters if each.kind is each.KEYWORD_ONLY]
    if others := [each.name for each in parameters if each not in own and each.name in _OPTIONAL]:
        raise UserError(f"{choice} takes {others[0]} by its place: wrap it in a function with it as a keyword-only one")
    for each in own:
        if each.name not in options and each.default is each.empty:
            raise UserError(f"{choice} needs {group}.{each.name}: say +{group}.{each.name}=...")
    return partial(function, **{each.name: options[each.name] for each in own if each.name in options})


def check_recipe(recipe: Mapping[str, Any]) -> None:
    """Refuse an optimiser or a schedule there is none of, or that lacks an option; UserError names what is missing."""
    get_optimizer(recipe["optimizer"], recipe)
    get_schedule(recipe["schedule"]["name"], recipe["schedule"])


def build_optimizer(
    network: Network, recipe: Mapping[str, Any], rates: Mapping[str, float] | None = None
) -> torch.optim.Optimizer:
    """Build the recipe's optimiser; weight decay falls on the backbone's weight matrices only.

    `rates`: factors on the learning rate by the parameter's name, 1 where not named. Parameters without gradient stay
    out.

    Biases, batch norm's shifts and the heads are free of it, as in LMT `model.py`. There the penalty is part of the
    loss and so passes through the gradient clipping; here it is added after it.
    """
    members: dict[tuple[float, float], list[nn.Parameter]] = {}
    for path, module in network.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                regularised = name == "weight" and isinstance(module, nn.Conv2d | nn.Linear) and path[:6] != "heads."
                kind = (recipe["weight_decay"] if regularised else 0.0, (rates or {}).get(f"{path}.{name}", 1.0))
                members.setdefault(kind, []).append(parameter)
    groups: Groups = [
        {"params": parameters, "weight_decay": decay, "lr": rate * recipe["learning_rate"]}
        for (decay, rate), parameters in members.items()
    ]
    optimizer = get_optimizer(recipe["optimizer"], recipe)(groups)
    # Fused optimisers can undo the loss scaling of float16, so Lightning refuses to clip their gradients. Nothing is
    # scaled here.
    optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
    return optimizer


def build_schedule(recipe: Mapping[str, Any]) -> Callable[[int], float]:
    """Build the factor on the learning rate as a function of the step (counted from 0)."""
    steps = int(recipe["steps"])
    factor = get_schedule(recipe["schedule"]["name"], recipe["schedule"])
    return lambda step: float(factor(step, steps))
