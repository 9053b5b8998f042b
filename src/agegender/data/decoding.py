"""Decode many images into one uint8 array on disk, on all cores; a run that was stopped goes on where it was.

Imported by every decoding process: nothing heavy here. The pixels go straight from the process that decoded them to
the file; between processes travel only names and hashes. Pixels are written with `write`, not through a memory map,
because a full disk is an error in the one and a crash in the other.
"""

import fcntl
import hashlib
import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cache, partial
from pathlib import Path
from typing import BinaryIO, NamedTuple, TextIO

import numpy as np

from agegender.data.images import UnreadableImage, decode
from agegender.data.pixels import checksum
from agegender.datasets.source import Source, open_source
from agegender.errors import UserError
from agegender.machine.processes import completed

ARRAY, JOURNAL = "faces.npy", "journal.jsonl"
CHUNK = 64  # images: large against the cost of passing a message, small enough for an even end and a quick stop


class Outcome(NamedTuple):
    """What became of an image: the hash of its file, the checksum of its pixels, and why there are none (empty)."""

    slot: int
    sha256: str
    crc32: int
    reason: str = ""


class Item(NamedTuple):
    """An image to decode, and what an earlier call has `done` of it."""

    slot: int
    name: str
    done: Outcome | None


def fill(
    source: Path, folder: Path, names: Mapping[int, str], size: int, slots: int, workers: int, key: str
) -> Generator[list[Outcome]]:
    """Decode the images `names` (slot -> name in the source) into `folder`/faces.npy, uint8 (slots, size, size, 3).

    Yields the outcomes of each chunk as it is done. A journal in the folder lets a second call with the same `key` go
    on where the first ended: it reads the files again, but decodes only those that are new or changed, or whose pixels
    are not those of the journal. UserError when another process is filling the same folder or a decoding process dies;
    OSError when the disk is full.
    """
    with _journal(folder, key) as (journal, done):
        if not done:
            (folder / ARRAY).unlink(missing_ok=True)  # not emptied: a killed run's last process may still write into it
            np.lib.format.open_memmap(folder / ARRAY, "w+", np.uint8, (slots, size, size, 3))
        items = [Item(slot, name, done.get(slot)) for slot, name in names.items()]
        chunks = [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
        work = partial(_fill_chunk, source, folder / ARRAY, size)
        with closing(completed(work, chunks, workers, "decodes images")) as results:
            for outcomes in results:
                journal.writelines(f"\n{json.dumps(outcome[:3])}" for outcome in outcomes if not outcome.reason)
                journal.flush()
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


@contextmanager
def _journal(folder: Path, key: str) -> Iterator[tuple[TextIO, dict[int, Outcome]]]:
    """Open the journal of a folder, which no other process has open, and return what it says is done, by slot.

    Its first line is the `key`; one with another key is begun anew. A line that a crash cut short does not count.
    """
    with (folder / JOURNAL).open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another process is writing {folder}: wait until it has ended") from None
        file.seek(0)
        first, *lines = file.read().split("\n")
        outcomes = filter(None, map(_parse, lines)) if first == key and (folder / ARRAY).exists() else ()
        done = {outcome.slot: outcome for outcome in outcomes}
        if not done:
            file.truncate(0)
            file.write(key)
        yield file, done


def _parse(line: str) -> Outcome | None:
    try:
        return Outcome(*json.loads(line))
    except (ValueError, TypeError):
        return None


def _fill_chunk(source: Path, array: Path, size: int, items: Sequence[Item]) -> list[Outcome]:
    """Read, decode and write some images."""
    offset = np.load(array, mmap_mode="r").offset
    with array.open("r+b") as file:
        return [_fill_one(_opened(source), file, offset + item.slot * size * size * 3, size, item) for item in items]


@cache
def _opened(source: Path) -> Source:
    """A process opens its source once: the entries of an archive are many."""
    return open_source(source)


def _fill_one(source: Source, array: BinaryIO, start: int, size: int, item: Item) -> Outcome:
    try:
        data = source.read(item.name)
    except UserError as error:
        return Outcome(item.slot, "", 0, f"cannot be read ({_without_name(error, item.name, source.path)})")
    sha256 = hashlib.sha256(data).hexdigest()
    array.seek(start)
    if item.done and sha256 == item.done.sha256:
        there = np.frombuffer(array.read(size * size * 3), np.uint8)
        if checksum(there) == item.done.crc32:
            return item.done
        array.seek(start)
    try:
        pixels = decode(data, size)
    except UnreadableImage as error:
        return Outcome(item.slot, sha256, 0, str(error))
    array.write(pixels.data)
    return Outcome(item.slot, sha256, checksum(pixels))


def _without_name(error: UserError, name: str, root: Path) -> str:
    """Return what is wrong with a file of the source without its name, which stands before every reason."""
    text = str(error).removeprefix("cannot read ")
    for named in (f"{name} in {root}", f"{root / name}", f" for file {name!r}"):
        text = text.replace(named, "")
    return text.strip(": ")
