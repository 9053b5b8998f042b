"""One way to list and read the files of a data set, whether it is a folder or a zip."""

import hashlib
import os
import zipfile
import zlib
from pathlib import Path
from types import TracebackType
from typing import Self

from agegender.errors import UserError


class Folder:
    """The files under a folder (symbolic links are followed); make one with `open_source`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        """Sorted POSIX names relative to the folder; dot files and `__MACOSX` are left out. UserError if unreadable."""
        found = []
        for folder, folders, files in os.walk(self.path, onerror=_unreadable, followlinks=True):
            folders[:] = [name for name in folders if _is_data(name)]
            inside = Path(folder).relative_to(self.path)
            found += [(inside / name).as_posix() for name in files if _is_data(name)]
        return sorted(found)

    def read(self, name: str) -> bytes:
        """Return the content of the file of this name; UserError when it is missing or unreadable."""
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise UserError(f"cannot read {self.path / name}: {error.strerror}") from error

    def fingerprint(self) -> str:
        """Return a hash of names, sizes and modification times: changes when a file does, without reading any."""
        seen = hashlib.sha256()
        for name in self.names():
            stat = _stat(self.path / name)
            seen.update(f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        return seen.hexdigest()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class Zip:
    """The entries of a zip archive; make one with `open_source`.

    Pickled by its path, so a worker process gets its own file handle; do not share an open one across a fork.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._archive = zipfile.ZipFile(path)
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}") from error
        except zipfile.BadZipFile as error:
            raise UserError(f"{path} is a broken archive ({error}): copy or download it again") from error
        for name in self._archive.namelist():
            inside = name.replace("\\", "/")
            if inside.startswith("/") or ".." in inside.split("/"):
                self._archive.close()
                raise UserError(f"{path} has an entry '{name}' that points outside the archive: refused, pack it anew")

    def names(self) -> list[str]:
        """Sorted names of the entries that are files; dot files and `__MACOSX` are left out."""
        files = {entry.filename for entry in self._archive.infolist() if not entry.is_dir()}
        return sorted(name for name in files if all(map(_is_data, name.split("/"))))

    def read(self, name: str) -> bytes:
        """Return the content of the entry of this name; UserError when it is missing, damaged or encrypted."""
        try:
            return self._archive.read(name)
        except KeyError as error:
            raise UserError(f"{self.path} has no entry {name}") from error
        # Damage is reported in several ways; RuntimeError stands for encryption and unknown compression.
        except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, zlib.error) as error:
            raise UserError(f"cannot read {name} in {self.path}: {error}") from error

    def fingerprint(self) -> str:
        """Return a hash of the archive's size and modification time."""
        stat = _stat(self.path)
        return hashlib.sha256(f"{stat.st_size}\0{stat.st_mtime_ns}".encode()).hexdigest()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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


def _is_data(part: str) -> bool:
    """Say whether a name's part belongs to the data, not to what macOS and file managers leave behind."""
    return not part.startswith(".") and part != "__MACOSX"


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


def _unreadable(error: OSError) -> None:
    raise UserError(f"cannot read {error.filename}: {error.strerror}") from error
