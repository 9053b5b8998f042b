"""Heads, from features to the logits of one task; one file per family of losses."""

from inspect import isabstract, signature

from agegender.errors import UserError
from agegender.heads.dldl import DldlHead, DldlV2Head
from agegender.heads.head import Head
from agegender.heads.mean_variance import MeanVarianceHead
from agegender.heads.ranking import CoralHead, CornHead, RankingHead
from agegender.heads.regression import RegressionHead
from agegender.heads.softmax import SoftmaxHead
from agegender.heads.sord import SordHead
from agegender.lookup import find
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

    `name` is one of `HEADS`, or a class from outside the suite, "losses.huber:HuberHead". UserError when there is none
    of this name, when it does not take an option or a value, and for an ordinal loss on a task whose labels have no
    order.
    """
    head = find(name, HEADS, "head", "head", is_head)
    if not task.ordinal and name != "softmax":
        raise UserError(f"the head {name} needs labels in an order, and those of {task.name} have none: use softmax")
    try:
        signature(head).bind(features, task, **options)
    except TypeError as error:
        raise UserError(f"the head {name} of {task.name} does not take its options: {error}") from None
    return head(features, task, **options)  # type: ignore[arg-type]


def is_head(found: object) -> bool:
    """Whether an object is the class of a head, with its losses and its posterior."""
    return isinstance(found, type) and issubclass(found, Head) and not isabstract(found)
