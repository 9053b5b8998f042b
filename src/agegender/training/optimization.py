"""Optimisers and learning-rate schedules, as recipes name them."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from agegender.errors import UserError
from agegender.models.network import Network

# What a recipe says beside the name of its optimiser and of its schedule.
OPTIMIZERS = {"sgd": ("momentum",), "adamw": (), "adam": ()}
SCHEDULES = {"staircase": ("factor", "every"), "cosine": ("warmup",)}


def check_recipe(recipe: Mapping[str, Any]) -> None:
    """Refuse an optimiser or a schedule there is none of, or that lacks a number; UserError names what is missing."""
    if recipe["optimizer"] not in OPTIMIZERS:
        raise UserError(f"recipe.optimizer={recipe['optimizer']} is unknown: choose sgd, adamw or adam")
    if (schedule := recipe["schedule"])["name"] not in SCHEDULES:
        raise UserError(f"recipe.schedule.name={schedule['name']} is unknown: choose staircase or cosine")
    for name in OPTIMIZERS[recipe["optimizer"]]:
        if name not in recipe:
            raise UserError(f"recipe.optimizer={recipe['optimizer']} needs recipe.{name}: say +recipe.{name}=...")
    for name in SCHEDULES[schedule["name"]]:
        if name not in schedule:
            raise UserError(
                f"recipe.schedule.name={schedule['name']} needs recipe.schedule.{name}: say +recipe.schedule.{name}=..."
            )


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
    groups = [
        {"params": parameters, "weight_decay": decay, "lr": rate * recipe["learning_rate"]}
        for (decay, rate), parameters in members.items()
    ]
    match recipe["optimizer"]:
        case "sgd":
            optimizer: torch.optim.Optimizer = torch.optim.SGD(
                groups, lr=recipe["learning_rate"], momentum=recipe["momentum"], fused=True
            )
        case "adamw":
            optimizer = torch.optim.AdamW(groups, lr=recipe["learning_rate"], fused=True)
        case "adam":  # its decay, unlike AdamW's, is part of the gradient
            optimizer = torch.optim.Adam(
                groups, lr=recipe["learning_rate"], eps=recipe.get("epsilon", 1e-8), fused=True
            )
        case other:
            raise AssertionError(other)  # `check_recipe` refused it
    # Fused optimisers can undo the loss scaling of float16, so Lightning refuses to clip their gradients. Nothing is
    # scaled here.
    optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
    return optimizer


def build_schedule(recipe: Mapping[str, Any]) -> Callable[[int], float]:
    """Build the factor on the learning rate as a function of the step (counted from 0)."""
    schedule, steps = recipe["schedule"], int(recipe["steps"])
    match schedule["name"]:
        case "staircase":
            again = schedule.get("restart") or steps + 1  # the rate starts anew after so many steps
            return lambda step: float(schedule["factor"] ** (step % again // schedule["every"]))
        case "cosine":
            warmup = max(1, round(schedule["warmup"] * steps))
            return lambda step: min(
                (step + 1) / warmup, 0.5 * (1 + math.cos(math.pi * max(0, step - warmup) / max(1, steps - warmup)))
            )
        case other:
            raise AssertionError(other)  # `check_recipe` refused it
