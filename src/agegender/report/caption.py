"""What a table must say about its numbers besides them."""

from datetime import UTC, datetime
from pathlib import Path

from omegaconf import DictConfig

from agegender.config.settings import other_test_set, pack_of
from agegender.data.pack import Pack
from agegender.datasets.protocols import apply_protocol, get_protocol


def caption(config: DictConfig, pack: Pack, title: str) -> dict[str, str]:
    """The facts of a table, from the configuration of one of its runs and the pack they all read."""
    protocol = get_protocol(config.protocol.name, config.data.name)
    recipe = config.recipe
    selected = "best on validation" if config.mode == "sound" else "last checkpoint"
    return {
        "experiment": title,
        "data": f"{config.data.title}, digest {pack.digest[:16]}, {config.data.size} pixels",
        "protocol": f"{protocol.name} v{protocol.version}: {protocol.description}",
        "tested on": _tested(config),
        "partial": "; ".join(_shortfalls(config, pack)),
        "recipe": f"{recipe.name}: {recipe.steps} steps of {recipe.batch_size}, {recipe.optimizer}; seed {config.seed}",
        "transfer": _pretrained(config),
        "mode": f"{config.mode}; weights evaluated: {selected}",
        "date": datetime.now(UTC).date().isoformat(),
    }


def _pretrained(config: DictConfig) -> str:
    """Name the runs an experiment starts from, without the folder they are in."""
    pattern = config.get("pretrained")
    return f"from {Path(pattern).name}, weights of the same fold and seed" if pattern else ""


def _tested(config: DictConfig) -> str:
    """Name the other data set whose faces are tested, its digest and how it is read; "" where there is none."""
    if (other := other_test_set(config)) is None:
        return ""
    protocol = get_protocol(other.protocol.name, other.data.name)
    digest = pack_of(other).digest[:16]
    return f"{other.data.title}, digest {digest}, {protocol.name} v{protocol.version}: {protocol.description}"


def _shortfalls(config: DictConfig, pack: Pack) -> list[str]:
    """How the faces fall short of what published numbers were measured on."""
    found, protocol = [], get_protocol(config.protocol.name, config.data.name)
    if pack.info["missing"]:
        found.append(f"{pack.info['missing']} faces missing from this copy")
    if (fraction := config.protocol.get("fraction", 1.0)) < 1:
        found.append(f"{fraction:.0%} of every stratum of fold, age group and annotated gender")
    if (half := config.get("half")) is not None:
        found.append(f"trained on half {half} of the faces outside the test fold")
    if config.data.name not in ("adience", "generated") and "distinct" in protocol.counts:
        faces = len(apply_protocol(pack.manifest, config.protocol.name, config.data.name))
        (published,) = protocol.counts["distinct"]
        if faces < published:
            found.append(f"{faces:,} of {published:,} published faces")
    variant = protocol.variant
    if config.data.name == "adience" and variant and not pack.manifest["image"].str.contains(f"{variant}/").all():
        found.append(f"not Adience's {variant}/ images, of which the published numbers are")
    return found
