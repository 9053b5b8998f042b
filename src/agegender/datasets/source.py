"""One way to list and read the files of a data set, whether it is a folder or a zip.

Nothing is ever unpacked to disk. What makes an archive unsafe or unreadable as a whole is refused when it is opened;
what is wrong with a single file is said when that file is read.
"""

import hashlib
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Self

from agegender.errors import UserError

MAX_BYTES = 400_000_000  # of one file, unpacked: as many as 100 megapixels of uncompressed RGBA
MAX_RATIO = 100  # of an archive's files to the archive; images, even uncompressed ones, shrink less
# What desktops leave behind, besides dot files.
LEFTOVERS = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})
# The methods whose output `zipfile` can bound while it unpacks, and the only ones in common use.
METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
# As what `zipfile` lets damage through; RuntimeError includes NotImplementedError, ValueError an undecodable name.
DAMAGE = (zipfile.BadZipFile, EOFError, RuntimeError, ValueError, OverflowError, struct.error, zlib.error)


class Folder:
    """The files under a folder; make one with `open_source`.

    Symbolic links are followed, also out of the folder: they are the user's own, as where faces lie on another disk.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        """Sorted POSIX names relative to the folder; what desktops leave behind (`._x.jpg`, `Thumbs.db`) is left out.

        So are names that are not UTF-8 (`undecoded`). UserError for an unreadable folder, one that links make appear
        twice or in itself, and what is no file.
        """
        return [name for name in self._list() if _is_text(name)]

    def undecoded(self) -> list[str]:
        """Sorted names that are not UTF-8, which no table and no manifest can hold, each as Python escapes it."""
        return [ascii(name) for name in self._list() if not _is_text(name)]

    def _list(self) -> list[str]:
        found: list[str] = []
        seen: dict[tuple[int, int], Path] = {}
        waiting = [""]  # folders, each as the beginning of the names in it
        while waiting:
            inside = waiting.pop()
            folder = self.path / inside
            status = _stat(folder)
            first = seen.setdefault((status.st_dev, status.st_ino), folder)
            if first is not folder:
                raise UserError(f"{first} and {folder} are one folder, by a link: remove the link")
            folders, files = _list(folder)
            waiting += [f"{inside}{name}/" for name in folders]
            found += [inside + name for name in files]
        return sorted(found)

    def read(self, name: str) -> bytes:
        """Return the content of the file of this name; UserError when it is missing, unreadable or above 400 MB."""
        path = self.path / name
        try:
            if not path.is_file() and path.exists():  # reading a pipe or a device might never end
                raise UserError(f"{path} is no regular file")
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                _check_size(size, str(path))
                content = file.read((size or MAX_BYTES) + 1)  # not all that it may still become; some tell no size
                _check_size(len(content), str(path))
                return content
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}") from error

    def fingerprint(self) -> str:
        """Return a hash of names, sizes and modification times: changes when a file does, without reading any."""
        seen = hashlib.sha256()
        for name in self._list():
            status = _stat(self.path / name)
            seen.update(os.fsencode(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n"))
        return seen.hexdigest()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Zip:
    """The entries of a zip archive; make one with `open_source`.

    UserError for an archive that is broken, leads out of itself, holds links, encrypted or duplicate entries, or is a
    bomb. Pickled by its path, so a worker process gets its own file handle; do not share an open one across a fork.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._archive = zipfile.ZipFile(path)
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}") from error
        except DAMAGE as error:
            raise UserError(f"{path} is a broken archive ({error}): copy or download it again") from error
        try:
            self._entries = _index(path, self._archive)
            _refuse_bomb(path, self._entries)
        except UserError:
            self._archive.close()
            raise

    def names(self) -> list[str]:
        """Sorted names of the entries that are files; what desktops leave behind (`__MACOSX/`) is left out."""
        return sorted(self._entries)

    def undecoded(self) -> list[str]:
        """Return nothing: what is not marked as UTF-8 in an archive is read as of DOS, in which every byte is one."""
        return []

    def read(self, name: str) -> bytes:
        """Return the content of the entry of this name; UserError when it is missing, damaged or above 400 MB."""
        entry = self._entries.get(name)
        if entry is None:
            raise UserError(f"{self.path} has no entry {name}")
        _check_size(entry.file_size, f"{name} in {self.path}")
        try:
            with self._archive.open(entry) as file:
                return file.read(entry.file_size)  # an entry that unpacks to more than it declares is cut, and damaged
        except (OSError, *DAMAGE) as error:
            raise UserError(f"cannot read {name} in {self.path}: {error}") from error

    def fingerprint(self) -> str:
        """Return a hash of the archive's size and modification time."""
        status = _stat(self.path)
        return hashlib.sha256(f"{status.st_size}\0{status.st_mtime_ns}".encode()).hexdigest()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.close()

    def __reduce__(self) -> tuple[type["Zip"], tuple[Path]]:
        return Zip, (self.path,)


