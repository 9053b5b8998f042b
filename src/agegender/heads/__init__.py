from agegender.errors import UserError
from agegender.heads.softmax import SoftmaxHead
from agegender.tasks import Task

HEADS = {"softmax": SoftmaxHead}


def create_head(name: str, features: int, task: Task) -> SoftmaxHead:
    """Build the head of this name over `features` inputs; UserError when there is none."""
    if name not in HEADS:
        raise UserError(f"there is no head '{name}': choose from {', '.join(HEADS)}")
    return HEADS[name](features, task)
