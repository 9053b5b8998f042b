"""Run folders as they grow, and what an MLflow server knows of them."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from agegender.runs.config import write_run
from agegender.runs.folder import RunFolder, identity
from agegender.tracking.sweeps import send_sweep, sweep_folder, write_sweep
from agegender.tracking.target import Target
from made_runs import made_run

mlflow = pytest.importorskip("mlflow")


STARTED = 1_700_000_000.0


@contextmanager
def serving(folder: Path, database: str) -> Iterator[tuple[str, int]]:
    """An `mlflow server` on this machine; yields its URI and its process group."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers=1"]
    command += ["--backend-store-uri", database, "--artifacts-destination", str(folder / "artifacts")]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # more processes, of no use here
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait_for(f"{uri}/health", process, folder / "log")
        yield uri, process.pid
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)  # the server runs its workers in processes of their own
        process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 150
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"mlflow server did not start:\n{log.read_text()[-2000:]}")


def make_run(runs: Path, fold: int = 0, lines: int = 3) -> RunFolder:
    """A run under way: everything that stands in its folder before the end."""
    run = made_run(data="generated", protocol="lmtcnn_joint", source=Path("/faces of mine"), seed=7, fold=fold)
    keys = run.identity_keys("d" * 64)
    folder = RunFolder(runs / identity("lmtcnn_2_1", keys))
    folder.write("identity", {"identity": folder.identity, "keys": keys})
    folder.write(
        "environment",
        {
            "commit": "abc123",
            "dirty": False,
            "versions": {"torch": "2.14.1"},
            "hardware": {"cpu": "some CPU", "cores": 2},
            "started": "2023-11-14T22:13:20+00:00",
        },
    )
    write_run(folder, run)
    folder.log.write_text("epoch 0\n")
    add_history(folder, 0, lines)
    return folder


def add_history(folder: RunFolder, start: int, lines: int, later: float = 0) -> None:
    with folder.history.open("a") as file:
        for step in range(start, start + lines):
            values = {"train/loss": 2.0 - step / 1000, "val/age_exact": step / 1000}
            file.write(json.dumps({"step": step, "time": STARTED + step + later, "values": values}) + "\n")


def finish(folder: RunFolder) -> None:
    folder.predictions.write_text("image,fold\na.jpg,0\n")
    folder.weights.write_bytes(b"weights")
    folder.write("metrics", {"test/age_exact": 0.44, "test/n": 812, "test/note": "words", "test/mae": None})
    folder.finish()
    os.utime(folder.path / "done", (STARTED + 60, STARTED + 60))


def fail(folder: RunFolder, error: str) -> None:
    folder.write("failed", {"error": error, "traceback": "Traceback: line 1"})


def sweep_of(target: Target, runs: Path, name: str, *folders: RunFolder, **shown: object) -> str:
    """A sweep that stands in MLflow with these runs; return the id of its own run."""
    what = {"title": "LMTCNN", "tags": {}, "description": "under way", "metrics": {}, "status": "RUNNING"}
    sweep = sweep_folder(runs, name)
    write_sweep(sweep, runs={folder.identity: [] for folder in folders}, **{**what, **shown})
    return send_sweep(target, sweep)


def server_run(target: Target, folder: RunFolder) -> "mlflow.entities.Run":
    return mlflow.MlflowClient(target.uri).get_run(target.run_of(folder))


def history_of(target: Target, folder: RunFolder, name: str) -> list[tuple[int, int, float]]:
    run_id = target.run_of(folder)
    found = mlflow.MlflowClient(target.uri).get_metric_history(run_id, name)
    return [(metric.step, metric.timestamp, metric.value) for metric in found]


def everything(target: Target, folder: RunFolder) -> object:
    """All the server knows of a run, to see whether anything changed."""
    run, client = server_run(target, folder), mlflow.MlflowClient(target.uri)
    files = sorted((file.path, file.file_size) for file in client.list_artifacts(run.info.run_id))
    histories = {name: history_of(target, folder, name) for name in run.data.metrics}
    return run.to_dictionary(), histories, files


def metric_names(target: Target, folder: RunFolder) -> set[str]:
    return set(server_run(target, folder).data.metrics)


def closed_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://someone:secret@127.0.0.1:{free.getsockname()[1]}"
