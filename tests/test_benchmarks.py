"""Every script of `benchmarks/` runs in its smallest form and ends with its ratio; what it says is not judged here."""

import re
import runpy
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agegender.runs import RunFolder
from agegender.tracking.mirror import track
from agegender.tracking.target import find_target

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
AGES = (1, 5, 10, 17, 30, 40, 50, 70)
STEPS = ["--batch-size", "2", "--blocks", "1", "--pairs", "1", "--turns", "1", "trainer.accelerator=cpu"]
SCRIPTS = {
    "training_step": STEPS,
    "loop_overhead": STEPS,
    "input_pipeline": ["--faces", "16", "--batch-size", "4", "--batches", "1", "--pairs", "1", "--cores", "2"],
    "prepare_throughput": ["--faces", "8", "--size", "64", "--pairs", "1", "--workers", "1"],
    "scale": ["--faces", "20", "40", "--batch-size", "2", "--blocks", "1", "--turns", "1"],
    "tracking_share": ["--steps", "2", "--batch-size", "2", "--pairs", "1", "trainer.accelerator=cpu"],
    "whole_table": [
        *("--systems", "lmtcnn_1_1", "--steps", "20", "--plain-steps", "4", "--batch-size", "2"),
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


def test_a_table_trained_elsewhere_comes_home_without_its_weights(run, tmp_path: Path) -> None:
    words = ["--source", str(utkface(tmp_path / "UTKFace")), "--work", "away", "--home", "home", "--at-once", "1"]
    few = ["system=lmtcnn_1_1", "fold=0", "recipe.steps=2", "recipe.batch_size=4", "trainer.accelerator=cpu"]
    assert "0 finished runs" in run("utkface_table", *words, "--minutes", "0", *few), "interrupted, and no harm done"
    assert "1 finished runs are in home/runs.tar.gz" in run("utkface_table", *words, *few)
    with tarfile.open("home/runs.tar.gz") as archive:
        archive.extractall("home", filter="data")
    (folder,) = (RunFolder(path) for path in Path("home/runs").iterdir())
    assert folder.state == "done" and not folder.weights.exists()
    target = find_target("sqlite:///mlflow.db", "agegender", Path("home/runs"))
    assert track(target, [folder]).sent == 1


@pytest.mark.parametrize("script", sorted(p.stem for p in BENCHMARKS.glob("*.py") if "__main__" in p.read_text()))
def test_a_script_says_what_it_measures(run, script: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        run(script, "--help")
    assert f"benchmarks/{script}.py" in capfd.readouterr().out
