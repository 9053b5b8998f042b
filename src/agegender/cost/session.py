"""Measure many networks together: converted once each, opened together, timed in turns."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress, TaskID
from torch import Tensor, nn

from agegender.cost.counts import count
from agegender.cost.latency import drift, measure, summarize
from agegender.cost.measurement import Measurement, Subject, circumstances, device, folder_of, read, write
from agegender.cost.memory import peak_of_one_inference
from agegender.data.transforms.augmentations import resize
from agegender.data.transforms.preprocessing import Preprocessing
from agegender.runs.environment import version
from agegender.runtimes.catalogue import get_runtime
from agegender.runtimes.runtime import Conversion, Logits, files_of

log = logging.getLogger(__name__)
DRIFT = 0.05  # from which on a warning says that the machine was not steady


@dataclass(frozen=True)
class Bench:
    """What all measurements of a call share.

    `build` makes the network of a subject with fresh weights, `preprocessing` is how its faces are prepared; `stored`
    are faces as a pack has them, uint8 (N, 256, 256, 3); `size` is what networks see of them, `calls` how many calls of
    each are timed.
    """

    build: Callable[[Subject], nn.Module]
    preprocessing: Callable[[Subject], Preprocessing]
    stored: Tensor
    size: int
    calls: int
    costs: Path
    progress: bool

    def faces(self, count: int, preprocessing: Preprocessing) -> Tensor:
        """The first faces as networks see them: float32 (N, 3, S, S), in torch's default layout."""
        stored = self.stored[torch.arange(count) % len(self.stored)]
        return preprocessing(resize(stored, self.size)).contiguous()


def missing(subjects: Sequence[Subject], bench: Bench) -> list[Subject]:
    """Return the subjects of which fewer calls are kept than are asked for, or calls of other versions."""
    return [subject for subject in subjects if not _is_kept(subject, bench)]


def _is_kept(subject: Subject, bench: Bench) -> bool:
    kept = read(folder_of(subject, device(get_runtime(subject.runtime).device), bench.costs))
    if kept is None or kept.results["latency_ms"]["n"] < bench.calls:
        return False
    return bool(kept.results["versions"] == versions_for(subject))


def versions_for(subject: Subject) -> dict[str, str | None]:
    """The versions of torch and of the runtime's own packages: with others it is another measurement."""
    return {name: version(name) for name in ("torch", *get_runtime(subject.runtime).modules)}


def measure_all(subjects: Sequence[Subject], bench: Bench) -> list[Measurement]:
    """Measure subjects and keep each in its folder; those of one number of threads and batch size take turns.

    UserError where a network cannot be converted for a runtime, before anything is timed.
    """
    groups: dict[tuple[int, int], list[Subject]] = {}
    for subject in subjects:
        groups.setdefault((subject.threads, subject.batch_size), []).append(subject)
    threads, load = torch.get_num_threads(), os.getloadavg()[0]
    # Without a thread of its own, which would take time from the calls that are timed.
    progress = Progress(disable=not bench.progress, transient=True, auto_refresh=False)
    with tempfile.TemporaryDirectory() as folder, progress:
        files = _convert(subjects, bench, Path(folder), progress)
        try:
            return [each for group in groups.values() for each in _measure_group(group, bench, files, progress, load)]
        finally:
            torch.set_num_threads(threads)


@dataclass(frozen=True)
class _File:
    """A converted network, and what it costs whatever the number of threads."""

    path: Path
    results: Mapping[str, Any]


def _converted_as(subject: Subject) -> tuple[Any, ...]:
    return subject.network, subject.tasks, subject.runtime, subject.precision, subject.batch_size


def _convert(
    subjects: Sequence[Subject], bench: Bench, folder: Path, progress: Progress
) -> dict[tuple[Any, ...], _File]:
    """Convert each network once per runtime, precision and batch size."""
    distinct = {_converted_as(subject): subject for subject in subjects if subject.is_network}
    bar = progress.add_task("converting", total=len(distinct))
    files = {}
    for number, (key, subject) in enumerate(distinct.items()):
        files[key] = _convert_one(subject, bench, folder / f"{number}{get_runtime(subject.runtime).suffix}")
        _advance(progress, bar, 1)
    progress.remove_task(bar)
    return files


