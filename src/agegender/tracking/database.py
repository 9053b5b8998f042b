"""MLflow's SQLite file: made whole or not at all. Besides `server.py` the only module that imports mlflow, lazily."""

import logging
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

log = logging.getLogger(__name__)


def ensure_database(file: Path) -> None:
    """Make the file where it is missing, one process at a time; set one aside that was cut short in its making.

    MLflow takes seconds to make its tables and cannot go on with a part of them. sqlite3.Error where the file is
    something else or cannot be opened.
    """
    if file.exists() and _half_made(file):
        aside = file.with_name(f"{file.name}.half-made")
        log.warning("%s was cut short in its making and holds no runs: it is set aside as %s", file, aside.name)
        file.replace(aside)
    if not file.exists():
        _make(file)


def _half_made(file: Path) -> bool:
    """Tell whether a database holds nothing yet: of all that MLflow makes in it, the first experiment comes last."""
    with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=rw", timeout=20, uri=True)) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "experiments" not in tables:
            return not tables  # others are not MLflow's
        return database.execute("SELECT 1 FROM experiments LIMIT 1").fetchone() is None


def _make(file: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    partial = file.with_name(f"{file.name}.partial")  # a folder: SQLite puts its journal beside the file
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    artifacts = (file.parent / "mlartifacts").as_uri()
    store: Any = SqlAlchemyStore(f"sqlite:///{partial / file.name}", artifacts)  # type: ignore[no-untyped-call]
    store.engine.dispose()
    (partial / file.name).replace(file)
    partial.rmdir()
