"""Backbones, one file per family; each file lists its models in `MODELS`."""

from agegender.lookup import find
from agegender.models import caffenet, inception_v3, levi_hassner, lmtcnn, mobilenet_v1, torchvision_models, vgg
from agegender.models.model import Model

FAMILIES = (lmtcnn, mobilenet_v1, levi_hassner, inception_v3, caffenet, vgg, torchvision_models)
MODELS: dict[str, Model] = {model.name: model for family in FAMILIES for model in family.MODELS}


def list_models() -> list[str]:
    """Names that `create_model` knows, in the order of the papers, then torchvision's."""
    return list(MODELS)


def get_model(name: str) -> Model:
    """Return the model of this name, or the one at `package.module:object`; UserError where there is none."""
    return find(name, MODELS, "model", "model", lambda found: isinstance(found, Model))
