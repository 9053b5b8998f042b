"""From a finished run to a file for a runtime: converted, checked face by face, described, and only then in place."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from agegender.data.batches import Faces
from agegender.data.transforms.views import get_views
from agegender.errors import UserError
from agegender.export.card import write_card
from agegender.export.metadata import describe
from agegender.export.parity import FACES, TaskParity, answers, compare, failures, some
from agegender.prediction.trained import Trained, load
from agegender.runs.config import read_run
from agegender.runs.predictions import read_predictions
from agegender.runtimes.catalogue import get_runtime
from agegender.runtimes.runtime import Conversion, Logits, files_of
from agegender.spec import Run
from agegender.training.inference import set_statistics
from agegender.training.run_data import faces_of, pack_of

if TYPE_CHECKING:
    import pandas as pd

    from agegender.runs.folder import RunFolder

FORMATS = {"onnx": "onnxruntime", "executorch": "executorch", "litert": "litert"}
STATISTICS = ("running", "batch")
CALIBRATION = 128  # training faces that int8 is calibrated with


def export(run: RunFolder, form: str, precision: str, statistics: str | None, folder: Path) -> list[Path]:
    """Export a run's network and return the files written: the network's and, last, its card.

    `form` is one of FORMATS, `precision` one of its runtime's; `statistics`, which a network that depends on its batch
    needs and no other may have, is "batch" (of the one face) or "running". The pack that the run was trained on must be
    there. UserError, and nothing left behind, where a word is wrong, something is missing, an operator cannot be
    converted, or a float32 file does not say what torch says.
    """
    if form not in FORMATS:
        raise UserError(f"format={form} is unknown: choose from {', '.join(FORMATS)}")
    runtime = get_runtime(FORMATS[form])
    runtime.check(precision)
    trained = load(run)
    used = _resolve_statistics(trained, statistics)
    trained_run = read_run(run)
    splits = _faces(trained_run, run)
    free = runtime.free_batch and not trained.depends_on_batch
    metadata = describe(trained, used, free)
    name = f"{trained.identity}-{precision}" + (f"-{statistics}" if statistics else "")
    # Beside where the files are to stand, so that each gets there whole or not at all.
    beside = next(place for place in (folder, *folder.parents) if place.is_dir())
    with tempfile.TemporaryDirectory(dir=beside, prefix=".partial-") as unfinished:
        file = Path(unfinished) / f"{name}{runtime.suffix}"
        calibration = _images(trained, some(splits["train"], CALIBRATION)) if precision == "int8" else ()
        example = _images(trained, some(splits["test"], 1))[0]
        network, tasks = Logits(trained.network), tuple(trained.network.heads)
        runtime.convert(Conversion(network, example, precision, calibration, metadata, tasks, free), file)
        faces = some(splits["test"], FACES)
        logits = answers(trained.network, runtime.open(file, 1), faces, partial(_seen, trained))
        heads: dict[str, Any] = dict(trained.network.heads.items())
        parity = {task: compare(heads[task], faces, *both) for task, both in zip(heads, logits, strict=True)}
        if precision == "float32" and (problems := failures(parity)):
            raise UserError(f"the {form} file of {run.identity} is not the network that was trained ({problems[0]})")
        predictions = read_predictions(run.predictions)
        departure = _departure(predictions, faces, logits, trained) if statistics else {}
        card = file.with_name(f"{name}{runtime.suffix}.md")
        text = write_card(card.stem, trained_run, trained.identity, metadata, parity, departure, predictions, precision)
        card.write_text(text, encoding="utf-8")
        made = [*(part for part in files_of(file) if part != card), card]
        folder.mkdir(parents=True, exist_ok=True)
        return [part.replace(folder / part.name) for part in made]


def _resolve_statistics(trained: Trained, statistics: str | None) -> str:
    """Decide what batch norm is to use one face at a time; the network is set accordingly."""
    if not trained.depends_on_batch:
        if statistics is not None:
            raise UserError(
                f"statistics={statistics}: {trained.identity} uses running statistics anyway, leave statistics out"
            )
        return "running statistics"
    if statistics not in STATISTICS:
        raise UserError(
            f"{trained.identity} was evaluated with batch norm on the statistics of each batch of test faces, and a "
            "phone sees one face at a time: say statistics=batch (of the single face, as the authors' phone model) or "
            "statistics=running; either is another function than the one evaluated, and the card says by how much"
        )
    set_statistics(trained.network, statistics)
    return f"{'the single face' if statistics == 'batch' else 'running'} statistics"


def _faces(run: Run, folder: RunFolder) -> dict[str, Faces]:
    pack = pack_of(run.data)
    if pack.digest != folder.keys["data"]:
        raise UserError(f"{run.data.pack} holds other faces than {folder.identity} was trained on: prepare those again")
    splits = faces_of(run, pack)
    for faces in splits.values():
        faces.check()
    return splits


def _images(trained: Trained, faces: Faces) -> list[torch.Tensor]:
    return list(torch.split(_seen(trained, faces.stored(np.arange(len(faces.table)))), 1))


def _seen(trained: Trained, stored: torch.Tensor) -> torch.Tensor:
    """What the network reads of faces uint8 (N, S, S, 3): the first view, in torch's default layout."""
    view = get_views(trained.evaluation.views)[0]
    return trained.preprocessing(view(stored, trained.input_size)).contiguous()


def _departure(
    predictions: pd.DataFrame, faces: Faces, logits: list[tuple[np.ndarray, ...]], trained: Trained
) -> Mapping[str, TaskParity]:
    """Compare the run's own posteriors with those of the file, on the same faces."""
    rows = predictions.drop_duplicates("image").set_index("image").loc[faces.table["image"]]
    found = {}
    for task, (_, theirs) in zip(trained.network.heads, logits, strict=True):
        head: Any = trained.network.heads[task]
        columns = [f"{task}_p{label}" for label in range(len(head.task.labels))]
        found[task] = compare(head, faces, None, theirs, own=rows[columns].to_numpy(np.float32))
    return found
