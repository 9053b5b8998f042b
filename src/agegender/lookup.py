"""What can be plugged in, by a built-in name or by `package.module:object`: one look-up for every kind of thing."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TypeVar, cast

from agegender.errors import UserError

T = TypeVar("T")


def find(name: str, builtin: Mapping[str, T], kind: str, setting: str, fits: Callable[[object], bool] = callable) -> T:
    """Return the built-in of this name, or import `package.module:object`.

    `kind` says in messages what is looked for ("data set"), `setting` where the name was given ("data.name"), `fits`
    whether an imported object is one. UserError for an unknown name, a module that cannot be imported, an object that
    is not in it and one that does not fit.
    """
    if name in builtin:
        return builtin[name]
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise UserError(
            f"{setting}={name}: there is no such {kind}, choose from {', '.join(builtin)}, or name your own as "
            "package.module:object"
        )
    try:
        found: object = import_module(module)
    except (ImportError, SyntaxError, TypeError, ValueError) as error:  # such a name, or such a file
        raise UserError(
            f"{setting}={name}: Python cannot import {module} ({error}): correct the name, or put the folder of the "
            "file into PYTHONPATH"
        ) from error
    try:
        for part in attribute.split("."):
            found = getattr(found, part)
    except AttributeError:
        raise UserError(f"{setting}={name}: {module} has no {attribute}, name an object that it defines") from None
    if not fits(found):
        raise UserError(f"{setting}={name}: this {type(found).__name__} cannot be used as a {kind}")
    return cast(T, found)
