"""Where the configuration stands, and what it means for one run: checks, identity, the pack it reads."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from agegender.config.kinds import check_values
from agegender.errors import UserError, one_sentence
from agegender.modes import Evaluation, get_evaluation, get_mode
from agegender.runs.folder import RunFolder, identity
from agegender.training.transfer.source import find_sources, policy_of

if TYPE_CHECKING:
    from agegender.data.pack import Pack
    from agegender.data.transforms.augmentations import Augmentation
    from agegender.data.transforms.preprocessing import Preprocessing

# tf32: float32 with the convolutions of a GPU in TF32, torch's own default; 32-true means float32 throughout.
PRECISIONS = ("32-true", "tf32", "bf16-mixed")


def config_folder() -> str:
    """The folder of Hydra's groups: inside an installed package, at the top level of a checkout."""
    installed = Path(__file__).parents[1] / "conf"
    return str(installed if installed.is_dir() else Path(__file__).parents[3] / "conf")


def plain(node: DictConfig) -> dict[str, Any]:
    """Return a node as plain dictionaries and lists, every interpolation resolved."""
    content: dict[str, Any] = OmegaConf.to_container(node, resolve=True)  # type: ignore[assignment]
    return content


def check(config: DictConfig) -> None:
    """Refuse values no run can have, before anything is started; UserError names the value and what it may be."""
    from agegender.data.splits import RULES, check_less
    from agegender.data.transforms.views import (
        get_views,  # these bring torch and pandas, which `--help` need not wait for
    )
    from agegender.datasets.protocols import get_protocol
    from agegender.training.optimization import check_recipe
    from agegender.training.transfer.policy import check_transfer

    check_values(config)
    if config.fold not in range(5):
        raise UserError(f"fold={config.fold}: there are five folds, choose fold=0 to fold=4")
    if config.fold >= get_protocol(config.protocol.name, config.data.name).folds:
        raise UserError(f"fold={config.fold}: protocol {config.protocol.name} has one fold, choose fold=0")
    if (other := other_test_set(config)) and config.fold >= get_protocol(other.protocol.name, other.data.name).folds:
        raise UserError(f"fold={config.fold}: data.test={other.data.name} has one fold, choose fold=0")
    get_views(evaluation_of(config).views)
    check_transfer(config, tasks_of(config))
    check_less(config.half, config.training_share)
    check_network(config)
    check_recipe(config.recipe)
    preprocessing_of(config)
    augmentation_of(config)
    if config.validation not in RULES:
        raise UserError(f"validation={config.validation} is unknown: choose from {', '.join(RULES)}")
    if config.precision not in PRECISIONS:
        raise UserError(
            f"precision={config.precision} is not supported: choose from {', '.join(PRECISIONS)} (the squares in "
            "local response normalisation overflow float16)"
        )
    if config.system.model.input_size > config.data.size:
        raise UserError(
            f"data.size={config.data.size} is smaller than the {config.system.model.input_size} pixels that "
            f"{config.system.name} reads: choose data.size=256, as the papers do"
        )


def check_network(config: DictConfig) -> None:
    """Refuse heads that cannot be made, and an input size that the backbone cannot read."""
    from agegender.heads import create_head  # these bring torch, which `--help` need not wait for
    from agegender.models.sizes import check_size
    from agegender.tasks import get_task

    for task, (name, head) in zip(tasks_of(config), plain(config.system.heads).items(), strict=True):
        try:
            create_head(**({"name": head} if isinstance(head, str) else head), features=1, task=get_task(task))
        except UserError as error:
            raise UserError(f"system.heads.{name}: {error}") from None
    check_size(config.system.model.name, config.system.model.input_size)


def evaluation_of(config: DictConfig) -> Evaluation:
    """Return how the test faces are put before the network: as the mode says, but for what is chosen otherwise."""
    return get_evaluation(config.mode, plain(config.evaluation))


def preprocessing_of(config: DictConfig) -> "Preprocessing":
    """Return how the pixels of a system's faces are prepared: standardised, where it names nothing else."""
    from agegender.data.transforms.preprocessing import (
        get_preprocessing,  # brings torch, which `--help` need not wait for
    )

    return get_preprocessing(plain(config.system).get("preprocessing", {"name": "standardize"}))


def augmentation_of(config: DictConfig) -> "Augmentation":
    """Return how a recipe varies training faces: random crops, where it names nothing else."""
    from agegender.data.transforms.augmentations import (
        get_augmentation,  # brings torch, which `--help` need not wait for
    )

    return get_augmentation(config.recipe.get("augmentation", "crops"))


def differences(config: DictConfig) -> dict[str, str]:
    """Return what sets a run apart from the others of its system, mode, fold and seed.

    That is how it is evaluated, a leak, what it started from (`transfer`) and a share of the training faces.
    """
    own = vars(get_mode(config.mode).evaluation)
    found = {name: str(value) for name, value in vars(evaluation_of(config)).items() if value != own[name]}
    if config.validation == "by_image_leaky":
        found["validation"] = config.validation
    if (policy := policy_of(config)) != "none":
        found["transfer"] = f"last_{config.transfer.blocks}_blocks" if policy == "last_blocks" else policy
    if (share := config.get("training_share", 1)) != 1:
        found["training_share"] = f"{share:g}"
    return found


