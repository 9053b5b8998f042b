"""Heads: what a network answers for one task, one file per family of losses."""

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

    UserError when there is none of this name, when it does not take an option or a value, and for an ordinal loss on a
    task whose labels have no order.
    """
    if name not in HEADS:
        raise UserError(f"there is no head '{name}': choose from {', '.join(HEADS)}")
    if not task.ordinal and name != "softmax":
        raise UserError(f"the head {name} needs labels in an order, which those of {task.name} have not: use softmax")
    try:
        return HEADS[name](features, task, **options)  # type: ignore[arg-type]
    except TypeError as error:
        raise UserError(f"the head {name} of {task.name} does not take its options: {error}") from None
