"""The command line as a user meets it: real processes, their output and exit status."""

import json
import os
import subprocess
import sys
from pathlib import Path

import joblib
import pandas as pd
import pytest
import torch

from agegender import __version__ as agegender_version
from commands import agegender, started_afresh

ALL_THREADS = torch.get_num_threads()  # before a test takes fewer
SHORT = [
    "recipe.steps=2",
    "recipe.batch_size=4",
    "recipe.validate_every=2",
    "trainer.threads=1",
    "trainer.accelerator=cpu",
    "trainer.progress=false",
]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with a pack of drawn faces, as `agegender prepare` leaves it."""
    folder = tmp_path_factory.mktemp("a desk of mine")
    drawn = ["data.generate.faces=90", "data.generate.users=20", "data.generate.size=64"]
    output = agegender("prepare", "data=generated", *drawn, "workers=1", cwd=folder)
    assert "faces kept" in output
    return folder


@pytest.fixture(scope="module")
def swept(desk: Path) -> Path:
    """The desk after a sweep of two systems over two folds, tracked in MLflow."""
    output = agegender("train", "-m", "experiment=demo", "fold=0,1", *SHORT, cwd=desk)
    assert "4 runs: 0 done, 4 to do" in output
    assert "4 of 4 runs are done" in output
    return desk


def one_sentence(output: str) -> str:
    """The message of a command that refused: one line, no traceback."""
    assert "Traceback" not in output
    lines = [line for line in output.splitlines() if line.strip()]
    assert len(lines) == 1, output
    return lines[0]


def test_help_names_the_verbs_and_loads_nothing(tmp_path: Path) -> None:
    output = agegender("--help", cwd=tmp_path)
    for command in ("prepare", "train", "report", "track"):
        assert f"  {command} " in output
    assert "annotated gender" in output
    loaded = [sys.executable, "-c", "import sys, agegender.cli; print(*sys.modules)"]
    modules = subprocess.run(loaded, capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "pandas", "hydra", "mlflow", "matplotlib"} & set(modules)


@pytest.mark.parametrize("command", ["prepare", "train", "report", "track"])
def test_each_verb_explains_itself_without_loading_torch(command: str, tmp_path: Path) -> None:
    words = f"import sys; sys.argv = ['agegender', '{command}', '--help']\nfrom agegender.cli import main\n"
    check = "try:\n    main()\nfinally:\n    print('LOADED', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", words + check], capture_output=True, text=True, cwd=tmp_path)
    help_text, _, modules = done.stdout.partition("LOADED")
    assert f"agegender {command}" in help_text
    assert not {"torch", "pandas", "mlflow", "matplotlib"} & set(modules.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "did you mean 'train'?"),
        (["train", "system=lmtcnn"], "system=lmtcnn: there is no such system; choose from caffenet_age"),
        (
            ["train", "experiment=lmtcn"],
            "experiment=lmtcn: there is no such experiment; choose from demo, dldl_v2, leaks",
        ),
        (["train", "sytem=lmtcnn_2_1"], "there is no setting 'sytem': did you mean 'system'?"),
        (
            ["train", "recipe.momentum=0.9"],
            "the setting 'recipe.momentum' is not in this configuration: add it with a plus",
        ),
        (["train", "recipe.step=5"], "did you mean 'recipe.steps'?"),
        (["train", "fold=5"], "fold=5: there are five folds"),
        (["train", "recipe.steps=-3"], "recipe.steps=-3 must be"),
        (["train", "-m", "experiment=demo", "fold=0,5"], "fold=5: there are five folds"),
        (["train", "protocol=utkface_exact"], "utkface_exact"),
        (["train", "data=utkface"], "agegender prepare data=utkface data.source=/path/to/it"),
        (["prepare", "data=utkface"], "data.source is not set"),
        (["prepare", "data=utkface", "data.source=nowhere.zip"], "nowhere.zip does not exist"),
        (["train", "experiment=demo"], "an experiment is a sweep: add -m"),
        (["train", "-m", "system=lmtcn,lmtcnn_2_1"], "system=lmtcn: there is no such system"),
        (["train", "-m", "recipe.step=1,2"], "there is no setting 'recipe.step'"),
        (["train", "data.source=(a"], "data.source=(a cannot be read: quote"),
        (
            ["train", "data.source=a=b"],
            """data.source=a=b cannot be read: quote a value with special signs twice, 'data""",
        ),
        (["train", "tracking=null"], "tracking=null: there is no such tracking; choose from mlflow, none"),
        (["train", "+experiment=demo"], "experiment is chosen already: say experiment=demo, once and without a +"),
        (["train", "experiment=[demo,lmtcnn]"], "experiment=[demo,lmtcnn]: there is no such experiment"),
        (["train", "fold=0,1"], "fold=0,1 names several values: add -m"),
        (
            ["train", "-m", "hydra/sweeper=optuna"],
            "hydra/sweeper=optuna is not installed: pip install hydra-optuna-swee",
        ),
        (["train", "hydra/launcher=submitit_slurm"], "is not installed: pip install 'agegender-bench[slurm]'"),
        (["train", "-m", "experiment=demo,lmtcnn"], "experiment/demo has a sweep of its own"),
        (["train", "-m", "experiment=glob(d*)"], "experiment/demo has a sweep of its own"),
        (["train", "-m", "experiment=choice(demo)"], "experiment/demo has a sweep of its own"),
        (["cost", "experiment=demo,lmtcnn"], "experiment/demo has a sweep of its own"),
        (["report", "experiment=demo,lmtcnn"], "report needs an experiment, and one alone"),
        (["train", "-m", "recipe.learning_rate=interval(1e-4,1e-2)"], "interval(1e-4,1e-2): a sweep lists its runs"),
        (["train", "-m", "fold=range(3,3)"], "fold=range(3,3) names no value"),
        (["train", "-m", "data.source=2019,2020"], """quote it, 'data.source="2019"'"""),
        (["train", "trainer.accelerator=cpu", "trainer.threads=100000"], "threads=100000: this process may use"),
        (["train", "paths.runs=data/generated/README.txt/x"], "cannot be read or written"),
        (["report"], "report needs an experiment"),
        (["report", "experiment=demo", "recipe.steps=77"], "none of the 10 runs"),
        (["track"], "names no run folder"),
        (["train", "tracking.uri=http://127.0.0.1:9"], "http://127.0.0.1:9 does not answer"),
    ],
)
def test_mistakes_end_in_one_sentence(desk: Path, words: list[str], message: str) -> None:
    elsewhere = [] if words == ["trian"] or "paths.runs" in words[-1] else ["paths.runs=other"]
    assert message in one_sentence(agegender(*words, *elsewhere, cwd=desk, status=2))


