"""Runs followed while they train, announced before, resumed after, and the sweep they stand in: in a SQLite file."""

import threading
import time
from pathlib import Path

import pytest

from agegender.tracking import sync as tracking
from agegender.tracking.sweeps import kept_under_way, sweep_folder
from agegender.tracking.target import Target
from tracked_runs import (
    add_history,
    closed_port,
    fail,
    finish,
    history_of,
    make_run,
    metric_names,
    server_run,
    sweep_of,
)

mlflow = pytest.importorskip("mlflow")


def test_a_run_is_followed_while_it_trains(target: Target, tmp_path: Path) -> None:
    folder = make_run(tmp_path, lines=1)
    with tracking.follow(target, folder, system_metrics=False) as send:
        assert server_run(target, folder).info.status == "RUNNING"
        add_history(folder, 1, 2)
        with folder.history.open("a") as file:
            file.write('{"step": 3, "ti')  # half a line
        send()
        assert [step for step, _, _ in history_of(target, folder, "train/loss")] == [0, 1, 2]
        assert "test/n" not in server_run(target, folder).data.metrics
        finish(folder)
    assert server_run(target, folder).info.status == "FINISHED"
    assert server_run(target, folder).data.metrics["test/n"] == 812


def test_a_resumed_run_goes_on_in_the_same_place(target: Target, tmp_path: Path) -> None:
    folder = make_run(tmp_path, lines=3)
    with pytest.raises(KeyboardInterrupt), tracking.follow(target, folder, system_metrics=False):
        raise KeyboardInterrupt
    interrupted = server_run(target, folder)
    assert interrupted.info.status == "KILLED"
    sent = history_of(target, folder, "train/loss")
    with tracking.follow(target, folder, system_metrics=False) as send:
        assert server_run(target, folder).info.status == "RUNNING"
        lines = folder.history.read_text().splitlines(keepends=True)
        folder.history.write_text("".join(lines[:1]))  # resumed from a checkpoint at step 1
        add_history(folder, 1, 4, later=100)  # which makes steps 1 and 2 again
        send()
        finish(folder)
    assert server_run(target, folder).info.run_id == interrupted.info.run_id
    assert [step for step, _, _ in history_of(target, folder, "train/loss")] == [0, 1, 2, 3, 4]
    assert history_of(target, folder, "train/loss")[:3] == sent


def test_system_metrics_stop_with_the_run(target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    folder = make_run(tmp_path, lines=0)
    threads = set(threading.enumerate())
    with pytest.raises(ZeroDivisionError), tracking.follow(target, folder) as send:
        send()
        assert set(threading.enumerate()) == threads, "the curve comes first"
        add_history(folder, 0, 1)
        send()
        assert {thread.name for thread in set(threading.enumerate()) - threads} == {"SystemMetricsMonitor"}
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and "system/cpu_utilization_percentage" not in metric_names(target, folder):
            time.sleep(0.1)
        fail(folder, "division by zero")
        raise ZeroDivisionError
    assert "system/cpu_utilization_percentage" in metric_names(target, folder)
    assert set(threading.enumerate()) <= threads
    assert mlflow.active_run() is None
    assert server_run(target, folder).info.status == "FAILED"


def test_a_run_not_sent_for_a_dead_server_is_sent_later(target: Target, tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    with tracking.follow(Target(closed_port(), "faces"), folder):
        finish(folder)
    assert tracking.track(target, [folder]) == (1, 0, 0)


def test_a_sweep_has_one_parent(target: Target, tmp_path: Path) -> None:
    client = mlflow.MlflowClient(target.uri)
    sweep = sweep_folder(tmp_path, "lmtcnn-1")
    ended = {"description": "| system | age |\n|---|---|", "metrics": {"best/age_exact": 0.45}}
    with kept_under_way(sweep):
        first = sweep_of(target, tmp_path, "lmtcnn-1", tags={"protocol": "lmtcnn_joint"})
        assert client.get_run(first).info.status == "RUNNING"
    assert sweep_of(target, tmp_path, "lmtcnn-1", status="FAILED", **ended) == first
    run = client.get_run(first)
    assert (run.info.run_name, run.info.status, run.data.metrics) == ("LMTCNN", "FAILED", {"best/age_exact": 0.45})
    assert run.data.tags["mlflow.note.content"] == "| system | age |\n|---|---|"

    with kept_under_way(sweep):
        assert sweep_of(target, tmp_path, "lmtcnn-1") == first
        assert client.get_run(first).info.status == "RUNNING"
    assert sweep_of(target, tmp_path, "lmtcnn-1", status="FINISHED", **ended) == first
    assert client.get_run(first).info.status == "FINISHED"
    assert len(client.get_metric_history(first, "best/age_exact")) == 1, "the same mean was sent twice"
    assert sweep_of(target, tmp_path, "lmtcnn-2") != first


def test_an_announced_run_waits_and_then_runs(target: Target, tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    parent = sweep_of(target, tmp_path, "waiting", folder)
    tracking.announce(target, folder, parent=parent, name="waiting")
    run_id = target.run_of(folder)
    client = mlflow.MlflowClient(target.uri)
    assert client.get_run(run_id).info.status == "SCHEDULED"
    with folder.claimed(), tracking.follow(target, folder, system_metrics=False):
        tracking.announce(target, folder, parent=parent, name="announced by another sweep")
        assert client.get_run(run_id).info.status == "RUNNING"
    assert client.get_run(run_id).data.tags["mlflow.parentRunId"] == parent
