"""Label files that lie outside the source of the images, so that a pack knows when one of them has changed."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from agegender.data.source import Folder, Source

_noted: ContextVar[dict[str, str] | None] = ContextVar("noted", default=None)


@contextmanager
def noted() -> Iterator[dict[str, str]]:
    """Collect what `read_outside` reads within the block: absolute path -> sha256 (hex) of the file."""
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
            files[str((source.path / name).absolute())] = hashlib.sha256(content).hexdigest()
        elif (path := str(source.path.absolute())) not in files:
            files[path] = _hash(source.path)
    return content


def changed(files: Mapping[str, str]) -> str | None:
    """Return the first of the files noted that is there and has another content; OSError where one is unreadable."""
    return next((file for file, sha256 in files.items() if Path(file).exists() and _hash(Path(file)) != sha256), None)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
