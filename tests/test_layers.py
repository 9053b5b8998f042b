"""The structure that the design promises: packages in layers, and Hydra's configuration above all of them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import agegender

SOURCE = Path(agegender.__file__).parent
# Lowest first; a package or module imports none that stands in a later line.
LAYERS = (
    *("errors files spreadsheets tasks lookup", "spec modes machine", "datasets", "data", "heads", "models"),
    *("metrics", "runs", "training", "prediction", "runtimes", "cost", "report", "export", "tracking", "config"),
    *("commands", "cli"),
)
LEVELS = {name: level for level, names in enumerate(LAYERS) for name in names.split()}
FILES = sorted(file for file in SOURCE.rglob("*.py") if file != SOURCE / "__init__.py")  # which names the public API


def layer_of(file: Path) -> str:
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports_in(file: Path) -> Iterator[tuple[ast.stmt, str]]:
    """Yield every import statement of a file, those inside functions too, and the name of its module."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield node, node.module or ""
        elif isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)


def functions_in(file: Path) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            yield node


def test_no_package_imports_one_above_it() -> None:
    assert {layer_of(file) for file in FILES} <= LEVELS.keys(), "a package without a layer"
    upward = [
        f"{file.relative_to(SOURCE)} imports {module}"
        for file in FILES
        for _, module in imports_in(file)
        if module.startswith("agegender.") and LEVELS[module.split(".")[1]] > LEVELS[layer_of(file)]
    ]
    assert upward == []


def test_only_commands_and_config_know_hydra() -> None:
    names = ("hydra", "omegaconf")
    found = {layer_of(file) for file in FILES for _, module in imports_in(file) if module.split(".")[0] in names}
    assert found <= {"cli", "commands", "config"}


def test_imports_inside_functions_are_few() -> None:
    """Each of them keeps a command's --help fast, or leaves a heavy package to those who need it."""
    found = [
        f"{file.relative_to(SOURCE)}:{node.lineno} {module}"
        for file in FILES
        for function in functions_in(file)
        for node, module in imports_in_function(function)
        if module.startswith("agegender")
    ]
    assert len(found) < 20, found


def imports_in_function(function: ast.FunctionDef) -> Iterator[tuple[ast.stmt, str]]:
    for node in ast.walk(function):
        if isinstance(node, ast.ImportFrom):
            yield node, node.module or ""


def test_functions_fit_a_screen() -> None:
    longest = {
        f"{file.relative_to(SOURCE)} {function.name}": (function.end_lineno or 0) - function.lineno + 1
        for file in FILES
        for function in functions_in(file)
    }
    assert {name: lines for name, lines in longest.items() if lines > 60} == {}
