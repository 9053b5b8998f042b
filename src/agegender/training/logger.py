"""Lightning's logger of a run: the curve goes into the run folder, for people, resume and the tracker alike."""

import json
import time
from argparse import Namespace
from collections.abc import Callable, Mapping
from math import inf
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger


class History(Logger):
    """Append what Lightning logs to `history.jsonl`; call `sync` now and then so that a tracker can follow."""

    def __init__(self, path: Path, sync: Callable[[], None] | None = None, every_seconds: float = 10.0):
        super().__init__()
        self.path, self.sync, self.every_seconds = path, sync, every_seconds
        self._synced = -inf  # the first line is sent at once

    @property
    def name(self) -> str:
        return "history"

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: the resolved configuration is in the run folder."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        values = {name: float(value) for name, value in metrics.items() if name != "epoch"}
        line = {"step": step or 0, "time": time.time(), "values": values}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self.sync and time.monotonic() - self._synced > self.every_seconds:
            self.sync()
            self._synced = time.monotonic()
