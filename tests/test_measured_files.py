"""A run of ages in years as a file for a runtime, and asked about image files: numbers in a unit, not labels."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra import compose

from agegender.commands.export import export_run
from agegender.config.settings import ExportSettings, settings_of
from agegender.data.batches import Faces
from agegender.export.parity import compare
from agegender.heads.catalogue import create_head
from agegender.runs.folder import RunFolder
from agegender.runs.predictions import read_predictions
from agegender.runtimes.catalogue import ONNXRUNTIME
from agegender.tasks import NO_LABEL, TASKS
from asked_runs import ask, one_step_run
from packed_faces import SIZE, manifest_of

pytestmark = pytest.mark.usefixtures("hydra")


@pytest.fixture
def coral(packs: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return one_step_run(tmp_path_factory, packs, "system=tiny_age_coral", "system.model.input_size=64")


def test_the_file_of_a_measured_head(coral: RunFolder, tmp_path: Path) -> None:
    for module in ONNXRUNTIME.modules:
        pytest.importorskip(module, reason="the extra onnxruntime is not installed")
    model, card = export_run(
        settings_of(ExportSettings, compose("export", overrides=[f"run='{coral.path}'", f"folder='{tmp_path}'"]))
    )
    (output,) = json.loads(ONNXRUNTIME.metadata(model)["outputs"])
    assert (output["task"], output["head"], output["answer"]) == ("age_years", "coral", "median")
    assert (output["first"], output["step"], output["unit"]) == (0.0, 1.0, "years")
    assert output["reading"].startswith("the sigmoid is the probability that the label is above")
    text = card.read_text(encoding="utf-8")
    assert "logits of annotated age (head coral: the sigmoid is the probability" in text
    predictions = read_predictions(coral.predictions)
    error = (predictions["age_years_pred"] - predictions["age_years_true"]).abs().mean()
    assert "| annotated age | mean absolute error, years | 95 % interval | n |" in text
    assert f"| all † | {error:.2f} |" in text or f"| all | {error:.2f} |" in text
    assert "| annotated age 10 to below 20 †" in text and "annotated age 33" not in text


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_answers_are_years(
    coral: RunFolder, form: str, drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tested = read_predictions(coral.predictions).iloc[0]
    face = tmp_path / "face.jpg"
    face.write_bytes((drawn / tested["image"]).read_bytes())
    ask(coral, face, f"format={form}")
    years, printed = tested["age_years_pred"], capsys.readouterr().out
    if form == "table":
        assert f"{years:.1f} years" in printed
    elif form == "csv":
        (row,) = csv.DictReader(io.StringIO(printed))
        assert float(row["age_years_pred"]) == pytest.approx(years) and row["age_years_label"] == f"{years:.1f}"
    else:
        (entry,) = json.loads(printed)
        assert entry["age_years"]["value"] == pytest.approx(years) and entry["age_years"]["unit"] == "years"
        assert sum(entry["age_years"]["probabilities"].values()) == pytest.approx(1, abs=1e-4)


def test_measured_answers_are_compared_in_their_unit() -> None:
    table = manifest_of([f"{number}.png" for number in range(3)]).assign(
        slot=range(3), age_years=pd.array([30, None, 40], dtype="Int64")
    )
    faces = Faces(np.zeros((3, SIZE, SIZE, 3), np.uint8), table, ["age_years"])
    assert faces.labels["age_years"].tolist() == [30, NO_LABEL, 40]
    head = create_head("regression", 4, TASKS["age_years"])
    ours = np.array([[-0.4], [0.0], [-0.2]], np.float32)  # 30, 50 and 40 years
    theirs = ours + np.array([[0.0], [0.0001], [0.1]], np.float32)  # 30, 50.005 and 45
    found = compare(head, faces, ours, theirs)
    assert (found.changed, found.clear, found.n, found.faces) == (1, 1, 2, 3)
    assert (found.torch, found.file) == (pytest.approx(0, abs=1e-4), pytest.approx(2.5, abs=1e-4))
    assert not found.same and found.largest == pytest.approx(0.1)
