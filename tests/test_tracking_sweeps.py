"""A sweep's own run in MLflow: which sweeps share one, what its runs are called, and what stops it."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from omegaconf import DictConfig, OmegaConf

from agegender.commands.sweep_tracking import earlier_jobs, sweep_name, swept_values, whole_sweep
from agegender.config.jobs import list_jobs
from agegender.config.settings import config_folder
from agegender.tracking.sweeps import kept_under_way, sweep_folder, under_way, write_sweep
from agegender.tracking.target import Target
from commands import PROCESSES, _command, agegender
from short_runs import SHORT
from tracked_runs import serving

mlflow = pytest.importorskip("mlflow")
Overrides = Callable[..., list[str]]


def name_of(words: list[str]) -> str:
    named = [word.removeprefix("experiment=") for word in words if word.startswith("experiment=")]
    files = [OmegaConf.load(Path(config_folder()) / "experiment" / f"{name}.yaml") for name in named]
    params = dict(files[0].hydra.sweeper.params) if files else {}
    config = OmegaConf.create({"hydra": {"overrides": {"task": words}}})
    assert isinstance(config, DictConfig)
    return sweep_name("sweep", whole_sweep(config, list_jobs(words, params), params))


def test_sweeps_of_other_runs_have_other_names(hydra: None, overrides: Overrides) -> None:
    words = overrides(*SHORT, "fold=0,1", "recipe.learning_rate=0.001")
    others = [
        [*words, "recipe.learning_rate=0.002"],
        [*words, "recipe.learning_rate=0.001,0.002"],
        [*words, "seed=0,1"],
        [*words, "system=tiny_age"],
    ]
    assert len({name_of(each) for each in [words, *others]}) == 1 + len(others)


def test_a_sweep_that_is_narrowed_or_goes_on_is_the_same(hydra: None, overrides: Overrides) -> None:
    alone = overrides(*SHORT)
    assert name_of([*alone, "fold=0,1"]) == name_of([*alone, "fold=0,1,2"]) == name_of([*alone, "fold=4"])
    table = overrides("experiment=demo", "recipe.steps=2")
    whole = name_of(table)
    assert name_of([*table, "fold=3", "system=lmtcnn_2_1"]) == whole
    assert name_of([*table, "fold=3", "system=lmtcnn_2_1", "recipe.steps=3"]) != whole


def test_runs_are_called_by_what_they_differ_in(hydra: None, overrides: Overrides) -> None:
    jobs = list_jobs(overrides(*SHORT, "fold=0,1", "evaluation.views=null,flip", "recipe.steps=2,3"), None)
    values = swept_values(jobs)
    assert sorted(value for each in values for value in each) == ["recipe.steps 2"] * 4 + ["recipe.steps 3"] * 4


def test_the_runs_of_earlier_commands_stay_in_the_table(hydra: None, overrides: Overrides) -> None:
    before = list_jobs(overrides(*SHORT, "fold=0,1"), None)
    jobs = list_jobs(overrides(*SHORT, "fold=1,2"), None)
    runs = {job.identity: list(job.overrides) for job in [*before, *jobs]} | {"gone": ["data=utkface"]}
    assert [job.run.fold for job in earlier_jobs(runs, jobs)] == [0]


def test_commands_on_one_sweep_at_a_time_lose_none_of_its_runs(tmp_path: Path) -> None:
    folder = sweep_folder(tmp_path, "a sweep")
    shown = {"title": "a", "tags": {}, "description": "", "metrics": {}, "status": "RUNNING"}
    write_sweep(folder, **shown)

    def write(number: int) -> None:
        write_sweep(folder, runs={f"run {number}": [f"fold={number}"]})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(40)))
    assert len(folder.read("sweep")["runs"]) == 40
    with kept_under_way(folder):
        assert under_way(folder)
    assert not under_way(folder)


def _swept(words: list[str], cwd: Path, output: Path, killed: int | None) -> None:
    """A sweep whose first job is met by Ctrl-C, or by the end of the server of that process group."""
    import agegender.commands.train as command

    def met(config: DictConfig, sweeping: bool) -> None:
        if killed is None:
            raise KeyboardInterrupt
        if config.fold == 0:
            os.killpg(killed, 9)

    command.train = met  # type: ignore[assignment]
    _command(words, cwd, output)


def swept(*words: str, cwd: Path, killed: int | None = None) -> tuple[int | None, str]:
    with TemporaryDirectory() as folder:
        process = PROCESSES.Process(target=_swept, args=(["train", "-m", *words], cwd, Path(folder), killed))
        process.start()
        process.join(300)
        if process.is_alive():
            process.kill()
        return process.exitcode, "".join((Path(folder) / name).read_text() for name in ("stdout", "stderr"))


def shown(target: Target) -> tuple[list[str], set[str]]:
    """The status of every run of the experiment, and the names of the children among them."""
    client = mlflow.MlflowClient(target.uri)
    runs = client.search_runs([client.get_experiment_by_name(target.experiment).experiment_id])
    children = {run.info.run_name for run in runs if "mlflow.parentRunId" in run.data.tags}
    return sorted(run.info.status for run in runs), children


def test_a_sweep_met_by_ctrl_c_is_not_left_as_running(target: Target, overrides: Overrides, tmp_path: Path) -> None:
    short = [word for word in SHORT if word != "tracking=none"]
    # A query may hold a password: this one does not, but is treated as if it did.
    here = ["tracking.experiment=stopped", f"tracking.uri='{target.uri}?timeout=31'"]
    words = overrides(*short, *here, "fold=0,1", "recipe.learning_rate=0.001,0.002")
    status, output = swept(*words, cwd=tmp_path)
    assert (status, "stopped by SIGINT" in output, "Traceback" in output) == (130, True, False), output
    statuses, names = shown(Target(target.uri, "stopped"))
    assert statuses == ["KILLED"] * 5
    system = "lmtcnn_1_1 fold {} seed 0, recipe.learning_rate {}"
    assert names == {system.format(fold, rate) for fold in (0, 1) for rate in (0.001, 0.002)}
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert tmp_path / "runs" / ".sweeps" / "multirun.yaml" in files
    assert not [file for file in files if b"timeout=31" in file.read_bytes()]


def test_a_sweep_whose_server_goes_away_is_ended_by_track(target: Target, overrides: Overrides, tmp_path: Path) -> None:
    short = [word for word in SHORT if word != "tracking=none"]
    with serving(tmp_path, target.uri) as (uri, group):
        words = ["tracking.experiment=gone away", f"tracking.uri={uri.replace('//', '//me:secret@')}", "fold=0,1"]
        status, output = swept(*overrides(*short, *words), cwd=tmp_path, killed=group)
    assert status == 1, output
    assert "could not be ended" in output and "send it later with `agegender track`" in output
    assert shown(Target(target.uri, "gone away"))[0] == ["RUNNING", "SCHEDULED", "SCHEDULED"]
    here = [f"paths.runs={tmp_path}/runs", f"tracking.uri='{target.uri}'", "tracking.experiment=gone away"]
    assert "2 are not finished" in agegender("track", *here, cwd=tmp_path)
    assert shown(Target(target.uri, "gone away"))[0] == ["FAILED", "KILLED", "KILLED"]
    files = [file for file in (tmp_path / "runs").rglob("*") if file.is_file()]
    assert not [file for file in files if b"secret" in file.read_bytes()]
