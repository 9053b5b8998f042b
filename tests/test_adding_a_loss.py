"""The worked example of the docs, run as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from agegender.errors import UserError
from agegender.heads import create_head
from agegender.runs import RunFolder
from agegender.tasks import TASKS

PAGE = (Path(__file__).parents[1] / "docs" / "how-to" / "extend.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)
    return found


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with the files that the page names."""
    for name, language in (("losses/huber.py", "python"), ("losses/head/huber.yaml", "yaml")):
        assert f"`{name}`" in PAGE
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(block(language), encoding="utf-8")
    return tmp_path


def test_the_example_trains_by_the_commands_of_the_page(desk: Path, packs: Path) -> None:
    prepare, train = block("sh").replace("\\\n", " ").strip().splitlines()
    assert prepare == "agegender prepare data=generated"  # the drawn faces of the tests are there already
    few = ["recipe.steps=2", "recipe.batch_size=4", "recipe.validate_every=2", "trainer.progress=false"]
    words = [train, f"\"data.pack='{packs}'\"", "tracking=none", "trainer.threads=1", *few]
    here = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", " ".join(words)], cwd=desk, env=here, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = (RunFolder(path) for path in (desk / "runs").glob("tiny_age_huber-*"))
    assert run.state == "done" and "age_years_p100" in run.predictions.read_text().splitlines()[0]


def test_the_example_computes_what_it_says(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(desk / "losses")
    head = create_head("huber.HuberHead", 4, TASKS["age"], delta=1.0)
    logits = torch.full((1, 8), -40.0)
    logits[0, [2, 6]] = torch.log(torch.tensor([0.25, 0.75]))  # mean 5, 3 above the label: 1 * (3 - 1 / 2)
    assert float(head.loss(logits, torch.tensor([2.0]))) == pytest.approx(-torch.tensor(0.25).log().item() + 2.5)


@pytest.mark.parametrize(
    "name", ["nowhere.Head", "agegender.heads.softmax.NoHead", "torch.nn.Linear", "agegender.heads.head.Head"]
)
def test_a_head_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(UserError, match=rf"there is no head '{name}': choose from softmax, .* or name a class"):
        create_head(name, 4, TASKS["age"])
