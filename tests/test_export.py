"""A trained run as a file for a runtime: checked, described, and never half there."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra import compose

from agegender.commands.export import export_run
from agegender.config.settings import ExportSettings, settings_of
from agegender.errors import UserError
from agegender.export import write
from agegender.export.parity import TOLERANCE, compare
from agegender.heads.catalogue import create_head
from agegender.prediction.trained import load
from agegender.runs.folder import RunFolder
from agegender.runs.predictions import read_predictions
from agegender.runtimes.catalogue import ONNXRUNTIME, get_runtime
from agegender.runtimes.runtime import Session
from agegender.tasks import TASKS
from asked_runs import one_step_run
from packed_faces import SIZE

Run = Callable[..., RunFolder]
pytestmark = pytest.mark.usefixtures("hydra")


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    for module in ONNXRUNTIME.modules:
        pytest.importorskip(module, reason="the extra onnxruntime is not installed")
    yield


@pytest.fixture
def run(packs: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return partial(one_step_run, tmp_path_factory, packs)


def export(folder: RunFolder, where: Path, *words: str) -> list[Path]:
    return export_run(
        settings_of(ExportSettings, compose("export", overrides=[f"run='{folder.path}'", f"folder='{where}'", *words]))
    )


def shapes(model: Path) -> dict[str, list[object]]:
    """What the file takes and gives, by name."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    return {each.name: each.shape for each in (*session.get_inputs(), *session.get_outputs())}


def test_the_file_answers_as_the_run_did(run: Run, tmp_path: Path) -> None:
    folder = run("mode=sound")
    model, card = export(folder, tmp_path / "my exports")
    assert (model.name, card.name) == (f"{folder.identity}-float32.onnx", f"{folder.identity}-float32.onnx.md")
    assert sorted(path.name for path in model.parent.iterdir()) == [model.name, card.name]
    metadata = ONNXRUNTIME.metadata(model)
    assert metadata["run"] == folder.identity
    preprocessing = json.loads(metadata["preprocessing"])
    assert preprocessing["layout"] == "float32 (N, 3, 227, 227), channels R, G, B"
    outputs = json.loads(metadata["outputs"])
    assert [(each["position"], each["task"]) for each in outputs] == list(enumerate(load(folder).network.heads))
    assert shapes(model) == {"images": ["batch", 3, 227, 227], "age": ["batch", 8], "gender": ["batch", 2]}
    text = card.read_text(encoding="utf-8")
    for words in (
        "Intended use",
        "identification, surveillance",
        "annotated gender m",
        "fold 0",
        "one_step, 1 steps of 4",
    ):
        assert words in text
    own = read_predictions(folder.predictions)
    share = float((own["age_pred"] == own["age_true"]).mean())
    assert f"| all † | {100 * share:.1f} |" in text, "of the age group; few faces are marked"


def test_int8_states_what_it_costs(run: Run, tmp_path: Path) -> None:
    folder = run("mode=sound")
    model, card = export(folder, tmp_path, "precision=int8")
    assert model.stat().st_size < 0.3 * folder.weights.stat().st_size
    assert shapes(model) == {"images": ["batch", 3, 227, 227], "age": ["batch", 8], "gender": ["batch", 2]}
    (line,) = (
        line for line in card.read_text().splitlines() if line.startswith("| annotated gender: right answers, % |")
    )
    assert line.count("[") == 1, "the difference with its interval"


def test_a_network_that_reads_its_batch_is_another_function_on_a_phone(run: Run, tmp_path: Path) -> None:
    folder = run("mode=faithful", "evaluation.batch_size=16")
    with pytest.raises(UserError, match=r"say statistics=batch \(of the single face.*or statistics=running"):
        export(folder, tmp_path)
    assert not list(tmp_path.iterdir())
    model, card = export(folder, tmp_path, "statistics=batch")
    assert model.name.endswith("-float32-batch.onnx")
    text = card.read_text()
    assert "another function than the one that was evaluated" in text
    assert ONNXRUNTIME.metadata(model)["batch_norm_statistics"] == "the single face statistics"
    assert shapes(model)["images"] == [1, 3, 227, 227], "two faces would be another batch"
    with pytest.raises(UserError, match="uses running statistics anyway"):
        export(run("mode=sound"), tmp_path, "statistics=running")


def test_a_file_that_says_something_else_is_not_written(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A runtime whose first logit is off by a little more than is tolerated."""

    def wrong(file: Path, threads: int) -> Session:
        right = ONNXRUNTIME.open(file, threads)

        def run(images: np.ndarray) -> list[np.ndarray]:
            found = right(images)
            found[0][:, 0] += 2 * TOLERANCE
            return found

        return run

    broken = replace(ONNXRUNTIME, open=wrong)
    monkeypatch.setattr(write, "get_runtime", lambda name: broken if name == "onnxruntime" else get_runtime(name))
    with pytest.raises(UserError, match=r"is not the network that was trained \(age: logits differ by up to 0.00"):
        export(run("mode=sound"), tmp_path / "exports")
    assert not list(tmp_path.iterdir())


def test_answers_count_as_changed_only_against_a_clear_margin(run: Run) -> None:
    from agegender.data.batches import Faces
    from packed_faces import manifest_of

    table = manifest_of([f"{number}.png" for number in range(4)]).assign(
        slot=range(4), age_group=pd.array([0, 1, 0, 1], dtype="Int64")
    )
    faces = Faces(np.zeros((4, SIZE, SIZE, 3), np.uint8), table, ["age"])
    two = np.array([[1.0, 0.0], [0.0, 1.0], [0.001, 0.0], [0.5, 0.0]], np.float32)
    others = np.full((4, 6), -9, np.float32)
    ours, theirs = np.hstack([two, others]), np.hstack([np.vstack([two[:2], two[2:, ::-1]]), others])
    found = compare(create_head("softmax", 4, TASKS["age"]), faces, ours, theirs)
    assert (found.changed, found.clear, found.n, found.faces) == (2, 1, 4, 4)
    assert found.largest == pytest.approx(0.5)
    assert (found.torch, found.file) == (0.75, 0.75)
    assert found.low <= found.difference == 0 <= found.high
    assert not found.same


def test_mistakes_are_said_in_a_sentence(run: Run, tmp_path: Path) -> None:
    folder = run("mode=sound")
    with pytest.raises(UserError, match=r"^format=tensorrt is unknown: choose from onnx, executorch, litert$"):
        export(folder, tmp_path, "format=tensorrt")
    with pytest.raises(UserError, match=r"^precision=float64: ONNX Runtime has float32, int8$"):
        export(folder, tmp_path, "precision=float64")
    with pytest.raises(UserError, match=r"^run=no_such_run is neither a run folder"):
        export_run(
            settings_of(ExportSettings, compose("export", overrides=["run=no_such_run", f"paths.runs='{tmp_path}'"]))
        )
    with pytest.raises(UserError, match=r"^run is not set"):
        export_run(settings_of(ExportSettings, compose("export")))
