"""Decode many images into one uint8 array on disk, on all cores, so that a run that was killed can be continued.

Imported by every decoding process: nothing heavy here. The pixels go straight from the process that decoded them to
the file; between processes travel only names and hashes. Pixels are written with `write`, not through a memory map,
because a full disk is an error in the one and a crash in the other.
"""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np

from agegender.data.images import UnreadableImage, decode
from agegender.data.pixels import checksum
from agegender.datasets.source import open_source
from agegender.errors import UserError
from agegender.machine.processes import completed

ARRAY, JOURNAL = "faces.npy", "journal.jsonl"
CHUNK = 64  # images: large against the cost of passing a message, small enough for an even end and a quick stop
COMMIT_SECONDS = 5  # what a killed process may lose; waiting for the disk more often slows the decoding


class Done(NamedTuple):
    """What is on disk already: the hash of the file that was decoded and the checksum of its pixels."""

    sha256: str
    crc32: int


class Item(NamedTuple):
    """An image to decode, and what an earlier call has `done` of it."""

    slot: int
    name: str
    done: Done | None


class Outcome(NamedTuple):
    """What became of an image: the hash of its file, the checksum of its pixels, and why there are none (empty)."""

    slot: int
    sha256: str
    reason: str
    crc32: int = 0


def fill(
    source: Path, folder: Path, names: Mapping[int, str], size: int, slots: int, workers: int, key: str
) -> Generator[list[Outcome]]:
    """Decode the images `names` (slot -> name in the source) into `folder`/faces.npy, uint8 (slots, size, size, 3).

    Yields the outcomes of each chunk as it is done. A journal in the folder lets a second call with the same `key` go
    on where the first ended: it reads the files again, but decodes only those that are new or changed, or whose pixels
    are damaged. UserError when another process is filling the same folder or a decoding process dies; OSError when the
    disk is full.
    """
    with Journal(folder, key) as journal:
        if not journal.done:
            (folder / ARRAY).unlink(missing_ok=True)  # not emptied: a killed run's last process may still write into it
            np.lib.format.open_memmap(folder / ARRAY, "w+", np.uint8, (slots, size, size, 3))
        items = [Item(slot, name, journal.done.get(slot)) for slot, name in names.items()]
        chunks = [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
        given = (_start_worker, source, folder / ARRAY, size)
        with closing(completed(_fill_chunk, chunks, workers, "decodes images", *given)) as results:
            for outcomes in results:
                journal.record(outcomes)
                yield outcomes


def compact(array: Path, slots: list[int]) -> None:
    """Move the images of these slots, in ascending order, to the beginning of the array and cut off the rest."""
    images = np.load(array, mmap_mode="r+")
    if len(slots) == len(images):
        return
    for slot, old in enumerate(slots):
        if slot != old:
            images[slot] = images[old]
    images.flush()
    length = images.offset + len(slots) * images[0].nbytes
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(slots), *images.shape[1:])}
    with array.open("r+b") as file:
        np.lib.format.write_array_header_1_0(file, header)  # NumPy leaves room for the first axis to change in place
        file.truncate(length)


class Journal:
    """Which slots hold the pixels of which file: JSON lines, each written only after its pixels are safe on the disk.

    A line that a crash cut short is no JSON and does not count. A journal with another `key` in its first line is begun
    anew.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self._file = (folder / JOURNAL).open("a+", encoding="utf-8")
        self._array = folder / ARRAY
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise UserError(f"another process is writing {folder}: wait until it has ended") from None
        self._file.seek(0)
        first, *lines = self._file.read().split("\n")
        self.done = dict(filter(None, map(_parse, lines))) if first == key and self._array.exists() else {}
        if not self.done:
            self._file.truncate(0)
            self._file.write(key)
        self._thread = ThreadPoolExecutor(1)
        self._commit: Future[None] = self._thread.submit(self._write, [])
        self._committed = time.monotonic()
        self._pending: list[Outcome] = []

    def record(self, outcomes: Sequence[Outcome]) -> None:
        """Note what is done. A thread waits for the disk, and takes all that has come together since its last turn."""
        self._pending += [outcome for outcome in outcomes if not outcome.reason]
        if self._commit.done() and time.monotonic() - self._committed >= COMMIT_SECONDS:
            self._commit.result()
            self._commit = self._thread.submit(self._write, self._pending)
            self._committed = time.monotonic()
            self._pending = []

    def _write(self, outcomes: Sequence[Outcome]) -> None:
        if outcomes:
            with self._array.open("rb") as array:
                os.fsync(array.fileno())
        self._file.write(
            "".join(f"\n{json.dumps([outcome.slot, outcome.sha256, outcome.crc32])}" for outcome in outcomes)
        )
        self._file.flush()
        os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file, self._thread:
            self._commit.result()
            self._write(self._pending)


def _parse(line: str) -> tuple[int, Done] | None:
    try:
        slot, sha256, crc32 = json.loads(line)
    except (ValueError, TypeError):
        return None
    return slot, Done(sha256, crc32)


class _Worker:
    """What a decoding process holds open."""

    def __init__(self, source: Path, array: Path, size: int) -> None:
        self.source = open_source(source)
        self.offset = np.load(array, mmap_mode="r").offset
        self.array = array.open("r+b")
        self.size = size

    def fill(self, item: Item) -> Outcome:
        """Read, decode and write one image."""
        try:
            data = self.source.read(item.name)
        except UserError as error:
            return Outcome(item.slot, "", f"cannot be read ({_without_name(error, item.name, self.source.path)})")
        sha256 = hashlib.sha256(data).hexdigest()
        if item.done and sha256 == item.done.sha256 and self._holds(item.slot, item.done.crc32):
            return Outcome(item.slot, sha256, "", item.done.crc32)
        try:
            pixels = decode(data, self.size)
        except UnreadableImage as error:
            return Outcome(item.slot, sha256, str(error))
        self.array.seek(self.offset + item.slot * pixels.nbytes)
        self.array.write(pixels.data)
        return Outcome(item.slot, sha256, "", checksum(pixels))

    def _holds(self, slot: int, crc32: int) -> bool:
        """Whether the pixels on disk are those of this checksum."""
        length = self.size * self.size * 3
        self.array.seek(self.offset + slot * length)
        return checksum(np.frombuffer(self.array.read(length), np.uint8)) == crc32


def _without_name(error: UserError, name: str, root: Path) -> str:
    """Return what is wrong with a file of the source without its name, which stands before every reason."""
    text = str(error).removeprefix("cannot read ")
    for named in (f"{name} in {root}", f"{root / name}", f" for file {name!r}"):
        text = text.replace(named, "")
    return text.strip(": ")


_worker: _Worker


def _start_worker(source: Path, array: Path, size: int) -> None:
    global _worker
    _worker = _Worker(source, array, size)


def _fill_chunk(items: Sequence[Item]) -> list[Outcome]:
    outcomes = [_worker.fill(item) for item in items]
    _worker.array.flush()
    return outcomes
