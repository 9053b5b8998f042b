"""The faces of a run: which train, which choose the weights and which are tested."""

import logging

import pandas as pd
from omegaconf import DictConfig

from agegender.config.settings import other_test_set, pack_of, plain, tasks_of
from agegender.data.batches import Faces
from agegender.data.label_checks import check_labels
from agegender.data.pack import Pack
from agegender.data.splits import keep_half, split, thin_training
from agegender.datasets.protocols import apply_protocol
from agegender.tasks import get_task

log = logging.getLogger(__name__)


def faces_of(config: DictConfig, pack: Pack) -> dict[str, Faces]:
    """Return the faces of each name ("train", "validation", "test") that have a label for one of the system's tasks.

    With `data.test` the tested faces are another data set's, of the same fold. UserError for labels that the heads
    cannot learn from.
    """
    tasks, rows = tasks_of(config), _rows(config, pack)
    heads = dict(zip(tasks, plain(config.system.heads).values(), strict=True))
    check_labels(rows, heads, _place(config))
    rows = keep_half(rows, pack.manifest, config.fold, config.get("half"))
    rows = split(rows, config.fold, validation=config.protocol.get("validation", 0.1), rule=config.validation)
    rows = thin_training(rows, config.get("training_share", 1.0))
    splits = {
        name: Faces(pack.images, _labelled(rows[rows["split"] == name], tasks), tasks)
        for name in ("train", "validation", "test")
    }
    other = other_test_set(config)
    return splits if other is None else splits | {"test": _faces_elsewhere(other, tasks, rows[rows["split"] != "test"])}


def _faces_elsewhere(config: DictConfig, tasks: list[str], seen: pd.DataFrame) -> Faces:
    """Return the fold's faces of another data set, but for copies of faces that are `seen` in training."""
    pack = pack_of(config)
    rows = _rows(config, pack)
    check_labels(rows, {task: {} for task in tasks}, _place(config))
    rows = _labelled(rows[rows["fold"] == config.fold], tasks)
    copies = rows["sha256"].isin(seen["sha256"].dropna())
    if copies.any():
        log.warning("%d of the tested faces are byte-identical to faces of training: left out", copies.sum())
    return Faces(pack.images, rows[~copies].reset_index(drop=True), tasks)


def _rows(config: DictConfig, pack: Pack) -> pd.DataFrame:
    return apply_protocol(
        pack.manifest,
        config.protocol.name,
        config.data.name,
        fraction=config.protocol.get("fraction", 1.0),
        partial=bool(pack.info["missing"]),
    )


def _labelled(rows: pd.DataFrame, tasks: list[str]) -> pd.DataFrame:
    return rows[rows[[get_task(task).column for task in tasks]].notna().any(axis=1)].reset_index(drop=True)


def _place(config: DictConfig) -> str:
    return f"data={config.data.name} with protocol={config.protocol.name}"
