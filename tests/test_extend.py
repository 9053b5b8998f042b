"""The page on what can be added from outside, run as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from agegender import create_model
from agegender.cost.measurement import read_all
from agegender.errors import UserError
from agegender.heads.catalogue import create_head
from agegender.runs.folder import RunFolder
from agegender.runtimes.catalogue import get_runtime
from agegender.runtimes.runtime import Conversion
from agegender.tasks import TASKS
from agegender.training.optimization import get_schedule

PAGE = (Path(__file__).parents[1] / "docs" / "how-to" / "extend.md").read_text(encoding="utf-8")
FILE = re.compile(r"^mine/.*\.(py|yaml)$")
HERE = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def commands() -> list[str]:
    """The lines of the last block, without the first, which all of them need."""
    exported, *others = blocks("sh")[-1].replace("\\\n", " ").strip().splitlines()
    assert exported == "export PYTHONPATH=mine"
    return others


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the page names, in their order."""
    folder = tmp_path_factory.mktemp("a desk")
    for suffix, language in (("py", "python"), ("yaml", "yaml")):
        names = re.findall(rf"`(mine/[\w/]+\.{suffix})`", PAGE)
        for name, text in zip(names, blocks(language), strict=True):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
    return folder


def run(desk: Path, command: str, *more: str) -> None:
    line = " ".join(["export PYTHONPATH=mine:$PYTHONPATH;", command, *more])
    done = subprocess.run(["bash", "-c", line], cwd=desk, env=HERE, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_last_section_names_everything_that_the_others_say() -> None:
    said = [word for block in blocks("text") for word in block.split()]
    assert len(said) == 8 and all(word in " ".join(commands()).split() for word in said)


def test_a_system_of_ones_own_trains(desk: Path, packs: Path) -> None:
    prepare, train, *_ = commands()
    assert prepare == "agegender prepare data=generated"  # the drawn faces of the tests are there already
    few = ["recipe.steps=2", "recipe.batch_size=4", "recipe.validate_every=2", "trainer.progress=false"]
    run(desk, train, f"\"data.pack='{packs}'\"", "tracking=none", "trainer.threads=1", *few)
    (folder,) = (RunFolder(path) for path in (desk / "runs").glob("mine-*"))
    assert folder.state == "done" and "age_years_p100" in folder.predictions.read_text().splitlines()[0]


def test_a_network_and_a_runtime_of_ones_own_are_measured(desk: Path, packs: Path) -> None:
    run(desk, commands()[2], f"\"data.pack='{packs}'\"", "tracking=none", "calls=3", "progress=false")
    found = {each.subject.network: each for each in read_all(desk / "costs")}
    measured = found["small_net:SMALL"]
    assert measured.subject.runtime == "exported:EXPORTED"
    assert measured.folder.name.startswith("small_net.SMALL-age_years-exported.EXPORTED-")


def test_a_data_set_of_ones_own_is_packed(desk: Path) -> None:
    (desk / "album").mkdir()
    for number, name in enumerate(("ada_31_f", "ada_34_f", "ben_8_m", "cleo_50_f", "dan_70_m", "eve_2_f")):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 40, 3), np.uint8)
        Image.fromarray(pixels).save(desk / "album" / f"{name}.png")
    run(desk, commands()[3])
    table = (desk / "data" / "packs" / "photos-256" / "manifest.csv").read_text()
    assert len(table.splitlines()) == 1 + 6


def test_the_examples_compute_what_they_say(desk: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(desk / "mine")
    head = create_head("huber:HuberHead", 4, TASKS["age"], delta=1.0)
    logits = torch.full((1, 8), -40.0)
    logits[0, [2, 6]] = torch.log(torch.tensor([0.25, 0.75]))  # mean 5, 3 above the label: 1 * (3 - 1 / 2)
    assert float(head.loss(logits, torch.tensor([2.0]))) == pytest.approx(-torch.tensor(0.25).log().item() + 2.5)
    factor = get_schedule("triangle:triangle", {"peak": 0.25, "warmup": 0.1})
    assert [factor(step, 8) for step in (0, 1, 4, 7)] == pytest.approx([0.5, 1, 0.5, 0])
    network = create_model("small_net:SMALL", ("age",)).eval()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    runtime = get_runtime("exported:EXPORTED")
    file = tmp_path / f"network{runtime.suffix}"
    runtime.convert(Conversion(torch.nn.Sequential(network.backbone), images, "float32", (), {"a": "b"}), file)
    assert runtime.metadata(file) == {"a": "b"}


@pytest.mark.parametrize(
    "name", ["nowhere:Head", "agegender.heads.softmax:NoHead", "torch.nn:Linear", "agegender.heads.head:Head"]
)
def test_a_head_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(UserError, match=rf"^head={name}: "):
        create_head(name, 4, TASKS["age"])


def test_a_network_that_does_not_fit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "from torch import nn\nfrom agegender.models.model import Model\n"
    text += "def build(size, mode, dropout):\n    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 5))\n"
    text += "    net.features = 5\n    return net\n"
    text += "def mute(size, mode, dropout):\n    return nn.Sequential(nn.Flatten())\n"
    text += "FIXED, MUTE = Model('fixed', build, 64), Model('mute', mute, 64)\n"
    (tmp_path / "one_size.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    assert create_model("one_size:FIXED", ("age",))
    with pytest.raises(UserError, match=r"^input_size=65: one_size:FIXED does not work on faces of this size, choose"):
        create_model("one_size:FIXED", input_size=65)
    with pytest.raises(UserError, match=r"^Sequential is no backbone: its attribute `features` must be their number"):
        create_model("one_size:MUTE")
    with pytest.raises(UserError, match=r"^model=one_size:build: this function cannot be used as a model"):
        create_model("one_size:build")
