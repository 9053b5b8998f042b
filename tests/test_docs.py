"""What the pages say, tried: the examples in Python run as they stand, and every choice they name exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
GROUPS = sorted(path.name for path in CONF.iterdir() if path.is_dir() and path.name != "hydra")


@pytest.mark.parametrize("page", ["README.md", "docs/reference/api.md"])
def test_the_python_example_runs(
    page: str, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "generated").symlink_to(drawn)
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    made: dict[str, object] = {}
    exec(example, made)
    assert "lmtcnn_2_1" in capsys.readouterr().out
    assert list(made["network"].heads) == ["age", "gender"]  # type: ignore[attr-defined]
    assert len(made["faces"]) > 0  # type: ignore[arg-type]


@pytest.mark.parametrize("group", GROUPS)
def test_the_choices_that_pages_name_exist(group: str) -> None:
    there = {path.stem for path in (CONF / group).glob("*.yaml")}
    for page in PAGES:
        # A page may define a choice, in a file that it names.
        text = page.read_text(encoding="utf-8")
        # Not after a letter or a dot (`hydra.x`), and up to what ends a word of the command line.
        for named in re.findall(rf"(?<![\w./-]){group}=([a-z0-9_]+(?:,[a-z0-9_]+)*)", text):
            assert set(named.split(",")) - there - set(re.findall(rf"`mine/{group}/(\w+)\.yaml`", text)) == set(), (
                f"{page.name} names {group}={named}"
            )
