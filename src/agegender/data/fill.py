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
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np

from agegender.data.images import UnreadableImage, decode
from agegender.data.source import open_source
from agegender.errors import UserError
from agegender.processes import process_pool
from agegender.stopping import signals_held

ARRAY, JOURNAL = "faces.npy", "journal.jsonl"
CHUNK = 64  # images: large against the cost of passing a message, small enough for an even end and a quick stop
COMMIT_SECONDS = 5  # what a killed process may lose; waiting for the disk more often slows the decoding


class Item(NamedTuple):
    """An image to decode; `sha256`: hash of the file whose pixels are on disk already, if any."""

    slot: int
    name: str
    sha256: str | None


class Outcome(NamedTuple):
    """What became of an image: the hash of its file, and why there are no pixels (empty when they are on disk)."""

    slot: int
    sha256: str
    reason: str


def fill(
    source: Path, folder: Path, names: Mapping[int, str], size: int, slots: int, workers: int, key: str
) -> Generator[list[Outcome]]:
    """Decode the images `names` (slot -> name in the source) into `folder`/faces.npy, uint8 (slots, size, size, 3).

    Yields the outcomes of each chunk as it is done. A journal in the folder lets a second call with the same `key` go
    on where the first ended: it reads the files again, but decodes only those that are new or changed. UserError when
    another process is filling the same folder or a decoding process dies; OSError when the disk is full.
    """
    with Journal(folder, key) as journal:
        if not journal.done:
            (folder / ARRAY).unlink(missing_ok=True)  # not emptied: a killed run's last process may still write into it
            np.lib.format.open_memmap(folder / ARRAY, "w+", np.uint8, (slots, size, size, 3))
        items = [Item(slot, name, journal.done.get(slot)) for slot, name in names.items()]
        chunks = [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
        count, initial = min(workers, len(chunks)), (source, folder / ARRAY, size)
        with process_pool(count, "decodes images", _start_worker, *initial) as pool:
            for outcomes in _completed(pool, iter(chunks), in_flight=2 * workers):
                journal.record(outcomes)
                yield outcomes


def _completed(pool: ProcessPoolExecutor, chunks: Iterator[Sequence[Item]], in_flight: int) -> Iterator[list[Outcome]]:
    """Yield each chunk's outcomes as it is done, with never more than `in_flight` chunks handed out."""
    waiting = {_submit(pool, chunk) for chunk in islice(chunks, in_flight)}
    while waiting:
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        waiting |= {_submit(pool, chunk) for chunk in islice(chunks, len(done))}
        for future in done:
            yield future.result()


def _submit(pool: ProcessPoolExecutor, chunk: Sequence[Item]) -> Future[list[Outcome]]:
    """Submit a chunk, for which the pool may start a process."""
    with signals_held():
        return pool.submit(_fill_chunk, chunk)


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
        self._file.write("".join(f"\n{json.dumps([outcome.slot, outcome.sha256])}" for outcome in outcomes))
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


def _parse(line: str) -> tuple[int, str] | None:
    try:
        slot, sha256 = json.loads(line)
    except ValueError:
        return None
    return slot, sha256


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
        if sha256 == item.sha256:
            return Outcome(item.slot, sha256, "")
        try:
            pixels = decode(data, self.size)
        except UnreadableImage as error:
            return Outcome(item.slot, sha256, str(error))
        self.array.seek(self.offset + item.slot * pixels.nbytes)
        self.array.write(pixels.data)
        return Outcome(item.slot, sha256, "")


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
