"""Commands that a signal stops, and sweeps whose processes are killed: what they say, and what they leave."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil
import pytest

from agegender.machine.signals import SIGNALS, Stopped, heeding_signals, signals_held
from agegender.runs.folder import RunFolder
from agegender.training.checkpoints import newest_checkpoint
from commands import started

LONG = ("system=lmtcnn_1_1_gender", "recipe.steps=100000", "recipe.batch_size=2", "recipe.validate_every=2")
ONE_PROCESS = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=1")
Overrides = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def plain_signals() -> Iterator[None]:
    """Signals as a command meets them: a run that other tests stopped may have left Lightning's handler of SIGTERM."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in SIGNALS if number != signal.SIGINT}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def wait_for(condition: Callable[[], bool], process: BaseProcess) -> None:
    end = time.monotonic() + 300
    while not condition():
        assert process.is_alive() and time.monotonic() < end, "it did not come"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs for all of them, told apart by their seeds: MLflow makes its database once."""
    return tmp_path_factory.mktemp("stopped") / "runs"


def under_way(runs: Path, seed: int) -> list[RunFolder]:
    """The runs of a seed that have a checkpoint to go on from."""
    files = runs.glob(f"*-s{seed}-*/checkpoints/step=*.ckpt")
    return sorted({RunFolder(file.parent.parent) for file in files}, key=lambda folder: folder.identity)


def printed(output: Path) -> str:
    return "".join((output / name).read_text() for name in ("stdout", "stderr"))


def shown(runs: Path, seed: int) -> list[str]:
    """How the server shows the runs of a seed, in the order of their folds, and before them the sweep they are in."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{runs / 'mlflow.db'}")
    found = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    ours = [run for run in found if re.search(rf"seed {seed}\b", run.info.run_name)]
    children = sorted(ours, key=lambda run: run.info.run_name)
    parents = {run.data.tags["mlflow.parentRunId"] for run in children if "mlflow.parentRunId" in run.data.tags}
    return [client.get_run(parent).info.status for parent in parents] + [run.info.status for run in children]


def test_ignored_signals_stay_ignored_and_twice_at_once_is_once() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what nohup does
    try:
        with heeding_signals():
            signal.raise_signal(signal.SIGHUP)
            with pytest.raises(Stopped) as stop:
                signal.raise_signal(signal.SIGUSR1)
            assert stop.value.number == signal.SIGUSR1
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_is_not_lost_where_python_drops_exceptions() -> None:
    class Deleted:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGUSR1)

    with heeding_signals(), pytest.raises(Stopped) as stop:
        Deleted()
        time.sleep(30)
    assert stop.value.number == signal.SIGUSR1


def test_signals_held_come_at_the_end_of_the_block() -> None:
    reached = False
    with heeding_signals(), pytest.raises(Stopped) as stop, signals_held():
        os.kill(os.getpid(), signal.SIGUSR2)
        os.kill(os.getpid(), signal.SIGTERM)
        reached = True
    assert reached and stop.value.number in (signal.SIGUSR2, signal.SIGTERM)


@pytest.mark.parametrize(
    ("number", "words", "expected"),
    [
        (signal.SIGTERM, ("seed=1",), ["KILLED"]),
        (signal.SIGUSR1, ("-m", "fold=0,1", "seed=2"), ["KILLED", "KILLED", "KILLED"]),
    ],
)
def test_a_signal_ends_training_with_one_line_and_leaves_a_checkpoint(
    overrides: Overrides,
    runs: Path,
    tmp_path: Path,
    number: signal.Signals,
    words: tuple[str, ...],
    expected: list[str],
) -> None:
    seed = int(words[-1][-1])
    process = started("train", *words, *overrides(*LONG, f"paths.runs='{runs}'"), cwd=tmp_path, output=tmp_path)
    wait_for(lambda: bool(under_way(runs, seed)), process)
    assert process.pid
    os.kill(process.pid, number)
    process.join(120)
    assert process.exitcode == 128 + number, printed(tmp_path)
    said = printed(tmp_path).splitlines()
    assert said[-1] == f"agegender: stopped by {number.name}: run the same command again to go on"
    assert said[-2].endswith(": started")
    assert newest_checkpoint(under_way(runs, seed)[0].checkpoints)[1] >= 2
    assert shown(runs, seed) == expected


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_processes_of_a_sweep_end_with_it(
    overrides: Overrides, runs: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """Ctrl-C goes to all of them; what kills the command goes to none, and they have to notice."""
    seed = 10 + number
    words = overrides(*LONG, *ONE_PROCESS, f"paths.runs='{runs}'", f"seed={seed}")
    process = started("train", "-m", *words, cwd=tmp_path, output=tmp_path)
    wait_for(lambda: bool(under_way(runs, seed)), process)
    assert process.pid
    theirs = psutil.Process(process.pid).children(recursive=True)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.kill()
    process.join(120)
    assert not psutil.wait_procs(theirs, timeout=120)[1]
    assert shown(runs, seed)[1:] == ["KILLED"]
    if number == signal.SIGINT:
        assert process.exitcode == 130
        assert printed(tmp_path).splitlines()[-1].startswith("agegender: stopped by SIGINT: ")
        assert shown(runs, seed)[0] == "KILLED"


def test_a_process_that_dies_takes_one_run_of_a_sweep_with_it(overrides: Overrides, runs: Path, tmp_path: Path) -> None:
    """As where the memory is short: the system kills the largest process."""
    words = (*LONG, *ONE_PROCESS, "recipe.steps=100000,4", f"paths.runs='{runs}'", "seed=3")
    process = started("train", "-m", *overrides(*words), cwd=tmp_path, output=tmp_path)
    wait_for(lambda: bool(under_way(runs, 3)), process)
    assert process.pid
    victim = max(psutil.Process(process.pid).children(), key=lambda child: child.memory_info().rss)
    victim.kill()
    process.join(300)
    said = printed(tmp_path)
    assert process.exitcode == 1 and "Traceback" not in said, said
    folders = sorted(map(RunFolder, runs.glob("*-s3-*")), key=lambda folder: folder.state)
    assert [folder.state for folder in folders] == ["done", "started"]
    assert "its process died, perhaps for lack of memory; the other runs go on" in said
    assert "1 of 2 runs are done" in said
    assert said.splitlines()[-1].startswith(f"{folders[1].identity} started: it did not end; see ")
    assert sorted(shown(runs, 3)) == ["FAILED", "FINISHED", "KILLED"]


def test_a_signal_to_all_processes_stops_the_drawing_of_faces(tmp_path: Path) -> None:
    """Those of its pool may die of the signal before the command has heard of it."""
    words = ["data=generated", "data.generate.faces=20000", "data.generate.size=64", "workers=2"]
    process = started("prepare", *words, cwd=tmp_path, output=tmp_path)
    wait_for(lambda: any(tmp_path.rglob("*.jpg")), process)
    assert process.pid
    theirs = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGTERM)
    process.join(120)
    assert process.exitcode == 143, printed(tmp_path)
    assert "Traceback" not in printed(tmp_path)
    assert printed(tmp_path).splitlines()[-1] == "agegender: stopped by SIGTERM: run the same command again to go on"
    assert not psutil.wait_procs(theirs, timeout=60)[1]
