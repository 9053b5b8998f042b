"""A benchmark suite for small networks that read age and gender from a face.

The functions below are what outsiders may call; each is imported when it is first used, so that `import agegender`
costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agegender import metrics as metrics
    from agegender.data.manifest import read_manifest as read_manifest
    from agegender.models.catalogue import list_models as list_models
    from agegender.models.network import create_model as create_model

__version__ = "0.1.0"
_HOMES = {
    "create_model": "agegender.models.network",
    "list_models": "agegender.models.catalogue",
    "read_manifest": "agegender.data.manifest",
}
__all__ = ["create_model", "list_models", "metrics", "read_manifest"]


def __getattr__(name: str) -> Any:
    if name == "metrics":
        return import_module("agegender.metrics")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'agegender' has no attribute '{name}'")
