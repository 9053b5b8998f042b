"""Names of images: which no data set may have, and how one is found among those that a source holds."""

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable
from pathlib import PurePosixPath

from agegender.datasets.source import Folder, Source
from agegender.errors import UserError

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # what a line of text cannot hold, or does not show


def refuse_control_characters(names: Iterable[str], where: object) -> None:
    """Raise a UserError for the first name with a control character, such as a line break."""
    for name in names:
        if CONTROL.search(name):
            raise UserError(f"{where} has an image with a control character in its name, {name[:80]!a}: rename it")


def locate(names: Collection[str], held: Collection[str]) -> dict[str, str]:
    """Map those of the names that are `held` to how they are spelt there.

    That is the same spelling, or else the only one that differs in nothing but Unicode's composition: copies made on a
    Mac may have é as e and an accent. What is taken by its exact name is not taken for another.
    """
    held = set(held)
    found = {name: name for name in names if name in held}
    if len(found) == len(names):
        return found
    wanted = _by_form(name for name in names if name not in held)
    there = _by_form(name for name in held if name not in found)
    pairs = ((wanted[form], there[form]) for form in wanted.keys() & there.keys())
    return found | {ours[0]: theirs[0] for ours, theirs in pairs if len(ours) == len(theirs) == 1}


def nearest(name: str, held: Collection[str]) -> str | None:
    """Return the held name that differs least: in capitals, then in its folder too, then in its suffix too."""
    forms: list[Callable[[PurePosixPath], str]] = [str, lambda path: path.name, lambda path: path.stem]
    for form in forms:
        wanted = _folded(form(PurePosixPath(name)))
        alike = [other for other in held if _folded(form(PurePosixPath(other))) == wanted]
        if alike:
            return min(alike)
    return None


def none_found(names: Collection[str], source: Source) -> str:
    """Say that a source holds none of the names, what comes nearest to the first, and what to do about it."""
    first, held = next(iter(names)), source.names()
    other = nearest(first, held)
    sentence = f"{source.path} holds none of the {len(names)} images, such as {first}"
    if other is None:
        files = f"{len(held)} files, such as {held[0]}" if held else "no files"
        return f"{sentence}: is it the right root? It holds {files}"
    if other.endswith(f"/{first}"):
        inside = other.removesuffix(f"/{first}")
        remedy = f"choose {source.path / inside} as data.source"
        if not isinstance(source, Folder):
            remedy = f"pack it anew without the folder {inside}, or unpack it and choose that folder as data.source"
    elif first.endswith(f"/{other}"):
        remedy = "choose the folder above it as data.source, or take the folder out of the names"
    else:
        remedy = "give both the same spelling"
    return f"{sentence}, but it holds {other}: {remedy}"


def _by_form(names: Iterable[str]) -> dict[str, list[str]]:
    forms: dict[str, list[str]] = {}
    for name in names:
        forms.setdefault(unicodedata.normalize("NFC", name), []).append(name)
    return forms


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
