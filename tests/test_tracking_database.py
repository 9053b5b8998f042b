"""MLflow's SQLite file is there whole or not at all, whatever stops its making."""

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from agegender.errors import UserError
from agegender.tracking.server import check_server
from agegender.tracking.target import find_target

mlflow = pytest.importorskip("mlflow")


def tables_only(file: Path) -> None:
    """What a process leaves that is stopped while MLflow itself makes the file: some tables, no experiment."""
    from mlflow.store.tracking.dbmodels.initial_models import Base
    from sqlalchemy import create_engine

    file.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(f"sqlite:///{file}")
    Base.metadata.create_all(engine)
    engine.dispose()
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("CREATE TABLE evaluation_datasets (dataset_id VARCHAR(36))")


def test_a_file_stopped_in_its_making_is_not_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A killed process leaves nothing under the final name; a half-made file of elsewhere is set aside."""
    file = tmp_path / "mlflow.db"
    code = "import sys; from pathlib import Path; from agegender.tracking.database import ensure_database;"
    code += "ensure_database(Path(sys.argv[1]))"
    process = subprocess.Popen([sys.executable, "-c", code, str(file)])
    partial = tmp_path / "mlflow.db.partial" / "mlflow.db"
    deadline = time.monotonic() + 120
    while not (partial.exists() and partial.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert partial.exists() and not file.exists()

    tables_only(file)
    with caplog.at_level(logging.WARNING, "agegender"):
        check_server(find_target(f"sqlite:///{file}", "faces", tmp_path))
    assert "mlflow.db was cut short in its making and holds no runs: it is set aside as" in caplog.text
    assert mlflow.MlflowClient(f"sqlite:///{file}").get_experiment_by_name("faces") is not None
    left = {each.name for each in tmp_path.iterdir()}
    assert left == {"mlflow.db", "mlflow.db.lock", "mlflow.db.half-made"}


def test_a_file_that_may_hold_runs_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    tables_only(file)
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (1, 'faces', 'active')")
    before = file.stat().st_ino
    with pytest.raises(UserError, match="cannot be used"):
        check_server(find_target(f"sqlite:///{file}", "faces", tmp_path))
    assert file.stat().st_ino == before


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("notes of mine, which are no database at all\n" * 100)
    with pytest.raises(UserError, match=r"mlflow\.db cannot be used \(file is not a database\): choose another"):
        check_server(find_target(f"sqlite:///{tmp_path / 'mlflow.db'}", "faces", tmp_path))
