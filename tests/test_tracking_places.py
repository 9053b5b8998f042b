"""Servers that fail, addresses that cannot be used, and run folders without a server."""

import logging
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agegender.errors import UserError
from agegender.tracking import payload
from agegender.tracking import server as mlflow_server
from agegender.tracking import sync as tracking
from agegender.tracking.target import Target, find_target
from tracked_runs import closed_port, finish, make_run

mlflow = pytest.importorskip("mlflow")


def test_a_server_that_is_down_is_reported_at_once() -> None:
    start = time.monotonic()
    with pytest.raises(UserError, match=r"server at http://127\.0\.0\.1:\d+ does not answer: start it, or train with"):
        mlflow_server.check_server(Target(closed_port(), "faces"))
    assert time.monotonic() - start < 60


def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mlflow_server.IMPATIENT, "MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        start = time.monotonic()
        with pytest.raises(UserError, match="does not answer"):
            mlflow_server.check_server(Target(f"http://127.0.0.1:{silent.getsockname()[1]}", "faces"))
    assert time.monotonic() - start < 60


def test_a_failing_server_does_not_fail_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = make_run(tmp_path)
    dead = Target(closed_port(), "faces")
    start = time.monotonic()
    with caplog.at_level(logging.WARNING, "agegender"), tracking.follow(dead, folder) as send:
        for _ in range(20):
            send()
        finish(folder)
    assert time.monotonic() - start < 60
    warnings = [record.getMessage() for record in caplog.records if record.name.startswith("agegender")]
    assert len(warnings) == 1
    assert "send it later with `agegender track`" in warnings[0]
    assert "secret" not in warnings[0]
    assert folder.state == "done"


@pytest.mark.parametrize("uri", ["sqlite:///{0}/file/mlflow.db", "{0}/mlruns", "nonsense://x"])
def test_an_unusable_uri_is_refused(uri: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot be (used|read or written) .*choose another"):
        mlflow_server.check_server(find_target(uri.format(tmp_path), "faces", tmp_path))


def test_where_runs_are_tracked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    here = tmp_path.resolve()
    artifacts = (here / "my runs" / "mlartifacts").as_uri()
    assert find_target(None, "faces", Path("my runs")) == Target(
        f"sqlite:///{here}/my runs/mlflow.db", "faces", artifacts
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000/")
    assert find_target(None, "faces", Path("my runs")) == Target("http://host:5000", "faces")
    assert find_target("sqlite:///x.db", "faces", Path("my runs")).uri == f"sqlite:///{here}/x.db"


def test_passwords_stay_out_of_run_folders(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    target = Target("https://me:secret@host/mlflow", "faces")
    target.remember(folder, "1")
    assert folder.read("mlflow") == {"runs": {"https://host/mlflow": "1"}}


def test_a_broken_history_is_named(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    folder.history.write_text('{"step": 0}\n')
    with pytest.raises(UserError, match=r"history\.jsonl, line 1, is not a logged step"):
        payload.curve(folder)


def test_uncommitted_changes_are_told(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    folder.write("environment", {"commit": "abc123", "dirty": True})
    assert payload.tags(folder)["commit"] == "abc123 with uncommitted changes"


def test_mlflow_is_needed_only_for_tracking(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["mlflow"] = None  # as if it were not installed
from pathlib import Path
from agegender.tracking import server
from agegender.tracking.target import find_target
try:
    server.check_server(find_target(None, "faces", Path(sys.argv[1])))
except server.UserError as error:
    print(error)
"""
    shown = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    ).stdout
    assert "pip install mlflow" in shown
    assert "tracking=none" in shown