def tasks_of(config: DictConfig) -> list[str]:
    """Return the tasks of a system's heads, in their order; the protocol says which label space `age` stands for."""
    from agegender.datasets.protocols import get_protocol  # brings pandas, which `--help` need not wait for

    age = get_protocol(config.protocol.name, config.data.name).age_task
    return [age if head == "age" else head for head in config.system.heads]


def identity_keys(config: DictConfig, data_digest: str) -> dict[str, Any]:
    """Everything that can change the result of a run: not the device, paths, tracking, titles or the commit.

    What a run starts from is in it as a checksum of the weights; None where they are not there yet. What is as it was
    before one could choose (`half`, `training_share`, `transfer`, `data.test`) is left out, so that runs of then keep
    their names.
    """
    from agegender.datasets.protocols import get_protocol  # brings pandas, which `--help` need not wait for

    aside = ("title", "official_learning_rate", "official_weight_decay")
    system = {key: value for key, value in plain(config.system).items() if key not in aside}
    protocol = get_protocol(config.protocol.name, config.data.name)
    usual = {"half": None, "training_share": 1}
    further = {name: config[name] for name, value in usual.items() if config.get(name, value) != value}
    if policy_of(config) != "none":
        transfer = {key: value for key, value in plain(config.transfer).items() if value is not None}
        sources = find_sources(config, data_digest)
        further["weights"] = sources[0].sha256 if len(sources) == 1 else None
        further["transfer"] = {key: value for key, value in transfer.items() if key != "weights"}
    if (other := other_test_set(config)) is not None:
        further["test"] = {"data": pack_of(other).digest, "protocol": plain(other.protocol)}
    return {
        "data": data_digest,
        "protocol": plain(config.protocol) | {"version": protocol.version},
        "validation": config.validation,
        "system": system,
        "recipe": plain(config.recipe),
        "mode": config.mode,
        "evaluation": vars(evaluation_of(config)),
        "precision": config.precision,
        "seed": config.seed,
        "fold": config.fold,
        **further,
    }


def run_folder(config: DictConfig, data_digest: str) -> RunFolder:
    """The folder of the run that this configuration describes; it need not exist yet."""
    return RunFolder(Path(config.paths.runs) / identity(config.system.name, identity_keys(config, data_digest)))


def pack_of(config: DictConfig) -> "Pack":
    """Open the pack a configuration reads; UserError with the command that builds it when it is missing or stale."""
    from agegender.data.pack import open_pack  # brings pandas, which `--help` need not wait for

    return open_pack(
        Path(config.data.pack),
        dataset=config.data.name,
        size=config.data.size,
        settings=dict(config.data.settings),
        source=Path(config.data.source) if config.data.source else None,
        remedy=prepare_command(config),
    )


def other_test_set(config: DictConfig) -> DictConfig | None:
    """Return the configuration of the data set whose faces are tested, where it is another one (`data.test`).

    It is read by `data.test_protocol` or its default protocol, at this one's size and fold. UserError where there is
    none of its name.
    """
    from hydra import compose
    from hydra.errors import HydraException

    name = config.data.get("test")
    if name is None:
        return None
    known = sorted(file.stem for file in (Path(config_folder()) / "data").glob("*.yaml"))
    if name not in known or name == config.data.name:
        raise UserError(f"data.test={name}: choose another data set than {config.data.name}, from {', '.join(known)}")
    here = [f"data={name}", f"data.size={config.data.size}", f"paths.data='{config.paths.data}'", f"fold={config.fold}"]
    protocol = [f"protocol={config.data.test_protocol}"] if config.data.get("test_protocol") else []
    try:
        return compose("train", overrides=[*here, *protocol])
    except HydraException as error:
        raise UserError(one_sentence(error)) from None


def prepare_command(config: DictConfig) -> str:
    """The command that builds the pack this configuration reads, to be shown when there is none or it is stale.

    What the configuration leaves open is taken from the pack that is there.
    """
    from agegender.data.pack import recorded  # brings pandas, which `--help` need not wait for

    data = plain(config.data)
    made = recorded(Path(data["pack"]))
    overrides = [f"data={data['name']}"]
    if data["source"] or "generate" not in data:
        overrides.append(f"data.source={data['source'] or made.get('source', '/path/to/it')}")
    settings = {
        key: made.get("settings", {}).get(key) if value is None else value for key, value in data["settings"].items()
    }
    overrides += [f"data.settings.{key}={value}" for key, value in settings.items() if value not in (None, "auto")]
    if data["size"] != 256:
        overrides.append(f"data.size={data['size']}")
    if data["allow_missing"]:
        overrides.append("data.allow_missing=true")
    if config.paths.data != "data":
        overrides.append(f"paths.data={config.paths.data}")
    return "agegender prepare " + " ".join(map(shlex.quote, overrides))
