"""The look-up of what can be plugged in: by a built-in name, or by the place of an object outside the suite."""

from pathlib import Path

import pytest

from agegender.errors import UserError
from agegender.lookup import find

BUILTIN = {"half": lambda x: x / 2}


@pytest.fixture(autouse=True)
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "outsider.py").write_text("SIX = 6\n\ndef double(x):\n    return 2 * x\n")
    (tmp_path / "needy.py").write_text("import a_package_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)


def test_a_name_is_a_built_in_or_the_place_of_an_object() -> None:
    assert find("half", BUILTIN, "function", "it") is BUILTIN["half"]
    assert find("outsider:double", BUILTIN, "function", "it")(4) == 8


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("third", "there is no such function, choose from half, or name your own as package.module:object"),
        ("outsider.double", "there is no such function, choose from half, or name your own as"),
        ("nowhere:double", "Python cannot import nowhere .No module named 'nowhere'.: correct the name, or put"),
        ("needy:double", "Python cannot import needy .No module named 'a_package_that_is_not_there'.: "),
        ("outsider:triple", "outsider has no triple, name an object that it defines"),
        ("outsider:SIX", "this int cannot be used as a function"),
    ],
)
def test_what_cannot_be_found_is_said_with_the_setting(name: str, problem: str) -> None:
    with pytest.raises(UserError, match=f"^it={name}: {problem}"):
        find(name, BUILTIN, "function", "it")
