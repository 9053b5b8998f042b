"""What a run is: one frozen, typed object, made once from the configuration and kept in every run folder."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agegender.errors import UserError
from agegender.tasks import get_task

Text = Annotated[str, Field(min_length=1)]
Name = Annotated[str, Field(pattern=r"^\w[\w.+@-]*$")]  # of a file too
Count = Annotated[int, Field(ge=1)]
Index = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(gt=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]  # a step's random numbers are seeded by seed * 2^32 + step, 64 bits


class Spec(BaseModel):
    """Settings that are checked when they are read, and fixed from then on; a value is never converted to a type."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def read(cls, content: Any, inside: str = "") -> Self:
        """Check plain values; UserError names the first setting that is wrong, its value and what it must be.

        `inside` is the dotted name of the group that the settings are in.
        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise UserError(_sentence(cls, error, inside)) from None


class Choice(Spec):
    """Something chosen by a built-in name or as `package.module:object`, and the options that it has of its own."""

    model_config = ConfigDict(extra="allow")
    name: Text

    @property
    def options(self) -> dict[str, Any]:
        """Everything but the name; one that is null is as if it were not there, as in the identity of a run."""
        return {name: value for name, value in (self.model_extra or {}).items() if value is not None}

    @property
    def settings(self) -> dict[str, Any]:
        """The name and the options."""
        return {"name": self.name, **self.options}


class Model(Spec):
    """A backbone, by a built-in name or as `package.module:object`, and the side in pixels of its images."""

    name: Text
    input_size: Count


class System(Spec):
    """A row of a table: a backbone, a head for each task (by its name), and how pixels are prepared."""

    name: Name
    title: Text
    model: Model
    heads: Mapping[str, Choice]
    preprocessing: Choice = Choice(name="standardize")


class Data(Spec):
    """A data set and its pack; `settings` are the reader's own."""

    name: Text
    title: Text
    source: Annotated[Path, Field(strict=False)] | None
    size: Count
    allow_missing: bool
    pack: Annotated[Path, Field(strict=False)]
    settings: Mapping[str, Text | None]


class ProtocolChoice(Spec):
    """A protocol by name and version, the share of faces held out for validation and the `fraction` of all faces.

    `labels` names the label values of tasks where the protocol has names of its own.
    """

    name: Text
    version: int
    labels: Mapping[str, Annotated[tuple[Text, ...], Field(strict=False)]] = {}
    validation: float = 0.1
    fraction: Share = 1.0


class TestSet(Spec):
    """Another data set whose faces are tested in the place of the run's own."""

    __test__ = False  # no class of tests
    data: Data
    protocol: ProtocolChoice


class Recipe(Spec):
    """How a system is trained. `contrast`: bounds of a random factor; `clip_norm`: of the gradients' norm."""

    name: Text
    steps: Count
    batch_size: Count
    validate_every: Count
    optimizer: Text
    learning_rate: NotNegative
    weight_decay: NotNegative
    schedule: Choice
    dropout: Annotated[float, Field(ge=0, le=1)]
    momentum: NotNegative | None = None
    epsilon: NotNegative | None = None
    clip_norm: NotNegative | None = None
    contrast: Annotated[tuple[float, float], Field(strict=False)] | None = None
    augmentation: Text = "crops"


class Evaluation(Spec):
    """Test-time settings: how a trained network answers to the test faces."""

    views: Text  # of each face, over which posteriors are averaged: a name in `data.transforms.views.VIEWS`
    # Of batch norm: "network" (as the network was built for the mode), "running", "batch" (the present batch's) or
    # "reestimated" (from training faces).
    statistics: Literal["network", "running", "batch", "reestimated"]
    batch_size: Count
    order: Literal["manifest", "shuffled", "sorted"]  # sorted by label; it matters to batch statistics only
    repeats: Literal["none", "unscored", "scored"]  # faces from the beginning that fill the last batch


class Transfer(Spec):
    """Which weights a run starts from (a file, a run folder or a pattern of such) and what of them is trained."""

    name: Literal["none", "frozen", "last_blocks", "whole", "svm"]
    weights: Text | None = None
    names: Mapping[str, Text] | None = None
    blocks: Count | None = None
    old_rate: Share | None = None
    C: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(strict=False, min_length=1)] | None = None


