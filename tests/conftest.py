"""What several test files share: a small set of drawn faces and its pack, made once per session."""

from collections.abc import Callable
from pathlib import Path

import pytest

from agegender.data.build import build_pack
from agegender.data.manifest import read_rows
from agegender.data.readers.generated import generate

DRAWN = {"faces": 120, "users": 20, "size": 64, "seed": 0}


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
