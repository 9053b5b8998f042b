"""Heads: what a network answers for one task, one file per family of losses."""

from importlib import import_module
from inspect import isabstract, signature

from agegender.errors import UserError
from agegender.heads.dldl import DldlHead, DldlV2Head
from agegender.heads.head import Head
from agegender.heads.mean_variance import MeanVarianceHead
from agegender.heads.ranking import CoralHead, CornHead, RankingHead
from agegender.heads.regression import RegressionHead
from agegender.heads.softmax import SoftmaxHead
from agegender.heads.sord import SordHead
from agegender.tasks import Task

HEADS: dict[str, type[Head]] = {
    "softmax": SoftmaxHead,
    "regression": RegressionHead,
    "ranking": RankingHead,
    "coral": CoralHead,
    "corn": CornHead,
    "mean_variance": MeanVarianceHead,
    "sord": SordHead,
    "dldl": DldlHead,
    "dldl_v2": DldlV2Head,
}


def create_head(name: str, features: int, task: Task, **options: object) -> Head:
    """Build the head of this name over `features` inputs, with its own options.

    `name` is one of `HEADS`, or the class of a head elsewhere, "my_losses.huber.HuberHead". UserError when there is
    none of this name, when it does not take an option or a value, and for an ordinal loss on a task whose labels have
    no order.
    """
    head = HEADS.get(name) or _elsewhere(name)
    if not task.ordinal and name != "softmax":
        raise UserError(f"the head {name} needs labels in an order, which those of {task.name} have not: use softmax")
    try:
        signature(head).bind(features, task, **options)
    except TypeError as error:
        raise UserError(f"the head {name} of {task.name} does not take its options: {error}") from None
    return head(features, task, **options)  # type: ignore[arg-type]


def _elsewhere(name: str) -> type[Head]:
    """The class of a head outside this package, by its dotted name."""
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(import_module(module), attribute) if module else None
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise  # the file is there and asks for one that is not
        found = None
    except AttributeError:
        found = None
    if not (isinstance(found, type) and issubclass(found, Head)) or isabstract(found):
        raise UserError(
            f"there is no head '{name}': choose from {', '.join(HEADS)}, or name a class that Python can import and "
            "that says its losses and its posterior, as in losses.huber.HuberHead (docs/how-to/extend.md)"
        )
    return found
