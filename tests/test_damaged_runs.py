"""A finished run of which a file was changed: named in one sentence wherever it is read, and no hindrance to others."""

import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import tracked_runs
from agegender.commands.sweep import Sweep
from agegender.errors import Damaged, UserError
from agegender.prediction.trained import find_run, load
from agegender.report.markdown import to_markdown
from agegender.report.records import load_records
from agegender.report.table import build_table
from agegender.runs.config import read_run
from agegender.runs.folder import LASTING, RunFolder
from agegender.runs.job import Job
from agegender.runs.predictions import predictions_text, read_predictions
from agegender.tracking import payload, sync
from agegender.tracking.sweeps import sweep_folder, write_sweep
from agegender.tracking.target import Target, end_of, key_of
from agegender.training.setup import set_up
from asked_runs import one_step_run
from finished_runs import fail, finish, job
from tracked_runs import make_run, server_run

pytestmark = pytest.mark.usefixtures("hydra")


@pytest.fixture
def trained(packs: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return one_step_run(tmp_path_factory, packs)


@pytest.fixture
def run(trained: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of a trained run, to damage."""
    copy = RunFolder(tmp_path / trained.identity)
    shutil.copytree(trained.path, copy.path)
    copy.write("mlflow", {"key": "a", "runs": {"sqlite:///x": "5f" * 16}})
    return copy


def job_of(run: RunFolder) -> Job:
    return replace(job(run.path.parent, "lmtcnn_1_1", ("age", "gender"), 0), folder=run)


def forget_checksums(run: RunFolder) -> None:
    """As runs were finished before their marks held any."""
    (run.path / "done").write_bytes(b"")


def changed(content: bytes, generator: random.Random) -> bytes:
    """One to three places of a file changed: bytes, digits, types, lines."""
    for _ in range(generator.randint(1, 3)):
        place = generator.randrange(len(content))
        end = place + generator.choice([0, 1, 1, 1, 7, 60])
        new = [b"", bytes([generator.randrange(256)]), b"9", b"1e400", b"-1", b"9" * 40, b"null", b"[]", b"{", b"\n"]
        content = content[:place] + generator.choice([*new, b'"\\ud800"', "٣".encode(), b"!!x", b"\0"]) + content[end:]
    return content


def report(run: RunFolder) -> None:
    (record,) = load_records([job_of(run)])
    if record.state == "failed":
        raise Damaged(str(record.error))
    to_markdown(build_table([record], (), {}), {})


def predict(run: RunFolder) -> None:
    load(find_run("5f" * 16, run.path.parent))


def track(run: RunFolder) -> None:
    assert end_of(run) == "done"
    for tell in (payload.started, payload.title, payload.tags, payload.parameters, payload.fold_data, payload.results):
        tell(run)
    key_of(run, draw=False)
    Target("sqlite:///x", "faces").run_of(run)


@pytest.mark.parametrize(
    ("file", "readers"),
    [
        ("predictions.csv", [report]),
        ("metrics.json", [report, track]),
        ("environment.json", [report, track]),
        ("history.jsonl", [track]),
        ("done", [report, track]),
        ("mlflow.json", [predict, track]),
        ("config.yaml", [predict, track]),
        ("identity.json", [predict, track]),
    ],
)
def test_whatever_is_changed_ends_in_a_sentence_that_names_the_file(
    run: RunFolder, file: str, readers: list[Callable[[RunFolder], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a run without checksums: what can still be understood may be used."""
    monkeypatch.setattr("agegender.metrics.bootstrap.cluster_bootstrap", lambda *_, **__: (0.0, 1.0))  # slow
    run.weights.unlink()  # slow to load: without them predict says so, after all else was read
    if file != "done":
        forget_checksums(run)
    content, generator = (run.path / file).read_bytes(), random.Random(file)
    said = dict.fromkeys(readers, 0)
    for number in range(25):
        (run.path / file).write_bytes(content[: 40 * number] if number < 5 else changed(content, generator))
        for read in readers:
            try:
                read(run)
            except UserError as error:
                said[read] += 1
                assert str(run.path) in str(error) or "is neither a run folder" in str(error)
                assert "\n" not in str(error)
    assert min(said.values()) > 5


@pytest.mark.parametrize("file", [name for name in LASTING if name != "transfer.json"])
def test_a_finished_run_tells_that_a_file_is_another(run: RunFolder, file: str) -> None:
    content = (run.path / file).read_bytes()
    run.check()
    (run.path / file).write_bytes(content.replace(b"0", b"1", 1))
    with pytest.raises(Damaged, match=f"{file} is not the file that the run has left: copy the run folder"):
        run.check()


def test_a_finished_run_tells_that_a_file_is_gone(run: RunFolder) -> None:
    (run.path / "environment.json").unlink()
    with pytest.raises(Damaged, match=r"environment.json cannot be read \(No such file"):
        run.check()
    with pytest.raises(Damaged, match=r"environment.json cannot be read"):
        run.read("environment")
    assert run.read("transfer") == {}


@pytest.mark.parametrize(
    ("checksums", "said"),
    [
        (True, "predictions.csv is not the file that the run has left"),
        (False, "metrics.json says age_exact is 0.25, where"),
    ],
)
def test_forged_answers_are_not_reported(tmp_path: Path, checksums: bool, said: str) -> None:
    jobs = [finish(job(tmp_path, "lmtcnn", ("age", "gender"), fold), wrong=range(12)) for fold in (0, 1)]
    run = jobs[0].folder
    answers = read_predictions(run.predictions)
    run.write_text("predictions.csv", predictions_text(answers.assign(age_pred=answers["age_true"])))
    if not checksums:
        forget_checksums(run)
    records = load_records(jobs)
    assert [record.state for record in records] == ["failed", "done"]
    assert said in str(records[0].error) and str(run.path) in str(records[0].error)
    assert "(1/2 folds)" in to_markdown(build_table(records, (), {}), {})


@pytest.mark.parametrize(
    ("cell", "other"),
    [("age_pred", "8"), ("age_pred", "-1"), ("age_pred", ""), ("age_true", "1.5"), ("age_true", "٣"), ("age_p0", "nan"),
     ("age_p0", "0.9"), ("age_p0", "1e400"), ("fold", "3"), ("fold", ""), ("image", "")],
)  # fmt: skip
def test_an_answer_that_no_head_gives_is_refused(tmp_path: Path, cell: str, other: str) -> None:
    done = finish(job(tmp_path, "lmtcnn", ("age",), 0))
    run = done.folder
    head, first, *rest = [line.split(",") for line in run.predictions.read_text().splitlines()]
    first[head.index(cell)] = other
    run.write_text("predictions.csv", "".join(",".join(line) + "\n" for line in (head, first, *rest)))
    forget_checksums(run)
    (record,) = load_records([done])
    assert record.state == "failed" and str(run.predictions) in str(record.error)


def test_track_sends_the_others(target: Target, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folders = [make_run(tmp_path, fold) for fold in range(4)]
    for folder in folders:
        tracked_runs.finish(folder)
    folders[0].write_text("predictions.csv", "image,fold\nanother.jpg,0\n")
    folders[1].write_text("config.yaml", folders[1].config.read_text().replace("quick", "thorough"))
    forget_checksums(folders[1])
    folders[2].write_text("mlflow.json", "[]")
    sweep = sweep_folder(tmp_path, "a sweep")
    shown = {"title": "a", "tags": {}, "description": "", "metrics": {}, "status": "FINISHED"}
    write_sweep(sweep, runs={folder.identity: [] for folder in folders}, **shown)
    sweep.write_text("mlflow.json", "[]")
    with pytest.raises(UserError, match=r"^3 of 4 run folders are damaged and were not sent; the others were$"):
        sync.track(target, folders)
    for folder, name in zip(folders, ("predictions.csv", "config.yaml", "mlflow.json"), strict=False):
        (line,) = (line for line in caplog.messages if str(folder.path) in line)
        assert f"{folder.path / name} " in line
    assert any(f"{sweep.path / 'mlflow.json'} " in line for line in caplog.messages)
    assert server_run(target, folders[3]).info.status == "FINISHED"


def test_a_sweep_sums_up_runs_that_cannot_say_why_they_failed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sweep = Sweep()
    sweep.jobs = [finish(job(tmp_path, "lmtcnn", ("age",), 0)), *(job(tmp_path, "lmtcnn", ("age",), n) for n in (1, 2))]
    fail(sweep.jobs[2], "out of memory")
    sweep.jobs[1].folder.write_text("failed.json", '{"error": 7}')
    with caplog.at_level("INFO", "agegender.commands.sweep"), pytest.raises(SystemExit):
        sweep.on_multirun_end(OmegaConf.create({}))
    assert "1 of 3 runs are done" in caplog.text
    assert "failed.json has no usable value of 'error'" in caplog.text and "out of memory" in caplog.text


def test_the_memory_of_another_run_does_not_hide_the_one_that_is_asked_for(run: RunFolder, trained: RunFolder) -> None:
    other = RunFolder(run.path.with_name("a-damaged-one"))
    shutil.copytree(run.path, other.path)
    other.write_text("mlflow.json", "{")
    assert find_run("5f" * 16, run.path.parent) == run


def test_a_run_that_goes_on_survives_the_loss_of_what_began_it(run: RunFolder) -> None:
    run.checkpoints.mkdir()
    (run.path / "done").unlink()
    run.write_text("environment.json", "{")
    set_up(run, read_run(run), run.keys)
    assert "resumed_from" not in run.read("environment")