def _convert_one(subject: Subject, bench: Bench, path: Path) -> _File:
    runtime, preprocessing = get_runtime(subject.runtime), bench.preprocessing(subject)
    example = bench.faces(subject.batch_size, preprocessing)
    seen = torch.split(bench.faces(len(bench.stored), preprocessing), 1) if subject.precision == "int8" else ()
    torch.manual_seed(0)
    build = partial(bench.build, subject)
    runtime.convert(Conversion(Logits(build().eval()), example, subject.precision, seen, {}), path)
    results = {
        "counts": asdict(count(build, bench.size)),
        "file_bytes": sum(file.stat().st_size for file in files_of(path)),
        "peak_bytes": peak_of_one_inference(runtime, path, path.parent, example),
    }
    return _File(path, results)


def _measure_group(
    subjects: Sequence[Subject], bench: Bench, files: Mapping[tuple[Any, ...], _File], progress: Progress, load: float
) -> list[Measurement]:
    """Time subjects of one number of threads and batch size in turns, and write each one's measurement."""
    batch_size, threads = subjects[0].batch_size, subjects[0].threads
    calls = _calls(subjects, bench, files)
    bar = progress.add_task(f"{threads} threads, batch {batch_size}", total=bench.calls * len(subjects))
    timed, again = measure(calls, bench.calls, partial(_advance, progress, bar))
    progress.remove_task(bar)
    drifted = drift(next(iter(timed.values())), again)
    if abs(drifted) > DRIFT:
        log.warning(
            "%s took %+.0f %% more at the end than in its turns: the machine was not steady; when it is quiet, remove "
            "these folders of %s and measure again",
            subjects[0].name,
            100 * drifted,
            bench.costs,
        )
    shared = {
        "turns": {"of": list(timed), "drift": drifted},
        "environment": circumstances(),
        "load_average": {"before": load, "after": os.getloadavg()[0]},
        "input": f"float32 ({batch_size}, 3, {bench.size}, {bench.size})",
    }
    found = []
    for subject in subjects:
        calls_made, where = timed[subject.name], device(get_runtime(subject.runtime).device)
        results = dict(files[_converted_as(subject)].results) if subject.is_network else {}
        results |= {"latency_ms": asdict(summarize(calls_made)), "device": where, **shared}
        results["versions"] = versions_for(subject)
        folder = folder_of(subject, where, bench.costs)
        write(folder, subject, results, calls_made)
        found.append(Measurement(subject, folder, results))
    return found


def _calls(
    subjects: Sequence[Subject], bench: Bench, files: Mapping[tuple[Any, ...], _File]
) -> dict[str, Callable[[], object]]:
    """What is called of each subject, by its name; networks that read the same are called with the same array."""
    batch_size, threads = subjects[0].batch_size, subjects[0].threads
    stored = bench.stored[torch.arange(batch_size) % len(bench.stored)]
    images = {each: bench.faces(batch_size, each).numpy() for each in set(map(bench.preprocessing, subjects))}
    calls: dict[str, Callable[[], object]] = {}
    for subject in subjects:
        preprocessing = bench.preprocessing(subject)
        if subject.is_network:
            session = get_runtime(subject.runtime).open(files[_converted_as(subject)].path, threads)
            calls[subject.name] = partial(session, images[preprocessing])
        else:
            calls[subject.name] = partial(_preprocess, preprocessing, stored, bench.size, threads)
    return calls


def _preprocess(preprocessing: Preprocessing, stored: Tensor, size: int, threads: int) -> NDArray[np.float32]:
    """The way of decoded faces into a network."""
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    return preprocessing(resize(stored, size)).contiguous().numpy()


def _advance(progress: Progress, bar: TaskID, calls: int) -> None:
    progress.advance(bar, calls)
    progress.refresh()