def test_a_sweep_takes_what_hydra_composes_it_without(desk: Path) -> None:
    """A setting that only the swept choices have, a choice by a pattern, and both of them in a report."""
    words = ["experiment=demo", "system=glob(tiny_age_dldl*)", "fold=7", "system.heads.age_years.sigma=3"]
    for command in (["train", "-m"], ["report"], ["cost"]):
        assert "fold=7: there are five folds" in one_sentence(agegender(*command, *words, cwd=desk, status=2))
    words[3] = "system.heads.age_years.norm=l2"
    assert "no setting 'system.heads.age_years.norm'" in agegender("train", "-m", *words, cwd=desk, status=2)


def test_an_experiment_of_ones_own_is_narrowed_too(desk: Path, tmp_path: Path) -> None:
    """From a folder that the command line names."""
    folder = tmp_path / "mine" / "experiment"
    folder.mkdir(parents=True)
    params = "{data: adience, protocol: eidinger, system: 'tiny_age,lmtcnn_2_1', fold: 'range(0,5)'}"
    (folder / "own.yaml").write_text(f"# @package _global_\nhydra: {{sweeper: {{params: {params}}}}}\n")
    here = ["--config-dir", f"{tmp_path}/mine", f"paths.runs={tmp_path}/runs"]
    words = [*here, "experiment=own", "data=generated", "tracking=none"]
    refusal = agegender("report", *words, "fold=0,1", cwd=desk, status=2)
    assert "none of the 4 runs of experiment=own" in one_sentence(refusal), "another protocol, or five folds"
    output = agegender("train", "-m", *words, *SHORT, "fold=0", "system=lmtcnn_2_1", cwd=desk)
    assert "1 of 1 runs are done" in output
    assert "name: lmtcnn_joint" in next((tmp_path / "runs").glob("*/config.yaml")).read_text()


