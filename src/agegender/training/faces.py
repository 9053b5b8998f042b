"""The faces of a run: the pack that it reads, and its splits into training, validation and test faces."""

import logging
import shlex

import pandas as pd

from agegender.data.batches import Faces
from agegender.data.label_checks import check_labels
from agegender.data.pack import Pack, open_pack, recorded
from agegender.data.splits import keep_half, split, thin_training
from agegender.datasets.protocols import apply_protocol
from agegender.spec import Data, ProtocolChoice, Run
from agegender.tasks import get_task

log = logging.getLogger(__name__)


def pack_of(data: Data) -> Pack:
    """Open the pack of a data set; UserError with the command that builds it when it is missing or stale."""
    return open_pack(
        data.pack,
        dataset=data.name,
        size=data.size,
        settings=data.settings,
        source=data.source,
        remedy=prepare_command(data),
    )


def prepare_command(data: Data) -> str:
    """Return the command that builds a pack; settings that are left open are those of the pack that is there."""
    made = recorded(data.pack)
    overrides = [f"data={data.name}"]
    if data.source or data.name != "generated":
        overrides.append(f"data.source={data.source or made.get('source', '/path/to/it')}")
    settings = {
        key: made.get("settings", {}).get(key) if value is None else value for key, value in data.settings.items()
    }
    overrides += [f"data.settings.{key}={value}" for key, value in settings.items() if value not in (None, "auto")]
    if data.size != 256:
        overrides.append(f"data.size={data.size}")
    if data.allow_missing:
        overrides.append("data.allow_missing=true")
    if data.pack.parts[-3:] != ("data", "packs", f"{data.name}-{data.size}") or data.pack.is_absolute():
        overrides.append(f"data.pack={data.pack}")
    return "agegender prepare " + " ".join(map(shlex.quote, overrides))


def faces_of(run: Run, pack: Pack) -> dict[str, Faces]:
    """Return the faces of each split ("train", "validation", "test") that have a label for one of the run's tasks.

    With a `test` set the tested faces are another data set's, of the same fold. UserError for labels that the heads
    cannot learn from.
    """
    rows = _rows(run.data, run.protocol, pack)
    heads = {task: head.options for task, head in run.system.heads.items()}
    check_labels(rows, heads, _place(run.data, run.protocol))
    rows = keep_half(rows, pack.manifest, run.fold, run.half)
    rows = split(rows, run.fold, validation=run.protocol.validation, rule=run.validation)
    rows = thin_training(rows, run.training_share)
    splits = {
        name: Faces(pack.images, _labelled(rows[rows["split"] == name], run.tasks), run.tasks)
        for name in ("train", "validation", "test")
    }
    return splits if run.test is None else splits | {"test": _faces_elsewhere(run, rows[rows["split"] != "test"])}


def _faces_elsewhere(run: Run, seen: pd.DataFrame) -> Faces:
    """Return the fold's faces of another data set, but for copies of faces that are `seen` in training."""
    assert run.test is not None
    pack = pack_of(run.test.data)
    rows = _rows(run.test.data, run.test.protocol, pack)
    check_labels(rows, {task: {} for task in run.tasks}, _place(run.test.data, run.test.protocol))
    rows = _labelled(rows[rows["fold"] == run.fold], run.tasks)
    copies = rows["sha256"].isin(seen["sha256"].dropna())
    if copies.any():
        log.warning("%d of the tested faces are byte-identical to faces of training: left out", copies.sum())
    return Faces(pack.images, rows[~copies].reset_index(drop=True), run.tasks)


def _rows(data: Data, protocol: ProtocolChoice, pack: Pack) -> pd.DataFrame:
    partial = bool(pack.info["missing"])
    return apply_protocol(pack.manifest, protocol.name, data.name, fraction=protocol.fraction, partial=partial)


def _labelled(rows: pd.DataFrame, tasks: tuple[str, ...]) -> pd.DataFrame:
    return rows[rows[[get_task(task).column for task in tasks]].notna().any(axis=1)].reset_index(drop=True)


def _place(data: Data, protocol: ProtocolChoice) -> str:
    return f"data={data.name} with protocol={protocol.name}"
