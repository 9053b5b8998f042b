"""An address with a password reaches the server and no file."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose
from omegaconf import OmegaConf

from agegender.commands.sweep_tracking import keep_password_in_memory
from agegender.config.overrides import read_overrides
from agegender.config.resolve import resolve_run
from agegender.config.settings import TrainSettings, settings_of
from agegender.errors import UserError
from agegender.runs.folder import RunFolder
from agegender.tracking.target import Target, find_target, without_password
from agegender.training.setup import set_up


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://host:5000/mlflow", "http://host:5000/mlflow"),
        ("https://me:secret@host/mlflow", "https://host/mlflow"),
        ("postgresql://me:s%40cret%2F@host/db", "postgresql://host/db"),
        ("postgresql+psycopg2://me:se/cr@et@host:5432/db", "postgresql+psycopg2://host:5432/db"),
        ("postgresql:///db?host=h&user=me&password=secret", "postgresql:///db"),
        ("https://host/mlflow?token=secret", "https://host/mlflow"),
        ("https://host/?mail=me@home&token=secret", "https://home"),
        ("mssql+pyodbc://host/db;PWD=secret", "mssql+pyodbc://host/db"),
        ("sqlite:////home/me@work/R&D of mine/mlflow.db?key=secret", "sqlite:////home/me@work/R&D of mine/mlflow.db"),
        (
            "cannot reach http://me:secret@host/x or https://host?key=secret now",
            "cannot reach http://host/x or https://host now",
        ),
    ],
)
def test_what_is_shown_of_an_address(address: str, shown: str) -> None:
    assert without_password(address) == shown


def test_a_run_folder_holds_no_password(
    hydra: None, overrides: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "of another server")
    config = compose("train", overrides=overrides("tracking.uri='https://me:se%2Fcr@et@host/mlflow?token=secret'"))
    folder = RunFolder(tmp_path / "run")
    set_up(folder, resolve_run(config), {"fold": 0})
    target = settings_of(TrainSettings, config).target
    assert target and target.uri == "https://host/mlflow?token=secret"
    assert (os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]) == ("me", "se/cr@et")
    assert not [file for file in folder.path.iterdir() if "cr@et" in file.read_text() or "secret" in file.read_text()]


def test_a_sweep_leaves_a_password_to_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://another")
    uri = "postgresql://me:secret@host/db"
    job = {"override_dirname": f"fold=0,tracking.uri={uri},seed=1"}
    hydra = {"overrides": {"task": ["fold=0,1", f"++tracking.uri={uri}"]}, "job": job}
    config = OmegaConf.create({"tracking": {"uri": uri}, "hydra": hydra})
    keep_password_in_memory(config)
    assert "secret" not in OmegaConf.to_yaml(config)
    assert config.hydra.overrides.task == ["fold=0,1"]
    assert find_target(config.tracking.uri, "faces", tmp_path).uri == os.environ["MLFLOW_TRACKING_URI"] == uri


def test_an_address_without_a_password_stays_where_it_is(monkeypatch: pytest.MonkeyPatch, target: Target) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    words = [f"tracking.uri={target.uri}"]
    config = OmegaConf.create({"tracking": {"uri": target.uri}, "hydra": {"overrides": {"task": words}}})
    keep_password_in_memory(config)
    assert (config.tracking.uri, config.hydra.overrides.task) == (target.uri, words)
    assert "MLFLOW_TRACKING_URI" not in os.environ


@pytest.mark.parametrize("value", ["http://me:se,cret@host", "http://me:se(cret@host", "http://me:se cret@host,b"])
def test_an_address_that_hydra_would_split_is_refused_without_its_password(value: str) -> None:
    with pytest.raises(UserError, match=r"tracking\.uri .*quote it") as error:
        read_overrides(["-m", f"tracking.uri={value}"])
    assert "cret" not in str(error.value)