class Trainer(Spec):
    """Where and how a run is computed; None is resolved for the machine when the run starts. Not in the identity."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = "auto"
    device: Index | None = None
    workers: Index = 0
    threads: Count | None = None
    resident: bool | None = None
    compile: bool | None = None
    progress: bool = True


class Run(Spec):
    """One training: a system on a fold of a data set, under a protocol, a recipe and test-time settings."""

    system: System
    data: Data
    protocol: ProtocolChoice
    recipe: Recipe
    evaluation: Evaluation
    transfer: Transfer
    trainer: Trainer
    mode: Literal["sound", "faithful"]
    # tf32: float32 with the convolutions of a GPU in TF32, torch's own default; 32-true means float32 throughout.
    # There is no float16: the squares in local response normalisation overflow it.
    precision: Literal["32-true", "tf32", "bf16-mixed"]
    validation: Text
    seed: Seed
    fold: Index
    half: Annotated[int, Field(ge=0, le=1)] | None = None
    training_share: Share = 1.0
    test: TestSet | None = None

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the tasks that the system answers, in the order of its heads."""
        return tuple(self.system.heads)

    def labels_of(self, task: str) -> tuple[str, ...]:
        """Return the names of a task's label values under the protocol."""
        return self.protocol.labels.get(task) or get_task(task).labels

    def identity_keys(self, data: str, *, weights: str | None = None, test: str | None = None) -> dict[str, Any]:
        """Return everything that can change the result, as plain values: what the run is named after.

        `data` and `test` are the digests of the data sets, `weights` is the checksum of the weights it starts from.
        Paths, titles, device and tracking are left out, and every setting that is None, so that a new optional setting
        renames no finished run.
        """
        own = {"system", "protocol", "validation", "recipe", "mode", "evaluation", "precision", "seed", "fold"}
        keys = self.model_dump(
            mode="json",
            include=own | {"half", "training_share", "transfer"},
            exclude={"system": {"title"}, "transfer": {"weights"}, "protocol": {"labels"}},
            exclude_none=True,
        )
        if self.test is not None:
            keys["test"] = {"data": test, "protocol": self.test.protocol.model_dump(mode="json", exclude={"labels"})}
        return {"data": data, **keys} | ({} if weights is None else {"weights": weights})


def _sentence(spec: type[Spec], error: ValidationError, inside: str) -> str:
    """Say what is wrong with the first setting that is: its dotted name, its value, what it must be."""
    errors = error.errors(include_url=False)
    first, path = errors[0], _path(errors[0]["loc"])
    name = ".".join((*filter(None, inside.split(".")), *path))
    value = first["input"]
    match first["type"]:
        case "extra_forbidden":
            group = _group(spec, path[:-1])
            return f"there is no setting '{name}': choose from {', '.join(group.model_fields)}"
        case "missing":
            return f"the setting '{name}' is missing: say {name}=..."
        case "string_pattern_mismatch":
            return f"{name}={value} must be a name of letters, digits and . _ - + @ (first a letter, digit or _)"
        case "model_type" | "model_attributes_type" | "mapping_type":
            return f"{name}={shown(value)}: {name} is a group of settings and no setting itself"
    # Of a setting that may be one of several things there is an error for each of them.
    same = dict.fromkeys(each["msg"] for each in errors if _path(each["loc"]) == path)
    what = " or ".join(re.sub(r"^\w+ should", "must", message) for message in same)
    quoted = first["type"] in ("string_type", "path_type") and isinstance(value, bool | int | float)
    remedy = f": quote it, '{name}=\"{shown(value)}\"'" if quoted else ""
    return f"{name}={shown(value)} {what}{remedy}"


def _path(location: tuple[int | str, ...]) -> list[str]:
    """Return the names that lead to a setting, without what pydantic calls the alternatives of its type."""
    return [
        str(name) for name in location if not re.match(r"(constrained-|literal\[|function-|(int|str|bool)$)", str(name))
    ]


def _group(spec: type[Spec], path: Sequence[str]) -> type[Spec]:
    """Return the settings that are at this place inside others."""
    for name in path:
        kinds = (spec.model_fields[name].annotation, *get_args(spec.model_fields[name].annotation))
        spec = next(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Spec))
    return spec


def shown(value: Any) -> str:
    """Write a value as the command line does."""
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)
