"""Label files that lie outside the source of the images: a change in one of them makes a pack stale."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from agegender.datasets.source import Folder, Source

_noted: ContextVar[dict[str, str] | None] = ContextVar("noted", default=None)


@contextmanager
def noted() -> Iterator[dict[str, str]]:
    """Collect what `read_outside` reads within the block: resolved path -> sha256 (hex) of the file."""
    files: dict[str, str] = {}
    token = _noted.set(files)
    try:
        yield files
    finally:
        _noted.reset(token)


def read_outside(source: Source, name: str) -> bytes:
    """Read a label file of a folder or .zip that is not the one of the images; UserError as from `source`."""
    content, files = source.read(name), _noted.get()
    if files is not None:
        if isinstance(source, Folder):
            files[str((source.path / name).resolve())] = hashlib.sha256(content).hexdigest()
        elif (path := str(source.path.resolve())) not in files:
            files[path] = file_hash(source.path)
    return content


def changed(files: Mapping[str, str], source: Path | None = None, now: Path | None = None) -> Path | None:
    """Return the first of the files noted that has another content; OSError where one is unreadable.

    Looked at are those that are there still and, where the `source` is `now` in another place, their copies there.
    """
    for name, sha256 in files.items():
        copies = [now.parent / os.path.relpath(name, source.parent)] if source and now else []
        for file in dict.fromkeys([Path(name), *copies]):
            if file.exists() and file_hash(file) != sha256:
                return file
    return None


def file_hash(path: Path) -> str:
    """Return the sha256 (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
