"""The settings of each command beside those of a run, and how Hydra's configuration becomes plain values."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, Field

from agegender.errors import UserError, one_sentence
from agegender.spec import Count, Data, Index, NotNegative, Run, Spec, Text
from agegender.tracking.target import Target, find_target

Folder = Annotated[Path, Field(strict=False)]
S = TypeVar("S", bound=Spec)


class Paths(Spec):
    """The folders that commands write into."""

    data: Folder
    runs: Folder
    reports: Folder
    costs: Folder


class Tracking(Spec):
    """Where runs are tracked; `system_metrics`: the machine's load beside the curves."""

    name: Literal["mlflow", "none"]
    uri: Text | None
    experiment: Text
    system_metrics: bool


class Generate(Spec):
    """The set of drawn faces that `prepare` makes where no source is given."""

    root: Folder
    faces: Count
    users: Count
    size: Count
    seed: Index


class DataToPrepare(Data):
    """A data set, and the drawn one also as what is drawn."""

    generate: Generate | None = None


class Runtime(Spec):
    """How a network is run for a measurement."""

    name: Text
    precision: Text
    threads: Count | Literal["all"]
    batch_size: Count


class Table(Spec):
    """What an experiment says of its table: its title, the system that rows are compared with, published numbers."""

    title: Text | None = None
    reference: str = ""
    published: list[Any] | None = None


class PrepareSettings(Spec):  # noqa: D101
    paths: Paths
    data: DataToPrepare
    workers: Count | None


class TrainSettings(Spec):
    """What `train` is told beside the run itself."""

    paths: Paths
    tracking: Tracking

    @property
    def target(self) -> Target | None:
        """Where runs are tracked; None with tracking=none, where MLflow need not be installed."""
        if self.tracking.name == "none":
            return None
        return find_target(self.tracking.uri, self.tracking.experiment, self.paths.runs)


class CostSettings(TrainSettings):
    """What `cost` is told beside the systems; `calls` of each are timed."""

    runtime: Runtime
    calls: Count
    calibration_faces: Count
    progress: bool


class ReportSettings(Spec):  # noqa: D101
    paths: Paths
    folder: Folder | None
    table: Table = Table()


class ExportSettings(Spec):  # noqa: D101
    paths: Paths
    run: Text | None
    format: Text
    precision: Text
    statistics: Text | None
    folder: Folder


class PredictSettings(Spec):  # noqa: D101
    paths: Paths
    run: Text | None
    images: Text | None
    format: Literal["table", "csv", "json"]
    output: Folder | None
    faces: bool
    folder: Folder


class TrackSettings(TrainSettings):  # noqa: D101
    runs: Text | None


class TestChoice(Spec):
    """Another data set whose faces are tested, by name, and how it is read."""

    __test__ = False  # no class of tests
    test: Text | None = None
    test_protocol: Text | None = None


class Official(Spec):
    """What a system's authors trained it with, for recipes to read."""

    official_learning_rate: NotNegative | None = None
    official_weight_decay: NotNegative | None = None


class _Composed(Spec):
    """Settings that become others while a run is made."""

    pretrained: Text | None
    data: TestChoice


COMMANDS = (
    *(PrepareSettings, CostSettings, ReportSettings, ExportSettings, PredictSettings, TrackSettings),
    *(Run, _Composed),
)


def config_folder() -> str:
    """The folder of Hydra's groups: inside an installed package, at the top level of a checkout."""
    installed = Path(__file__).parents[1] / "conf"
    return str(installed if installed.is_dir() else Path(__file__).parents[3] / "conf")


def plain(node: DictConfig) -> dict[str, Any]:
    """Return a node as plain values, its interpolations resolved; UserError where one leads nowhere."""
    try:
        content: dict[str, Any] = OmegaConf.to_container(node, resolve=True)  # type: ignore[assignment]
    except OmegaConfBaseException as error:
        raise UserError(one_sentence(error)) from None
    return content


def settings_of(kind: type[S], config: DictConfig) -> S:
    """Read a command's own settings; UserError names the first that is wrong."""
    return kind.read({name: _plain(config[name]) for name in kind.model_fields if name in config})


def _plain(value: Any) -> Any:
    return plain(value) if OmegaConf.is_config(value) else value


def is_text(name: str) -> bool:
    """Whether a setting, by its dotted name, takes text as it is typed: a folder may be called 2019 or 1e3."""
    return any(_reaches_text(command, name.split(".")) for command in COMMANDS)


def setting_names() -> list[str]:
    """Return the dotted names of all settings of all commands, and those of the groups of choices."""
    groups = [folder.name for folder in Path(config_folder()).iterdir() if folder.is_dir()]
    return sorted({*groups, *(name for command in COMMANDS for name in _names_in(command))})


def _names_in(spec: type[BaseModel], inside: str = "") -> Iterator[str]:
    for name, field in spec.model_fields.items():
        yield f"{inside}{name}"
        for kind in _alternatives(field.annotation):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _names_in(kind, f"{inside}{name}.")


def _reaches_text(annotation: Any, path: list[str]) -> bool:
    for kind in _alternatives(annotation):
        if not path:
            if kind in (str, Path):
                return True
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            if path[0] in kind.model_fields and _reaches_text(kind.model_fields[path[0]].annotation, path[1:]):
                return True
        elif get_origin(kind) is Mapping and _reaches_text(get_args(kind)[1], path[1:]):
            return True
    return False


def _alternatives(annotation: Any) -> Iterator[Any]:
    """The types that an annotation allows, without what is said of them."""
    if get_origin(annotation) is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        for each in get_args(annotation):
            yield from _alternatives(each)
    else:
        yield annotation
