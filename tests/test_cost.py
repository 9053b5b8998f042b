"""agegender cost: measured, kept with every call, tracked, and set beside the accuracies."""

import csv
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from agegender.cost.counts import Counts
from agegender.cost.latency import summarize
from agegender.cost.measurement import Measurement, Subject, folder_of, read, read_all, read_calls, write
from agegender.report.costs import Setting, SystemCost
from agegender.report.csv_files import costs_csv
from agegender.tracking.measurements import send_costs
from agegender.tracking.server import connect
from agegender.tracking.target import Target
from commands import agegender

SUBJECT = Subject("lmtcnn_1_1", ("age", "gender"), "torch", "float32", 1, 1, 227)
FACTS = {
    "device": "a phone",
    "turns": {"of": ["x"], "drift": 0.0},
    "environment": {"commit": None, "started": "2026-11-22T10:00:00+00:00"},
    "versions": {"torch": "2.14.1"},
    "counts": {"parameters": 7, "macs": 9, "activations": 3, "bytes": 28},
    "file_bytes": 30,
    "peak_bytes": None,
}


def measured(costs: Path, *milliseconds: int) -> Measurement:
    """Write a measurement and read it back."""
    calls = [1_000_000 * each for each in milliseconds]
    folder, facts = folder_of(SUBJECT, "a phone", costs), FACTS | {"latency_ms": vars(summarize(calls))}
    write(folder, SUBJECT, facts, calls)
    found = read(folder)
    assert found == Measurement(SUBJECT, folder, facts)
    return found


