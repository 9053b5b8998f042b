"""The model card beside an exported file: what it is for, what it was trained on, how often it is right for whom."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from agegender.datasets.protocols import get_protocol
from agegender.export.parity import TOLERANCE, TaskParity
from agegender.metrics import Metric, headline_of
from agegender.metrics.catalogue import answers_of
from agegender.report.markup import MARKDOWN, code
from agegender.spec import Run
from agegender.tasks import Task, get_task

FEW = 30  # faces: below it a share says next to nothing and is marked

USE = """\
## Intended use

Research on small networks that read faces: comparing networks, runtimes and precisions under one protocol, and trying
them on devices.

Not for decisions about a person, identification, surveillance, or advertising to a person by guessed age or gender. An
answer is a guess at the label an annotator gave (*annotated age group*, *annotated gender* with two values), not what a
person is. The network repeats the errors and the imbalance of its data set."""


def write_card(
    name: str,
    run: Run,
    identity: str,
    metadata: Mapping[str, str],
    parity: Mapping[str, TaskParity],
    departure: Mapping[str, TaskParity],
    predictions: pd.DataFrame,
    precision: str,
) -> str:
    """Return the card as Markdown.

    `parity` compares the file with torch computing the same function, `departure` with the run's own predictions where
    the file is another function. `predictions` are the run's own, of the whole test fold.
    """
    return (
        "\n\n".join(
            [
                f"# {MARKDOWN.escape(name)}",
                f"{MARKDOWN.escape(run.system.title)}, {precision}, exported from the run {code(identity)} of "
                "agegender-bench.",
                USE,
                "## Training",
                "\n".join(_training(run)),
                "## Feeding it",
                "\n".join(_feeding(metadata)),
                "## Is it the network that was trained?",
                *_parity(parity, precision),
                *_departure(departure, metadata["batch_norm_statistics"]),
                "## How often it was right, and for whom",
                f"torch's answers on the whole test fold {run.fold} ({len(predictions):,} faces), evaluated as the "
                "run says; 95 % intervals draw whole subjects where they are known. They cover the choice of "
                "the test faces, not of the training faces.",
                *(table for task in parity for table in _shares(run, predictions, task)),
                f"†: fewer than {FEW} faces. Slices other than annotated gender and annotated age group were not "
                "evaluated; other cameras, ages, places and ways to cut a face out were not tried.",
            ]
        )
        + "\n"
    )


def _training(run: Run) -> Iterator[str]:
    protocol, recipe = get_protocol(run.protocol.name, run.data.name), run.recipe
    data = MARKDOWN.escape(run.data.title)
    yield f"- **data**: {data}, test fold {run.fold}; see its terms before passing anything on"
    if run.test:
        test = run.test.data.name
        yield f"- **tested on**: the faces of {test} of that fold, and all that is said of test faces here is of those"
    yield f"- **protocol**: {protocol.name} v{protocol.version}: {MARKDOWN.escape(protocol.description)}"
    if run.protocol.fraction < 1:
        yield f"- **part of the data**: {run.protocol.fraction:.0%} of every stratum"
    steps = f"{recipe.steps} steps of {recipe.batch_size}"
    yield f"- **recipe**: {MARKDOWN.escape(recipe.name)}, {steps}, seed {run.seed}; mode {run.mode}"


def _feeding(metadata: Mapping[str, str]) -> Iterator[str]:
    """What the file holds as metadata, its JSON laid out."""
    for key, value in metadata.items():
        if not value.startswith(("{", "[")):
            yield f"- {key.replace('_', ' ')}: {MARKDOWN.escape(value)}"
            continue
        found = json.loads(value)
        yield f"- {key}:"
        if isinstance(found, dict):
            yield from (f"  - {name}: {MARKDOWN.escape(str(word))}" for name, word in found.items())
        else:
            yield from (f"  - {o['task']}, {o['values']} of {o['meaning']} ({_head(o)}): {_labels(o)}" for o in found)


def _parity(parity: Mapping[str, TaskParity], precision: str) -> Iterator[str]:
    faces = next(iter(parity.values())).faces
    if precision == "float32":
        yield (
            f"On {faces:,} faces of the test fold its logits were compared with torch's: none may differ by more than "
            f"{TOLERANCE:g}, and no answer by more than rounding can."
        )
    else:
        yield f"On {faces:,} faces of the test fold, {precision} against torch in float32, face by face:"
    yield _comparison(parity, "torch", "file")


def _departure(departure: Mapping[str, TaskParity], statistics_of: str) -> Iterator[str]:
    if not departure:
        return
    yield (
        "**The file is another function than the one that was evaluated.** The run's batch norm used the statistics "
        "of each batch of test faces; one face at a time there is no such batch, and the file uses "
        f"{statistics_of}. On the same faces, the run's own predictions against the file's:"
    )
    yield _comparison(departure, "run", "file")


def _comparison(found: Mapping[str, TaskParity], one: str, other: str) -> str:
    head = f"| task | largest logit difference | answers changed | {one} | {other} | difference | n |"
    lines = [head, "|---|--:|--:|--:|--:|--:|--:|"]
    for task, each in found.items():
        metric = headline_of(get_task(task))
        what = f"{get_task(task).title}: {metric.meaning}, {metric.unit}"
        difference, low, high = map(metric.signed_text, (each.difference, each.low, each.high))
        largest = "—" if each.largest != each.largest else f"{each.largest:.2g}"
        lines.append(
            f"| {what} | {largest} | {each.changed} | {metric.text(each.torch)} | {metric.text(each.file)} | "
            f"{difference} [{low} to {high}] | {each.n:,} |"
        )
    return "\n".join(lines)


def _shares(run: Run, predictions: pd.DataFrame, task: str) -> Iterator[str]:
    """How right the answers to a task are, of all faces and by annotated gender and age where they are known."""
    faces = predictions[predictions[f"{task}_true"].notna()]
    metric = headline_of(get_task(task))
    head = f"| {get_task(task).title} | {metric.meaning}, {metric.unit} | 95 % interval | n |"
    lines = [head, "|---|--:|--:|--:|"]
    lines.append(_share("all", faces, metric))
    for other in (name.removesuffix("_true") for name in predictions.columns if name.endswith("_true")):
        for word, (low, high) in _slices(get_task(other), run.labels_of(other)).items():
            members = faces[faces[f"{other}_true"].between(low, high, inclusive="left")]
            lines.append(_share(f"{get_task(other).title} {word}", members, metric))
    yield "\n".join(lines)


def _share(name: str, faces: pd.DataFrame, metric: Metric) -> str:
    if faces.empty:
        return f"| {name} | — | — | 0 |"
    mean = metric.formula(answers_of(faces, get_task(metric.task)))
    low, high = metric.interval(faces)
    mark = " †" if len(faces) < FEW else ""
    return f"| {name}{mark} | {metric.text(mean)} | {metric.text(low)} to {metric.text(high)} | {len(faces):,} |"


def _slices(task: Task, labels: Sequence[str]) -> Mapping[str, tuple[float, float]]:
    """Name the groups of faces that are told apart by their labels: lowest value, and the one they stay below."""
    if not task.measured:
        return {word: (label, label + 1) for label, word in enumerate(labels)}
    width = 10 if task.unit == "years" else 1
    starts = range(int(task.values[0]), int(task.values[-1]) + 1, width)
    return {f"{start} to below {start + width}": (start, start + width) for start in starts}


def _head(output: Mapping[str, str]) -> str:
    return f"head {output['head']}: {output['reading']}; answer: {output['answer']}"


def _labels(output: Mapping[str, list[str]]) -> str:
    labels = output["labels"]
    return ", ".join(labels) if len(labels) <= 10 else f"{labels[0]}, {labels[1]} to {labels[-1]}"
