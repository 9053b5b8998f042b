"""Everything here talks to a real MLflow: a SQLite file, or a server on this machine."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agegender.errors import UserError
from agegender.tracking import server as mlflow_server
from agegender.tracking import sync as tracking
from agegender.tracking.target import Target, find_target
from tracked_runs import everything, fail, finish, history_of, make_run, server_run, serving, sweep_of

mlflow = pytest.importorskip("mlflow")


@pytest.fixture(scope="module")
def two_starters(tmp_path_factory: pytest.TempPathFactory) -> tuple[Target, list[tuple[int, str]]]:
    """Where two processes that started at once made their database, and their exit statuses and error streams."""
    code = (
        "import sys; from pathlib import Path; from agegender.tracking import server, target;"
        "server.check_server(target.find_target(None, 'faces', Path(sys.argv[1])))"
    )
    runs = tmp_path_factory.mktemp("own") / "my runs"
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    command = [sys.executable, "-c", code, str(runs)]
    started = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate(timeout=250)[1] for process in started]
    outcome = [(process.returncode, error) for process, error in zip(started, errors, strict=True)]
    return find_target(f"sqlite:///{runs / 'mlflow.db'}", "faces", runs), outcome


@pytest.fixture(scope="module")
def target(two_starters: tuple[Target, list[tuple[int, str]]]) -> Target:
    """The database that is there already, in place of the one that other files get."""
    return two_starters[0]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, target: Target) -> Iterator[Target]:
    """An `mlflow server` of its own on the SQLite file, for which the tables are there already."""
    with serving(tmp_path_factory.mktemp("mlflow server"), target.uri) as (uri, _):
        yield Target(uri, "faces on a server")


@pytest.fixture(params=["sqlite", "server"])
def place(request: pytest.FixtureRequest, target: Target) -> Target:
    chosen: Target = target if request.param == "sqlite" else request.getfixturevalue("server")
    mlflow_server.check_server(chosen)
    return chosen


def test_a_finished_run_arrives_whole(place: Target, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = make_run(tmp_path / "my runs")
    finish(folder)
    parent = sweep_of(place, tmp_path / "my runs", "whole", folder)
    assert tracking.track(place, [folder]) == (1, 0, 0)

    run = server_run(place, folder)
    assert run.info.run_name == "lmtcnn_2_1 fold 0 seed 7"
    assert (run.info.status, run.info.start_time, run.info.end_time) == (
        "FINISHED",
        1_700_000_000_000,
        1_700_000_060_000,
    )
    assert (
        run.data.tags.items()
        >= {
            "system": "lmtcnn_2_1",
            "fold": "0",
            "seed": "7",
            "protocol": "lmtcnn_joint",
            "mode": "sound",
            "data": "generated",
            "identity": folder.identity,
            "commit": "abc123",
            "torch": "2.14.1",
            "hardware": '{"cpu": "some CPU", "cores": 2}',
            "mlflow.parentRunId": parent,
        }.items()
    )
    assert (
        run.data.params.items()
        >= {
            "system.heads.age.name": "softmax",
            "recipe.augmentation": "crops",
            "data": "d" * 64,
            "fold": "0",
        }.items()
    )
    assert history_of(place, folder, "train/loss") == [
        (s, 1000 * (1_700_000_000 + s), 2.0 - s / 1000) for s in range(3)
    ]
    final = {name: run.data.metrics.get(name) for name in ("test/age_exact", "test/n", "test/note", "test/mae")}
    assert final == {"test/age_exact": 0.44, "test/n": 812, "test/note": None, "test/mae": None}
    assert history_of(place, folder, "test/n")[0][0] == 2
    assert capfd.readouterr().out == ""


def test_files_and_data_arrive(place: Target, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "my runs")
    finish(folder)
    tracking.track(place, [folder])
    run = server_run(place, folder)
    found = mlflow.MlflowClient(place.uri).list_artifacts(run.info.run_id)
    assert {file.path for file in found} == set(mlflow_server.ARTIFACTS) - {"weights.json", "transfer.json"}
    weights = mlflow.artifacts.download_artifacts(
        f"{run.info.artifact_uri}/weights.safetensors", tracking_uri=place.uri
    )
    assert Path(weights).read_bytes() == b"weights"

    inputs = {given.tags[0].value: given.dataset for given in run.inputs.dataset_inputs}
    assert {context: data.name for context, data in inputs.items()} == {
        "training": "generated fold 0 training",
        "test": "generated fold 0 test",
    }
    assert inputs["training"].digest == "d" * 36
    assert json.loads(inputs["training"].source) == {"uri": "/faces of mine"}


def test_sending_twice_changes_nothing(place: Target, tmp_path: Path) -> None:
    folder, under_way = make_run(tmp_path), make_run(tmp_path, fold=1)
    finish(folder)
    assert tracking.track(place, [folder, under_way]) == (1, 0, 1)
    before = everything(place, folder)
    folder.log.write_text("would be sent if anything were\n")
    assert tracking.track(place, [folder, under_way]) == (0, 1, 1)
    assert everything(place, folder) == before


def test_a_run_sent_alone_joins_its_sweep_later(target: Target, tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    finish(folder)
    tracking.track(target, [folder])
    first = sweep_of(target, tmp_path, "joined first", folder)
    assert tracking.track(target, [folder]) == (0, 1, 0)
    second = sweep_of(target, tmp_path, "joined later", folder)
    tracking.announce(target, folder, parent=second, name="a name of the sweep's")
    assert server_run(target, folder).data.tags["mlflow.parentRunId"] == first
    assert server_run(target, folder).info.run_name == "a name of the sweep's"


def test_the_runs_of_a_deleted_sweep_join_the_new_one(target: Target, tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    finish(folder)
    lost = sweep_of(target, tmp_path, "deleted in the UI", folder)
    tracking.track(target, [folder])
    mlflow.MlflowClient(target.uri).delete_run(lost)
    assert tracking.track(target, [folder]) == (0, 1, 0)
    again = sweep_of(target, tmp_path, "deleted in the UI")
    assert again != lost
    assert server_run(target, folder).data.tags["mlflow.parentRunId"] == again


def test_a_run_deleted_on_the_server_is_sent_anew(target: Target, tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    finish(folder)
    tracking.track(target, [folder])
    lost = target.run_of(folder)
    mlflow.MlflowClient(target.uri).delete_run(lost)
    assert tracking.track(target, [folder]) == (1, 0, 0)
    assert server_run(target, folder).info.status == "FINISHED"
    assert target.run_of(folder) != lost


def test_a_failed_run_shows_its_error_until_it_is_run_again(target: Target, tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    fail(folder, "the loss is not finite")
    assert tracking.track(target, [folder]) == (1, 0, 0)
    run = server_run(target, folder)
    assert (run.info.status, run.data.tags["error"]) == ("FAILED", "the loss is not finite")
    assert "Traceback: line 1" in run.data.tags["mlflow.note.content"]

    fail(folder, "out of memory")
    assert tracking.track(target, [folder]) == (1, 0, 0)
    assert server_run(target, folder).data.tags["error"] == "out of memory"

    finish(folder)
    assert tracking.track(target, [folder]) == (1, 0, 0)
    again = server_run(target, folder)
    assert (again.info.run_id, again.info.status) == (run.info.run_id, "FINISHED")
    assert not {"error", "mlflow.note.content"} & again.data.tags.keys()


def test_a_long_history_is_sent_in_batches_a_server_takes(server: Target, tmp_path: Path) -> None:
    folder = make_run(tmp_path, lines=700)  # two values a line
    finish(folder)
    tracking.track(server, [folder])
    assert [step for step, _, _ in history_of(server, folder, "val/age_exact")] == list(range(700))


def test_values_that_are_not_finite_arrive(server: Target, tmp_path: Path) -> None:
    folder = make_run(tmp_path, lines=0)
    folder.history.write_text('{"step": 0, "time": 1.0, "values": {"train/loss": NaN, "train/norm": Infinity}}\n')
    finish(folder)
    tracking.track(server, [folder])
    metrics = server_run(server, folder).data.metrics
    assert metrics["train/loss"] != metrics["train/loss"]
    assert metrics["train/norm"] > 1e300


def test_an_experiment_is_created_once_by_many_at_once(target: Target) -> None:
    several = Target(target.uri, "several at once", target.artifacts)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: mlflow_server.check_server(several), range(4)))
    found = mlflow.MlflowClient(target.uri).search_experiments(filter_string="name = 'several at once'")
    assert len(found) == 1
    assert found[0].tags["mlflow.experimentKind"] == "custom_model_development"


def test_a_deleted_experiment_is_refused(target: Target) -> None:
    gone = Target(target.uri, "gone", target.artifacts)
    mlflow_server.check_server(gone)
    client = mlflow.MlflowClient(target.uri)
    client.delete_experiment(client.get_experiment_by_name("gone").experiment_id)
    with pytest.raises(UserError, match="gone was deleted"):
        mlflow_server.check_server(gone)


def test_two_processes_may_start_on_a_new_database(two_starters: tuple[Target, list[tuple[int, str]]]) -> None:
    target, outcome = two_starters
    assert outcome == [(0, ""), (0, "")]
    assert mlflow.MlflowClient(target.uri).get_experiment_by_name("faces").artifact_location == target.artifacts
