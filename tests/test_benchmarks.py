"""Every script of `benchmarks/` runs in its smallest form and ends with its ratio; what it says is not judged here."""

import json
import re
import runpy
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agegender.runs.folder import RunFolder
from agegender.tracking.sync import track
from agegender.tracking.target import find_target

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
AGES = (1, 5, 10, 17, 30, 40, 50, 70)
SMALL = ["--system", "lmtcnn_1_1_gender", "--batch-size", "2", "trainer.accelerator=cpu"]
STEPS = [*SMALL, "--pairs", "1", "--turns", "1"]
SCRIPTS = {
    "runtime_speedup": ["--rounds", "1", "--calls", "1", "--runtimes", "torch", "torch_channels_last"],
    "training_step": STEPS,
    "loop_overhead": STEPS,
    # So many batches that the plain side cannot have them all ready, which would make it faster than the ratio can say.
    "input_pipeline": ["--faces", "16", "--batch-size", "4", "--batches", "16", "--pairs", "1", "--cores", "2"],
    "prepare_throughput": ["--faces", "8", "--size", "64", "--pairs", "1", "--workers", "1"],
    "scale": [*SMALL, "--faces", "20", "40", "--blocks", "1", "--turns", "1"],
    "tracking_share": [*SMALL, "--steps", "2", "--pairs", "1"],
    "whole_table": [
        *("--systems", "lmtcnn_1_1", "--steps", "30", "--plain-steps", "4", "--batch-size", "2"),
        *("trainer.accelerator=cpu", "trainer.threads=1"),
    ],
}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path):
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.chdir(tmp_path)

    def script(name: str, *words: str) -> str:
        monkeypatch.setattr("sys.argv", [name, *words])
        runpy.run_path(str(BENCHMARKS / f"{name}.py"), run_name="__main__")
        return capfd.readouterr().out

    return script


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_ends_with_its_ratio(run, name: str) -> None:
    last = run(name, *SCRIPTS[name]).splitlines()[-1]
    found = re.fullmatch(r"ratio: ([\d.]+) \(([\d.]+) to ([\d.]+)\)", last)
    assert found, last
    median, low, high = map(float, found.groups())
    assert 0 < low <= median <= high


def utkface(root: Path) -> Path:
    """Noise under UTKFace's names: ages from every group, both genders."""
    root.mkdir()
    rng = np.random.default_rng(0)
    for number in range(60):
        name = f"{AGES[number % len(AGES)]}_{number % 2}_0_2017{number:013d}.png"
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(root / name)
    return root


def test_the_suites_accuracy_stands_beside_the_plain_ways(run, tmp_path: Path) -> None:
    source = utkface(tmp_path / "UTKFace")
    words = ["--seeds", "1", "--fraction", "1", "recipe.steps=2", "recipe.batch_size=4", "trainer.accelerator=cpu"]
    text = run("same_accuracy", "--source", str(source), *words)
    assert re.search(r"age_exact: suite [\d.]+ % .* plain [\d.]+ % .* difference [+-][\d.]+ points", text)


def test_a_table_trained_elsewhere_comes_home_without_its_weights(tmp_path: Path) -> None:
    """Interrupted while it trains, called again, unpacked and tracked."""
    words = ["--source", str(utkface(tmp_path / "UTKFace")), "--work", "away", "--home", "home", "--at-once", "2"]
    few = ["system=lmtcnn_1_1", "fold=0,1", "recipe.steps=12", "recipe.batch_size=4", "recipe.validate_every=2"]
    command = [sys.executable, BENCHMARKS / "utkface_table.py", *words, *few, "trainer.accelerator=cpu"]
    first = subprocess.Popen(command, cwd=tmp_path)
    while first.poll() is None and not list(tmp_path.glob("away/runs/*/checkpoints/step=*.ckpt")):
        time.sleep(0.05)
    first.terminate()
    assert first.wait(60) == 1
    assert not list(tmp_path.glob("away/runs/*/done"))
    output = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert "2 finished runs are in home/runs.tar.gz" in output
    assert any("going on from step" in log.read_text() for log in tmp_path.glob("away/runs/*/train.log"))
    with tarfile.open(tmp_path / "home" / "runs.tar.gz") as archive:
        archive.extractall(tmp_path / "home", filter="data")
    folders = [RunFolder(path) for path in (tmp_path / "home" / "runs").iterdir()]
    assert [(folder.state, folder.weights.exists()) for folder in folders] == [("done", False)] * 2
    target = find_target(f"sqlite:///{tmp_path}/mlflow.db", "agegender", tmp_path / "home" / "runs")
    assert track(target, folders).sent == 2


def test_a_sweep_that_fails_elsewhere_says_so(tmp_path: Path) -> None:
    words = ["--source", str(utkface(tmp_path / "UTKFace")), "system=no_such_system"]
    command = [sys.executable, BENCHMARKS / "utkface_table.py", *words]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert finished.returncode != 0
    assert "no_such_system" in finished.stderr
    assert "0 finished runs are in" in finished.stdout


def test_sides_that_take_turns_count_with_their_medians(run, capfd: pytest.CaptureFixture[str]) -> None:
    from ratios import print_ratio, take_turns

    first, second, order = iter([2.0, 9.0, 4.0, 6.0, 6.0, 6.0]), iter([1.0, 2.0, 30.0, 3.0, 3.0, 3.0]), list[str]()

    def side(name: str, values: Iterator[float]) -> Callable[[], float]:
        return lambda: order.append(name) or next(values)

    ratios = take_turns(("a", side("a", first)), ("b", side("b", second)), 2, "s", turns=3)
    assert ratios == [4 / 2, 6 / 3]
    assert "".join(order) == "abbaabbaabba"
    print_ratio([3.0, 1.0, 2.5])
    assert capfd.readouterr().out.splitlines()[-1] == "ratio: 2.500 (1.000 to 3.000)"


def test_what_the_official_recipe_would_take(run, tmp_path: Path) -> None:
    """Steps of 2 s; validations of 5 s, one of them at the end; 7 s for everything else."""
    from whole_table import official_seconds

    lines = [(9, 20.0, "train"), (14, 30.0, "val"), (19, 45.0, "train"), (29, 65.0, "train"), (29, 70.0, "val")]
    entries = [{"step": step, "time": time, "values": {f"{kind}/loss": 1.0}} for step, time, kind in lines]
    (tmp_path / "history.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    (tmp_path / "metrics.json").write_text(json.dumps({"seconds": 30 * 2 + 2 * 5 + 7}))
    assert official_seconds(tmp_path, 128) == pytest.approx(50_000 * 2 + 50 * 5 + 7)
    assert official_seconds(tmp_path, 16) == pytest.approx(8 * 50_000 * 2 + 50 * 5 + 7)


@pytest.mark.parametrize("script", sorted(p.stem for p in BENCHMARKS.glob("*.py") if "__main__" in p.read_text()))
def test_a_script_says_what_it_measures(run, script: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        run(script, "--help")
    assert f"benchmarks/{script}.py" in capfd.readouterr().out
