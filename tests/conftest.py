"""What several test files share: drawn faces, their pack and an MLflow database, made once per session; Hydra."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hydra import initialize_config_dir

from agegender.config.settings import config_folder
from agegender.data.build import build_pack
from agegender.data.manifest import read_rows
from agegender.datasets.generated import generate
from agegender.tracking.server import check_server
from agegender.tracking.target import Target, find_target

# These take a minute or two and are begun first, so that no process of the test run is left alone with one at the end.
LONGEST = ("test_benchmarks", "test_cli", "test_configs", "test_notebook", "test_training_stopped", "test_training")
DRAWN = {"faces": 80, "users": 20, "size": 64, "seed": 0}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """A thread for each process of the test run: two that each compute with all cores mostly wait for each other."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of a set of drawn faces in Adience's layout, in a path with a space."""
    root = tmp_path_factory.mktemp("drawn faces") / "generated"
    generate(root, **DRAWN, workers=1, progress=False)
    return root


@pytest.fixture(scope="session")
def packs(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the pack of the drawn faces, at the size that the LMTCNN family reads its crops from."""
    folder = tmp_path_factory.mktemp("packs") / "generated-256"
    rows, _ = read_rows("generated", drawn)
    build_pack(
        folder, drawn, rows, dataset="generated", size=256, settings={}, allow_missing=False, workers=1, progress=False
    )
    return folder


@pytest.fixture
def overrides(packs: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """Hydra overrides for a run on the drawn faces that writes below tmp_path, plus those given."""

    def make(*more: str) -> list[str]:
        here = [f"paths.runs={tmp_path}/runs", f"paths.reports={tmp_path}/reports", f"data.pack='{packs}'"]
        return [*here, "trainer.progress=false", "trainer.threads=1", "trainer.accelerator=cpu", *more]

    return make


@pytest.fixture
def hydra() -> Iterator[None]:
    """Lets `compose` find the configuration of the suite."""
    with initialize_config_dir(config_folder(), version_base="1.3"):
        yield


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Target:
    runs = tmp_path_factory.mktemp("own") / "my runs"
    made = find_target(f"sqlite:///{runs / 'mlflow.db'}", "faces", runs)
    check_server(made)
    return made
