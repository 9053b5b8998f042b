"""Weights from elsewhere: read without running what a file may hold, and put into a network by name and shape."""

import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from agegender.errors import Damaged, UserError
from agegender.models.network import Network
from agegender.runs.folder import RunFolder
from agegender.training.transfer.weights_source import checksum

COUNTERS = "num_batches_tracked"  # of torch's batch norm: a count of steps, which other formats lack


@dataclass(frozen=True)
class Loaded:
    """Names of the network's tensors that were loaded or stay fresh, and names of the file that were left over."""

    loaded: tuple[str, ...]
    fresh: tuple[str, ...]
    left_over: tuple[str, ...]


def read_weights(file: Path) -> dict[str, Tensor]:
    """Read a state dict on the CPU: .safetensors, or .pt and .pth with nothing but tensors (`weights_only`).

    A dictionary with a key `state_dict` stands for what is under it. UserError for another suffix, a file that is
    damaged, one that is not a state dict, and one whose pickle asks for more than tensors: it is not run.
    """
    if file.suffix not in (".safetensors", ".pt", ".pth"):
        raise UserError(f"{file} is neither .safetensors nor a state dict in .pt or .pth: convert it to one of them")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol")  # of files that are refused anyway
            content = load_file(file) if file.suffix == ".safetensors" else torch.load(file, "cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(
            f"{file} holds more than tensors and is not loaded, since such a pickle can run code: save its state dict "
            "as .safetensors where you trust it"
        ) from None
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{file} cannot be read ({reason}): copy or convert it anew") from None
    content = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise UserError(f"{file} is not a state dict, a dictionary of names and tensors: save model.state_dict()")
    return {str(name): value for name, value in content.items()}


def load_run_weights(network: Network, run: RunFolder) -> None:
    """Load into a network the weights that a finished run has left.

    Damaged where they cannot be read, do not fit, or are not those whose checksum the run holds.
    """
    try:
        network.load_state_dict(load_file(run.weights))
        if run.read("weights").get("sha256") not in (None, checksum(run.weights)):
            raise ValueError("it is not the file that the run has left")
    except (SafetensorError, RuntimeError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise Damaged(f"{run.weights} is damaged or not of {run.config} ({reason}): copy the run anew") from None


def renamed(weights: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Give tensors the names of the network: the longest prefix of a name that is in `names` is put in its place.

    The prefix `*` is that of every name. UserError when two tensors get the same name.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        fitting = [prefix for prefix in names if prefix == "*" or name.startswith(prefix)]
        prefix = max(fitting, key=lambda prefix: 0 if prefix == "*" else len(prefix), default="")
        new = names.get(prefix, "") + (name if prefix == "*" else name.removeprefix(prefix))
        if new in found:
            raise UserError(f"transfer.names gives two tensors the name {new}, {name} among them: map them apart")
        found[new] = tensor
    return found


def load_into(network: Network, weights: Mapping[str, Tensor], origin: str) -> Loaded:
    """Put the tensors that the backbone has by name into it, and heads whose every name and shape fits.

    A head bears the name of its task, so weights of another task stay out. UserError when a name of the backbone has
    another shape, and when none of its names is there; `origin` names the weights in messages.
    """
    own = network.state_dict()
    backbone = [name for name in own if name.startswith("backbone.")]
    wrong = [name for name in backbone if name in weights and weights[name].shape != own[name].shape]
    if wrong:
        shapes = f"{tuple(weights[wrong[0]].shape)}, not {tuple(own[wrong[0]].shape)}"
        raise UserError(
            f"{origin}: {wrong[0]} has the shape {shapes} ({len(wrong)} such): these are weights of another network, "
            "choose the system they were trained for"
        )
    taken = {name for name in backbone if name in weights}
    if not taken:
        raise UserError(
            f"{origin}: none of its {len(weights)} names (such as {next(iter(weights), 'none')}) is one of the "
            f"backbone (such as {backbone[0]}): say with transfer.names={{from: to}} what their prefixes are here"
        )
    for task in network.heads:
        head = {name for name in own if name.startswith(f"heads.{task}.")}
        if all(name in weights and weights[name].shape == own[name].shape for name in head):
            taken |= head
    network.load_state_dict({name: weights[name] for name in taken}, strict=False)
    fresh = tuple(name for name in own if name not in taken and not name.endswith(COUNTERS))
    left_over = tuple(name for name in weights if name not in taken and not name.endswith(COUNTERS))
    return Loaded(tuple(name for name in own if name in taken), fresh, left_over)