@pytest.fixture(scope="module")
def desk(packs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which two networks were measured on two runtimes, and a report was written."""
    folder = tmp_path_factory.mktemp("a desk")
    where = [f"data.pack='{packs}'", "tracking=none"]
    few = ["calls=5", "calibration_faces=4", "progress=false"]
    systems = "system=lmtcnn_1_1,lmtcnn_1_1_age"
    text = agegender("cost", "-m", systems, "runtime=torch,torch_channels_last", *where, *few, cwd=folder)
    (folder / "first.txt").write_text(text)
    text = agegender("cost", "-m", systems, "runtime=torch", *where, *few, cwd=folder)
    (folder / "again.txt").write_text(text)
    return folder


def test_every_call_is_kept_beside_what_it_depends_on(desk: Path) -> None:
    found = {each.subject.name: each for each in read_all(desk / "costs")}
    networks = ("lmtcnn_1_1-age-gender", "lmtcnn_1_1-age")
    names = [
        f"{network}-{runtime}-float32-t1-b1-227px"
        for network in networks
        for runtime in ("torch", "torch_channels_last")
    ]
    assert found.keys() == {*names, "preprocessing-torch-float32-t1-b1-227px"}
    for each in found.values():
        calls = read_calls(each.folder)
        assert len(calls) == each.results["latency_ms"]["n"] == 5
        assert each.median == pytest.approx(sorted(calls)[2] / 1e6)
        assert {"governor", "commit", "versions"} <= each.results["environment"].keys()
        assert each.results["versions"].keys() == {"torch"}
        assert len(each.results["turns"]["of"]) == 5
    both = found[names[0]].results
    assert both["counts"] == {"parameters": 7_488_426, "macs": 89_865_312, "activations": 684_138, "bytes": 29_961_640}
    assert 29_961_640 < both["file_bytes"] < 30_100_000
    assert both["peak_bytes"] is None or both["file_bytes"] < both["peak_bytes"] < 10 * both["file_bytes"]


def test_other_versions_or_more_calls_are_measured_anew(desk: Path, packs: Path, tmp_path: Path) -> None:
    shutil.copytree(desk / "costs", tmp_path / "costs")
    (file,) = (tmp_path / "costs").glob("lmtcnn_1_1-age-gender-torch-*/cost.json")
    file.write_text(file.read_text().replace('"versions": {\n    "torch": "', '"versions": {\n    "torch": "1'))
    words = ["runtime=torch", f"data.pack='{packs}'", "tracking=none", "calibration_faces=4", "progress=false"]
    text = agegender("cost", "system=lmtcnn_1_1", *words, "calls=5", cwd=tmp_path)
    assert "2 measurements: 1 kept, 1 to make" in text
    text = agegender("cost", "system=lmtcnn_1_1", *words, "calls=6", cwd=tmp_path)
    assert "2 measurements: 0 kept, 2 to make" in text
    assert len(read_calls(file.parent)) == 6


def test_the_same_command_measures_nothing_again(desk: Path) -> None:
    assert "5 measurements: 0 kept, 5 to make" in (desk / "first.txt").read_text()
    again = (desk / "again.txt").read_text()
    assert "3 measurements: 3 kept, 0 to make" in again
    assert "7,488,426" in again and "(resize, standardise)" in again


def test_a_table_that_nothing_reads_ends_quietly(desk: Path, packs: Path) -> None:
    words = ["system=lmtcnn_1_1", "runtime=torch", f"data.pack='{packs}'", "tracking=none", "calls=5"]
    said = agegender("cost", *words, "calibration_faces=4", "progress=false", cwd=desk, status=141, unread=True)
    assert said == "2 measurements: 2 kept, 0 to make\n"


def test_what_cannot_be_measured_is_said_before_anything_is(desk: Path, packs: Path, tmp_path: Path) -> None:
    pack = f"data.pack='{packs}'"
    mistakes = {
        "runtime.precision=int8": "agegender: precision=int8: torch eager has float32, bfloat16",
        "runtime.threads=100000": "agegender: runtime.threads=100000: this process may use",
        "runtime.batch_size=1000000000": "agegender: runtime.batch_size=1000000000: half of the free memory holds",
        "runtime.threads=0": "agegender: runtime.threads=0 must be greater than or equal to 1 or must be 'all'",
        "runtime.precision=int3,int4": "agegender: precision=int3: torch eager has",
        "runtime.precision=int8,float16": "agegender: none of these runtimes has that precision",
        "calibration_faces=0": "agegender: calibration_faces=0 must be greater than or equal to 1",
        "runtime.batch_size=all": "agegender: runtime.batch_size=all must be a valid integer",
        "calls=0": "agegender: calls=0 must be greater than or equal to 1",
    }
    for words, sentence in mistakes.items():
        text = agegender("cost", "runtime=torch", pack, words, cwd=tmp_path, status=2)
        assert sentence in text and "Traceback" not in text
    assert not (tmp_path / "costs").exists()


def test_a_report_sets_costs_beside_accuracies(desk: Path, packs: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    shutil.copytree(desk, work)
    where = [f"data.pack='{packs}'", "experiment=lmtcnn", "data=generated", "system=lmtcnn_1_1", "fold=0"]
    where += ["debug=one_step", "protocol=lmtcnn_joint"]
    agegender("train", "-m", *where, "tracking=none", "trainer.progress=false", "trainer.threads=1", cwd=work)
    agegender("report", *where, cwd=work)
    report = work / "reports" / "lmtcnn"
    text = (report / "table.md").read_text(encoding="utf-8")
    (row,) = (line for line in text.splitlines() if line.startswith("| LMTCNN-1-1 | sound | ") and "7,488,426" in line)
    assert "| 89.9 | 29.96 | " in row and " (torch eager" in row
    assert "size, MB" in text
    lines = list(csv.DictReader((report / "costs.csv").read_text().splitlines()))
    assert {line["runtime"] for line in lines} == {"torch", "torch_channels_last"}
    assert {line["macs"] for line in lines} == {"89865312"}
    points = list(csv.DictReader((report / "pareto.csv").read_text().splitlines()))
    assert {(point["metric"], point["runtime"]) for point in points} == {
        (metric, runtime) for metric in ("age_exact", "gender_accuracy") for runtime in ("torch", "torch_channels_last")
    }
    assert (report / "figures" / "pareto_age_exact.png").stat().st_size > 10_000


def test_a_measurement_is_a_run_of_its_own_in_mlflow(target: Target, tmp_path: Path) -> None:
    measurement = measured(tmp_path / "one", 4, 5, 7)
    assert send_costs(target, [measurement]) == 1
    assert send_costs(target, [measurement]) == 0, "each once"
    assert send_costs(target, [measurement, measured(tmp_path / "two", 1, 5, 9)]) == 1
    assert send_costs(target, [measured(tmp_path / "two", 4, 5, 5, 7)]) == 1, "measured anew, sent anew"
    client = connect(target.uri)
    experiment = client.get_experiment_by_name(f"{target.experiment}-cost")
    *_, run = client.search_runs([experiment.experiment_id], order_by=["start_time DESC"])
    assert run.data.tags["runtime"] == "torch" and run.data.tags["device"] == "a phone"
    assert run.data.metrics["latency_ms/median"] == 5.0
    assert run.data.metrics["cost/file_bytes"] == 30
    assert "cost/peak_bytes" not in run.data.metrics
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {"cost.json", "calls.csv"}


def _changed(text: str, generator: random.Random) -> str:
    place = generator.randrange(len(text))
    return text[:place] + generator.choice(["", "9", "٣", '"', "null", "[", "-", "\0"]) + text[place + 1 :]


@pytest.mark.parametrize("name", ["cost.json", "calls.csv"])
def test_a_broken_measurement_is_named_and_does_not_hide_the_others(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    whole = replace(SUBJECT, threads=2)
    folder = folder_of(whole, "a phone", tmp_path)
    write(folder, whole, FACTS | {"latency_ms": vars(summarize([4, 5]))}, [4, 5])
    file = measured(tmp_path, 4, 5, 7).folder / name
    text, generator = file.read_text(), random.Random(0)
    refused, setting = 0, Setting("a phone", "torch", "float32", 1, 1)
    for _ in range(60):
        file.write_text(_changed(text, generator))
        caplog.clear()
        found = {each.subject: each for each in read_all(tmp_path)}
        assert whole in found
        if SUBJECT in found:
            costs_csv({"a system": SystemCost(Counts(1, 2, 3, 4), {setting: found[SUBJECT]})})
        else:
            refused += 1
            (line,) = caplog.messages
            assert str(file.parent) in line and "measure again" in line
    assert refused > 30
    file.unlink()
    assert [each.subject for each in read_all(tmp_path)] == [whole]