Source = Folder | Zip


def open_source(path: Path, expected: str = "a folder or a .zip file") -> Source:
    """Open a folder or a .zip file; UserError when there is none (naming what was `expected`) or it is unreadable."""
    path = Path(path).expanduser()
    if path.is_dir():
        return Folder(path)
    if not path.exists():
        raise UserError(f"{path} does not exist: expected {expected}")
    if path.suffix.lower() != ".zip":
        raise UserError(f"{path} is neither a folder nor a .zip file: unpack it first, expected {expected}")
    return Zip(path)


def hash_of(source: Source, name: str) -> str | None:
    """Return the sha256 (hex) of a file of a source; None where it cannot be read."""
    try:
        return hashlib.sha256(source.read(name)).hexdigest()
    except UserError:
        return None


def _list(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of the folders and of the files in a folder."""
    folders, files = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not _is_data(entry.name):
                    continue
                if entry.is_dir():
                    folders.append(entry.name)
                elif entry.is_file():
                    files.append(entry.name)
                else:  # reading a pipe or a device might never end
                    raise UserError(f"{entry.path} is a link to nothing or no regular file: mend or remove it")
    except OSError as error:
        raise UserError(f"cannot read {error.filename}: {error.strerror}") from error
    return folders, files


def _index(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return an archive's files by their names; UserError for the first entry that an honest archive would not have.

    Every decoding process does this for every entry at its start, hence the caches.
    """
    entries: dict[str, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        name = entry.filename.replace("\\", "/").removeprefix("./")  # some packers on Windows; bsdtar
        folder, slash, file = name.rpartition("/")
        flaw, kept = _judge_folder(folder + slash)
        if kept and file and _is_data(file):
            flaw = _judge_content(entry.external_attr >> 16, entry.flag_bits & 1, entry.compress_type)
            if name in entries:
                flaw = "stands there twice: pack it anew"
            entries[name] = entry
        if flaw:
            raise UserError(f"{path} has an entry {name[:80]!r} that {flaw}")
    return entries


@lru_cache
def _judge_folder(folder: str) -> tuple[str, bool]:
    """Return what is wrong with a folder in an archive ("x/y/"), if anything, and whether its files are data."""
    parts = folder.split("/")
    if folder.startswith("/") or ".." in parts or parts[0][1:] == ":":
        return "points outside the archive: refused, pack it anew", False
    return "", all(map(_is_data, parts[:-1]))


@lru_cache
def _judge_content(mode: int, encrypted: int, method: int) -> str:
    """Return why an entry's content cannot be read, as far as its declaration tells; empty when it can."""
    if stat.S_ISLNK(mode):  # its content would be the path it points to
        return "is a symbolic link: pack it anew with the files themselves"
    if encrypted:
        return "is encrypted: unpack it with its password and give the folder"
    if method not in METHODS:
        return f"is compressed by method {method}, not stored or deflated: unpack it and give the folder"
    return ""


def _refuse_bomb(path: Path, entries: Mapping[str, zipfile.ZipInfo]) -> None:
    """Refuse an archive whose entries share their bytes, or whose files are out of all proportion to it."""
    size = _stat(path).st_size
    if sum(entry.compress_size for entry in entries.values()) > size:
        raise UserError(f"{path} is smaller than its entries, which overlap as in a zip bomb: refused, pack it anew")
    unpacked = sum(entry.file_size for entry in entries.values())
    if unpacked > max(MAX_RATIO * size, MAX_BYTES):
        raise UserError(
            f"{path} would unpack to {unpacked / 1e9:,.1f} GB, more than {MAX_RATIO} times its size, as a zip bomb: "
            "refused; if you trust it, unpack it and give the folder"
        )


def _check_size(size: int, what: str) -> None:
    if size > MAX_BYTES:
        raise UserError(f"{what} has {size:,} bytes, above the limit of {MAX_BYTES:,}: no face needs so many")


def _is_data(part: str) -> bool:
    """Say whether a name's part belongs to the data, not to what desktops and file managers leave behind."""
    return not part.startswith(".") and part not in LEFTOVERS


def _is_text(name: str) -> bool:
    """Say whether a name from the disk was UTF-8; bytes that were not are lone surrogates in it."""
    return name.isascii() or name.encode(errors="replace").decode() == name


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
