"""Files that are written whole or not at all, and JSON files that are read with the shape they must have."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import EllipsisType, UnionType
from typing import Any, get_args

Shape = type | UnionType | Mapping[str | EllipsisType, Any]
"""A type (float: any number), a union of types, or the shapes of an object's values by key.

A key that ends in "?" may be missing; `...` stands for all keys that are not named, whose values else are anything.
"""

HUGE = 10**18  # above it, a whole number counts nothing that the suite has


def parse(content: bytes, shape: Shape) -> Any:
    """Return what JSON text holds; ValueError, which says what is wrong, where it is no JSON of this shape."""
    try:
        found = json.loads(content)
        json.dumps(found, ensure_ascii=False).encode()  # half a surrogate pair can be printed nowhere
    except (ValueError, RecursionError):
        raise ValueError("is not valid JSON") from None
    if problem := flaw(found, shape):
        raise ValueError(problem)
    return found


def flaw(value: Any, shape: Shape, place: str = "") -> str:
    """Say what in a value is not of its shape; "" where all of it is."""
    if not isinstance(shape, Mapping):
        fits = any(_is(value, kind) for kind in get_args(shape) or (shape,))
        return "" if fits else f"has no usable value of '{place}'"
    if not isinstance(value, dict):
        return f"has no object with keys in '{place}'" if place else "is not an object with keys"
    inside, others = f"{place}." if place else "", dict(value)
    for key, kind in shape.items():
        if not isinstance(key, str):
            continue
        name = key.removesuffix("?")
        if name not in value and name == key:
            return f"lacks '{inside}{name}'"
        if name in value and (problem := flaw(others.pop(name), kind, inside + name)):
            return problem
    found = (flaw(other, shape.get(..., object), f"{inside}{name}") for name, other in others.items())
    return next(filter(None, found), "")


def _is(value: Any, kind: type) -> bool:
    if isinstance(value, bool):
        return kind in (bool, object)
    if isinstance(value, int) and abs(value) > HUGE:
        return False
    return isinstance(value, (int, float) if kind is float else kind)


def write_whole(file: Path, content: bytes | memoryview) -> None:
    """Write a file whole or not at all, its folder too where it is missing; an OSError names the file."""
    partial = file.with_name(f"{file.name}.partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(file)
    except OSError as error:
        partial.unlink(missing_ok=True)  # on a full disk it takes the room that the record of this error needs
        error.filename = str(file)
        raise
