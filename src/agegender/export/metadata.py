"""What a file for a runtime says of itself: everything that is needed to feed it and to read its answers."""

import json
from collections.abc import Mapping
from typing import Any

from agegender.data.transforms.preprocessing import Preprocessing
from agegender.data.transforms.views import find_views
from agegender.heads.catalogue import HEADS
from agegender.prediction.trained import Trained
from agegender.runs.environment import version
from agegender.tasks import get_task

_NAMES = {head: name for name, head in HEADS.items()}


def describe(trained: Trained, statistics: str, free_batch: bool) -> Mapping[str, str]:
    """Return the metadata of a run's file, texts by name; `preprocessing` and `outputs` are JSON.

    `free_batch`: whether the file takes any number of faces at a time, or one. Outputs are told by their position, as
    some runtimes have no names for them.
    """
    side, channels = trained.input_size, ", ".join(trained.preprocessing.channels)
    preprocessing = {
        "face": f"a crop as in {trained.data}, RGB, resized to {trained.stored_size} x {trained.stored_size}, 0..255",
        "views": f"{trained.evaluation.views}: {find_views(trained.evaluation.views).meaning}",
        "resize": f"to {side} x {side}, bilinear, pixel i from coordinate i * {trained.stored_size} / {side}, no "
        "half-pixel centres, no antialiasing (TensorFlow 1 resize_images); crops are cut without resizing",
        **_numbers(trained.preprocessing, side),
        "layout": f"float32 ({'N' if free_batch else 1}, 3, {side}, {side}), channels {channels}",
    }
    heads: Any = trained.network.heads  # typed loosely because a ModuleDict knows only modules
    outputs = [
        {
            "position": position,
            "task": task,
            "meaning": get_task(task).title,
            "labels": list(trained.labels[task]),
            "values": "logits",
            "first": get_task(task).first,
            "step": get_task(task).step,
            "unit": get_task(task).unit or "label number",
            "reading": head.reading,
            "head": _NAMES.get(type(head), type(head).__name__),
            "answer": head.decision,
        }
        for position, (task, head) in enumerate(heads.items())
    ]
    return {
        "producer": f"agegender-bench {version('agegender-bench')}",
        "run": trained.identity,
        "batch_norm_statistics": statistics,
        "preprocessing": json.dumps(preprocessing),
        "outputs": json.dumps(outputs),
        "intended_use": "research on small networks; answers are guesses at annotators' labels, not facts about people",
    }


def _numbers(preprocessing: Preprocessing, side: int) -> Mapping[str, str]:
    """What is done to the values 0..255 of a face of `side` pixels."""
    if preprocessing.mean is None:
        smallest = f"255 / sqrt({3 * side * side})"
        return {"standardize": f"each image: (x - mean) / max(deviation, {smallest}) over all its values"}
    texts = (
        f"(x / {preprocessing.divisor:g} - {mean}) / {deviation}"
        for mean, deviation in zip(preprocessing.mean, preprocessing.deviation, strict=True)
    )
    named = (f"{channel}: {text}" for channel, text in zip(preprocessing.channels, texts, strict=True))
    return {"normalize": f"each pixel: {'; '.join(named)}"}
