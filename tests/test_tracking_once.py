"""Each run folder is one run in MLflow, whatever was moved, stopped or started at once: in a SQLite file."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agegender.runs.folder import RunFolder
from agegender.tracking import sync as tracking
from agegender.tracking.payload import accepted
from agegender.tracking.sweeps import kept_under_way, sweep_folder
from agegender.tracking.target import Target
from tracked_runs import add_history, finish, history_of, make_run, server_run, sweep_of

mlflow = pytest.importorskip("mlflow")


def runs_of(target: Target, folder: RunFolder) -> list["mlflow.entities.Run"]:
    client = mlflow.MlflowClient(target.uri)
    experiment = client.get_experiment_by_name(target.experiment).experiment_id
    found: list[mlflow.entities.Run] = client.search_runs([experiment], f"tags.identity = '{folder.identity}'")
    return found


def test_a_folder_moved_with_its_database_is_known_there(target: Target, tmp_path: Path) -> None:
    mine = Target(target.uri, "moved", target.artifacts)
    folder = make_run(tmp_path / "before")
    finish(folder)
    sweep_of(mine, tmp_path / "before", "moved", folder)
    tracking.track(mine, [folder])
    (tmp_path / "before").rename(tmp_path / "after")
    shutil.copy(target.uri.removeprefix("sqlite:///"), tmp_path / "after" / "mlflow.db")
    there = Target(f"sqlite:///{tmp_path / 'after' / 'mlflow.db'}", "moved", target.artifacts)
    moved = RunFolder(tmp_path / "after" / folder.identity)
    assert tracking.track(there, [moved]) == (0, 1, 0)
    client = mlflow.MlflowClient(there.uri)
    assert len(client.search_runs([client.get_experiment_by_name("moved").experiment_id])) == 2, "the run, its sweep"
    assert there.run_of(moved) == there.run_of(moved) == mine.run_of(moved)


def test_a_run_made_and_not_remembered_is_found(target: Target, tmp_path: Path) -> None:
    mine = Target(target.uri, "not remembered", target.artifacts)
    folder = make_run(tmp_path)
    with tracking.follow(mine, folder, system_metrics=False):
        made = mine.run_of(folder)
        folder.write("mlflow", {**folder.read("mlflow"), "runs": {}})  # as a kill would leave it
        finish(folder)
    (run,) = runs_of(mine, folder)
    assert (run.info.run_id, run.info.status) == (made, "FINISHED")
    assert mine.run_of(folder) == made


def test_a_run_announced_by_many_at_once_is_made_once(target: Target, tmp_path: Path) -> None:
    mine = Target(target.uri, "many at once", target.artifacts)
    folder = make_run(tmp_path)
    parent = sweep_of(mine, tmp_path, "many", folder)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: tracking.announce(mine, folder, parent=parent, name="once"), range(4)))
    assert [run.info.status for run in runs_of(mine, folder)] == ["SCHEDULED"]


def test_two_trainings_of_one_run_are_two_runs(target: Target, tmp_path: Path) -> None:
    """As those of two persons who share a server, or of one who removed a folder: their points are not mixed."""
    mine = Target(target.uri, "two trainings", target.artifacts)
    folders = [make_run(tmp_path / name) for name in ("hers", "his")]
    for folder in folders:
        finish(folder)
    assert tracking.track(mine, folders) == (2, 0, 0)
    assert len(runs_of(mine, folders[0])) == 2


def test_a_step_made_again_after_a_kill_has_one_point(target: Target, tmp_path: Path) -> None:
    folder = make_run(tmp_path, lines=0)
    killed = tracking.follow(target, folder, system_metrics=False)
    send = killed.__enter__()  # and never left, as by SIGKILL
    add_history(folder, 0, 5)
    send()
    folder.history.write_text("".join(folder.history.read_text().splitlines(keepends=True)[:2]))
    with tracking.follow(target, folder, system_metrics=False) as send:
        add_history(folder, 2, 6, later=100)
        send()
        finish(folder)
    for name in ("train/loss", "val/age_exact"):
        assert [step for step, _, _ in history_of(target, folder, name)] == list(range(8))


def test_what_a_stopped_sweep_left_as_waiting_is_ended(target: Target, tmp_path: Path) -> None:
    client = mlflow.MlflowClient(target.uri)
    folders = [make_run(tmp_path, fold) for fold in range(3)]
    sweep = sweep_folder(tmp_path, "killed")
    with kept_under_way(sweep):
        parent = sweep_of(target, tmp_path, "killed", *folders)
        for folder in folders:
            tracking.announce(target, folder, parent=parent, name=folder.identity)
        finish(folders[0])
        assert tracking.track(target, folders) == (1, 0, 2)
        assert [server_run(target, each).info.status for each in folders] == ["FINISHED", "SCHEDULED", "SCHEDULED"]
        assert client.get_run(parent).info.status == "RUNNING"
    with folders[1].claimed():  # by a process of its own
        tracking.track(target, folders)
        assert [server_run(target, each).info.status for each in folders] == ["FINISHED", "SCHEDULED", "KILLED"]
    assert client.get_run(parent).info.status == "KILLED"


def test_what_a_folder_remembered_in_another_shape_is_no_error(target: Target, tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    folder.write("mlflow", {target.label: {"run_id": "1", "end": "done"}})
    finish(folder)
    assert tracking.track(target, [folder]) == (1, 0, 0)
    assert server_run(target, folder).info.status == "FINISHED"


def test_names_that_mlflow_refuses_are_written_otherwise(target: Target, tmp_path: Path) -> None:
    names = [accepted(f"age_exact/{system}") for system in ("mine+se@224", "mine-se 224", "mine@se+224")]
    assert len(set(names)) == 3
    parent = sweep_of(target, tmp_path, "odd", metrics=dict.fromkeys(names, 0.5), status="FINISHED")
    assert set(mlflow.MlflowClient(target.uri).get_run(parent).data.metrics) == set(names)