@pytest.mark.parametrize("name", ["2019", "2017_01_12", "1e3", "[2019]", "true"])
def test_a_folder_is_called_as_it_is_typed(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    refusal = agegender("prepare", "data=utkface", f"data.source={name}", cwd=tmp_path, status=2)
    assert one_sentence(refusal).startswith(f"agegender: {name} holds no face")


def test_a_reader_may_stop_and_a_terminal_may_be_poor(tmp_path: Path) -> None:
    words = [sys.executable, "-u", "-c", "from agegender.cli import main; main()"]
    for command in ([], ["train"]):
        process = subprocess.Popen([*words, *command, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.wait(60) == 141
        assert process.stderr.read() == b""
        process.stderr.close()
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    shown = [*words, "prepare", "--cfg", "job", 'data.source="Düsseldorf"']
    done = subprocess.run(shown, env=environment, capture_output=True, text=True, check=True)
    assert "source: D\\xfcsseldorf" in done.stdout


@pytest.mark.parametrize(
    "words", ["--help", "--version", "predict --help", "train --cfg job", "report --cfg hydra", "train --info"]
)
def test_what_shows_something_ends_quietly_where_nothing_reads_it(words: str, tmp_path: Path) -> None:
    assert agegender(*words.split(), cwd=tmp_path, status=141, unread=True) == ""


def test_the_version_is_told_without_loading_anything(tmp_path: Path) -> None:
    words = "import sys; sys.argv[1:] = ['--version']\nfrom agegender.cli import main\nmain()\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, cwd=tmp_path, check=True)
    told, modules = done.stdout.splitlines()
    assert told == f"agegender-bench {agegender_version}"
    assert f"\nversion: {agegender_version}\n" in (Path(__file__).parents[1] / "CITATION.cff").read_text()
    assert not {"torch", "pandas", "hydra", "mlflow", "matplotlib", "logging"} & set(modules.split())
    assert "agegender --version" in agegender("--help", cwd=tmp_path)


def test_a_command_started_afresh_says_as_little(tmp_path: Path) -> None:
    """Through every import: what libraries say while they are imported would stand beside the sentence."""
    words = ["prepare", "data=generated", "data.generate.faces=10", "data.generate.users=5", "data.generate.size=64"]
    started_afresh(*words, "workers=1", cwd=tmp_path)
    output = started_afresh("train", "tracking.uri=http://127.0.0.1:9", cwd=tmp_path, status=2)
    assert "http://127.0.0.1:9 does not answer" in one_sentence(output)


def test_a_broken_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / "faces.zip").write_bytes(b"PK but no archive")
    output = agegender("prepare", "data=utkface", "data.source=faces.zip", cwd=tmp_path, status=2)
    assert "faces.zip" in one_sentence(output)


def test_a_sweep_leaves_complete_run_folders(swept: Path) -> None:
    folders = sorted(p.parent for p in (swept / "runs").glob("*/done"))
    assert len(folders) == 4
    for folder in folders:
        names = {p.name for p in folder.iterdir()}
        assert names >= {"config.yaml", "identity.json", "environment.json", "history.jsonl", "metrics.json"}
        assert names >= {"predictions.csv", "weights.safetensors", "train.log", "mlflow.json"}
    left = {p.name for p in swept.iterdir()}
    assert left == {"data", "runs"}, "Hydra wrote folders of its own"


def test_a_sweep_shows_in_mlflow_as_one_parent_with_its_runs(swept: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{swept / 'runs' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("agegender-bench")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    children = [run for run in runs if run is not parent]
    assert len(children) == 4
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert "LMTCNN-2-1" in parent.data.tags["mlflow.note.content"]
    for run in children:
        assert run.data.tags.keys() >= {"system", "fold", "seed", "protocol", "mode", "data"}
        assert "test/age_exact" in run.data.metrics
        assert {d.dataset.name for d in run.inputs.dataset_inputs}


def test_the_same_command_again_does_nothing(swept: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in (swept / "runs").glob("*/predictions.csv")}
    output = agegender("train", "-m", "experiment=demo", "fold=0,1", *SHORT, cwd=swept)
    assert "4 runs: 4 done, 0 to do" in output
    assert before == {p: p.stat().st_mtime_ns for p in (swept / "runs").glob("*/predictions.csv")}


def test_a_report_shows_what_is_there_and_what_is_missing(swept: Path) -> None:
    agegender("report", "experiment=demo", *SHORT, cwd=swept)
    report = swept / "reports" / "demo"
    text = (report / "table.md").read_text()
    assert "LMTCNN-2-1" in text and "(2/5 folds)" in text
    assert "fold 4, seed 0: missing: not run yet" in text
    assert {p.suffix for p in report.iterdir() if p.is_file()} == {".md", ".tex", ".csv"}
    assert (report / "figures" / "folds.png").stat().st_size > 10_000
    table = pd.read_csv(report / "table.csv")
    exact = table[(table["system"] == "lmtcnn_2_1") & (table["metric"] == "age_exact")]
    runs = {p.parent.name for p in (swept / "runs").glob("lmtcnn_2_1-*/done")}
    assert {name for cell in exact["runs"].dropna() for name in cell.split()} == runs


def test_a_report_takes_the_words_of_the_sweep(swept: Path) -> None:
    agegender("report", "experiment=demo", "fold=0,1", "folder=reports/two folds", *SHORT, cwd=swept)
    text = (swept / "reports" / "two folds" / "table.md").read_text()
    assert "missing" not in text
    agegender("report", "experiment=demo", "fold=0,1", "evaluation.views=resize,flip", *SHORT, cwd=swept)
    assert "views flip" in (swept / "reports" / "demo" / "table.md").read_text()
    assert "swept: []" in agegender("report", "--cfg", "job", cwd=swept)
    refusal = one_sentence(agegender("report", "experiment=demo", "fold=2,3", "seed=1,2", cwd=swept, status=2))
    assert "none of the 8 runs" in refusal
    assert "agegender train -m experiment=demo fold=2,3 seed=1,2" in refusal


def test_runs_are_sent_elsewhere_once(swept: Path) -> None:
    uri = f"tracking.uri='sqlite:///{swept / 'elsewhere' / 'mlflow.db'}'"
    assert "4 runs sent" in agegender("track", uri, cwd=swept)
    assert "0 runs sent" in agegender("track", uri, cwd=swept)


def test_a_failing_job_leaves_the_others_alone(desk: Path) -> None:
    words = [
        "validation=listed_leaky,by_subject",
        "experiment=demo",
        "system=lmtcnn_2_1",
        "fold=0",
        "paths.runs=failing",
    ]
    output = agegender("train", "-m", *words, *SHORT, cwd=desk, status=1)
    assert "1 of 2 runs are done" in output
    assert "failed: validation=listed_leaky: this protocol has no lists" in output
    assert "Traceback" not in output
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{desk / 'failing' / 'mlflow.db'}")
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert sorted(run.info.status for run in runs) == ["FAILED", "FAILED", "FINISHED"], (
        "a run and its parent failed, the other did not"
    )


def test_a_gpu_that_is_not_there_is_refused_before_anything_is_written(desk: Path) -> None:
    here = ["system=lmtcnn_2_1", "fold=0", "paths.runs='never written'", *SHORT, "trainer.accelerator=cpu"]
    for words in (["trainer.device=7"], ["-m", "trainer.device=0,7"]):
        refusal = one_sentence(agegender("train", *words, *here, cwd=desk, status=2))
        assert "trainer.device=7: there are 0 GPUs, counted from 0" in refusal
    assert not (desk / "never written").exists()


def test_a_sweep_runs_on_several_processes(desk: Path) -> None:
    words = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "experiment=demo", "system=lmtcnn_2_1"]
    here = ["tracking=none", "paths.runs=parallel", *SHORT, "trainer.threads=null"]
    assert "2 of 2 runs are done" in agegender("train", "-m", *words, "fold=0,1", *here, cwd=desk)
    assert "1 of 1 runs are done" in agegender("train", "-m", *words, "fold=2", *here, cwd=desk)
    runs = [next((desk / "parallel").glob(f"lmtcnn_2_1-f{fold}-*")) for fold in range(3)]
    threads = [json.loads((run / "environment.json").read_text())["hardware"]["threads"] for run in runs]
    share = max(1, joblib.cpu_count() // 2)
    assert threads == [share, share, ALL_THREADS], "two runs divide the cores, a lone one has them all"
    assert not (desk / "parallel" / "mlflow.db").exists()
