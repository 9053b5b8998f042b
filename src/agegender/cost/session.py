"""Measure many networks together: converted once each, opened together, timed in turns."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor, nn

from agegender.cost.counts import count
from agegender.cost.latency import drift, measure, summarize
from agegender.cost.measurement import (
    PREPROCESSING,
    Measurement,
    Subject,
    circumstances,
    device,
    folder_of,
    read,
    write,
)
from agegender.cost.memory import peak_of_one_inference
from agegender.data.augment import resize, standardize
from agegender.runtimes import get_runtime
from agegender.runtimes.runtime import Conversion, Logits, files_of

log = logging.getLogger(__name__)
TOOLS = ("onnxruntime", "onnx", "openvino", "nncf", "executorch", "torchao", "litert-torch", "ai-edge-litert")


@dataclass(frozen=True)
class Bench:
    """What all measurements of a call share.

    `build` makes the network of a subject with fresh weights; `stored` are faces as a pack has them, uint8
    (N, 256, 256, 3); `size` is what networks see of them, `calls` how many calls of each are timed.
    """

    build: Callable[[Subject], nn.Module]
    stored: Tensor
    size: int
    calls: int
    costs: Path
    progress: bool

    def faces(self, batch_size: int) -> Tensor:
        """The first faces as networks see them: float32 (N, 3, S, S), in torch's default layout."""
        stored = self.stored[torch.arange(batch_size) % len(self.stored)]
        return standardize(resize(stored, self.size)).contiguous()


def missing(subjects: Sequence[Subject], bench: Bench) -> list[Subject]:
    """Return the subjects of which fewer calls are kept than are asked for."""
    found = ((subject, read(folder_of(subject, device(), bench.costs))) for subject in subjects)
    return [subject for subject, kept in found if kept is None or kept.facts["latency_ms"]["n"] < bench.calls]


def measure_all(subjects: Sequence[Subject], bench: Bench) -> list[Measurement]:
    """Measure subjects and keep each in its folder; those of one number of threads and batch size take turns.

    UserError where a network cannot be converted for a runtime, before anything is timed.
    """
    found: list[Measurement] = []
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as name, Progress(disable=not bench.progress, transient=True) as progress:
        files = _convert(subjects, bench, Path(name), progress)
        groups = dict.fromkeys((subject.threads, subject.batch_size) for subject in subjects)
        try:
            for group in groups:
                members = [subject for subject in subjects if (subject.threads, subject.batch_size) == group]
                found += _measure_group(members, bench, files, progress)
        finally:
            torch.set_num_threads(threads)
    return found


@dataclass(frozen=True)
class _File:
    path: Path
    facts: Mapping[str, Any]


def _converted_as(subject: Subject) -> tuple[Any, ...]:
    return subject.network, subject.tasks, subject.runtime, subject.precision, subject.batch_size


def _convert(
    subjects: Sequence[Subject], bench: Bench, folder: Path, progress: Progress
) -> dict[tuple[Any, ...], _File]:
    """Convert each network once per runtime, precision and batch size, and see what its file costs."""
    files: dict[tuple[Any, ...], _File] = {}
    distinct = {_converted_as(subject): subject for subject in subjects}
    calibration = torch.split(bench.faces(len(bench.stored)), 1)
    bar = progress.add_task("converting", total=len(distinct))
    for number, (key, subject) in enumerate(distinct.items()):
        runtime = get_runtime(subject.runtime)
        path = folder / f"{number}{runtime.suffix}"
        example = bench.faces(subject.batch_size)
        facts: dict[str, Any] = {}
        if subject.network != PREPROCESSING:
            torch.manual_seed(0)
            build = partial(bench.build, subject)
            model = Logits(build().eval())
            seen = calibration if subject.precision == "int8" else ()
            runtime.convert(Conversion(model, example, subject.precision, seen, {}), path)
            facts = {
                "counts": asdict(count(build, bench.size)),
                "file_bytes": sum(file.stat().st_size for file in files_of(path)),
                "peak_bytes": peak_of_one_inference(subject.runtime, path, example.numpy()),
            }
        files[key] = _File(path, facts)
        progress.advance(bar)
    progress.remove_task(bar)
    return files


def _measure_group(
    subjects: Sequence[Subject], bench: Bench, files: Mapping[tuple[Any, ...], _File], progress: Progress
) -> list[Measurement]:
    batch_size, threads = subjects[0].batch_size, subjects[0].threads
    images, stored = bench.faces(batch_size).numpy(), bench.stored[torch.arange(batch_size) % len(bench.stored)]
    calls: dict[str, Callable[[], object]] = {}
    for subject in subjects:
        if subject.network == PREPROCESSING:
            calls[subject.name] = partial(_preprocess, stored, bench.size, threads)
        else:
            session = get_runtime(subject.runtime).open(files[_converted_as(subject)].path, threads)
            calls[subject.name] = partial(session, images)
    before = circumstances(TOOLS)
    bar = progress.add_task(f"{threads} threads, batch {batch_size}", total=bench.calls * len(subjects))
    timed, again = measure(calls, bench.calls, partial(progress.advance, bar))
    progress.remove_task(bar)
    shared = {
        "device": device(),
        "turns": {"of": list(timed), "drift": drift(next(iter(timed.values())), again)},
        "environment": before,
        "load_average_after": circumstances(())["load_average"],
        "input": f"float32 ({batch_size}, 3, {bench.size}, {bench.size})",
    }
    found = []
    for subject in subjects:
        own = timed[subject.name]
        facts = {**files[_converted_as(subject)].facts, "latency_ms": asdict(summarize(own)), **shared}
        folder = folder_of(subject, device(), bench.costs)
        write(folder, subject, facts, own)
        found.append(Measurement(subject, folder, facts))
    return found


def _preprocess(stored: Tensor, size: int, threads: int) -> NDArray[np.float32]:
    """The way of decoded faces into a network: resized and standardised."""
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    return standardize(resize(stored, size)).contiguous().numpy()
