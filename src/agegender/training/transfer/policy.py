"""What of a network with loaded weights is trained on, and how fast."""

from collections.abc import Collection, Mapping

from torch import nn

from agegender.errors import UserError
from agegender.models.network import Network
from agegender.spec import Choice, Transfer
from agegender.tasks import get_task


def check_transfer(transfer: Transfer, heads: Mapping[str, Choice]) -> None:
    """Refuse a policy without a setting that it needs, and heads that it cannot train; UserError names them."""
    policy = transfer.name
    if policy != "none" and not transfer.weights:
        raise UserError(f"transfer={policy} starts from weights: say transfer.weights=FILE or =RUN_FOLDER")
    if policy == "none" and transfer.weights:
        raise UserError(
            f"transfer=none starts from scratch, without transfer.weights={transfer.weights}: choose transfer=whole, "
            "frozen, last_blocks or svm (and in a sweep of them, pretrained=...)"
        )
    needed = {"last_blocks": "blocks", "whole": "old_rate", "svm": "C"}.get(policy)
    if needed and getattr(transfer, needed) is None:
        raise UserError(f"transfer.{needed}=null: transfer={policy} needs a value, see conf/transfer/{policy}.yaml")
    for task, head in heads.items() if policy == "svm" else ():
        if head.name != "softmax" or head.options.get("decision", "argmax") != "argmax" or get_task(task).measured:
            raise UserError(
                f"transfer=svm tells classes apart, in the place of softmax heads with decision argmax, not of the "
                f"{head.name} head of {task}: choose transfer=frozen"
            )


def blocks_of(backbone: nn.Module) -> list[list[nn.Module]]:
    """Return the blocks of a backbone: direct children with parameters, in order; batch norm joins its predecessor.

    Where a module has a single such child, that child's children are the blocks: torchvision's networks stand inside
    one module, MobileNet's blocks inside one Sequential. LMTCNN has four (stem, two separable blocks, full layers),
    TinyAgeNet thirteen, each a convolution with its batch norm, VGG-Face two (convolutions, full layers).
    """
    children = [backbone]
    while len(children) == 1 and (inner := [c for c in children[0].children() if any(True for _ in c.parameters())]):
        children = inner
    blocks: list[list[nn.Module]] = []
    for child in children:
        if isinstance(child, nn.BatchNorm2d) and blocks:
            blocks[-1].append(child)
        else:
            blocks.append([child])
    return blocks


def freeze(network: Network, transfer: Transfer, loaded: Collection[str]) -> list[str]:
    """Keep what the policy does not train as it is, and return the names of its tensors.

    Frozen layers get no gradients, and stay in evaluation: their batch norm uses its statistics and does not update
    them, their dropout is off. UserError for more blocks than there are, and when a frozen tensor would be a fresh one.
    """
    trained = _trained_part(network, transfer)
    network.backbone.requires_grad_(False).eval()
    for module in trained:
        module.requires_grad_(True).train()
    moving = {id(tensor) for module in trained for tensor in (*module.parameters(), *module.buffers())}
    tensors = (*network.backbone.named_parameters(prefix="backbone"), *network.backbone.named_buffers("backbone"))
    held = set(network.state_dict())
    frozen = [name for name, tensor in tensors if id(tensor) not in moving and name in held]
    fresh = [name for name in frozen if name not in loaded and not name.endswith("num_batches_tracked")]
    if fresh:
        raise UserError(
            f"transfer={transfer.name} would freeze {len(fresh)} tensors that the weights do not hold, such as "
            f"{fresh[0]}: choose transfer=whole, or weights of the whole backbone"
        )
    return frozen


def _trained_part(network: Network, transfer: Transfer) -> list[nn.Module]:
    match transfer.name:
        case "frozen" | "svm":
            return []
        case "last_blocks":
            blocks, count = blocks_of(network.backbone), transfer.blocks or 1
            if count > len(blocks):
                raise UserError(
                    f"transfer.blocks={count}: the backbone has {len(blocks)} blocks, choose 1 to {len(blocks)}"
                )
            return [module for block in blocks[-count:] for module in block]
        case _:
            return [network.backbone]


def rates_of(transfer: Transfer, loaded: Collection[str]) -> dict[str, float]:
    """Return the factor on the learning rate of each loaded tensor by name; 1 where none is named."""
    return {} if transfer.old_rate is None else dict.fromkeys(loaded, transfer.old_rate)
