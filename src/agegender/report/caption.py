"""What a table must say about its numbers besides them."""

from datetime import UTC, datetime
from pathlib import Path

from agegender.data.pack import Pack
from agegender.datasets.protocols import apply_protocol, get_protocol
from agegender.spec import Run
from agegender.training.run_data import pack_of


def caption(run: Run, pack: Pack, title: str, pretrained: str | None = None) -> dict[str, str]:
    """The facts of a table, from one run and the pack that all read; `pretrained` names the runs they start from."""
    protocol = get_protocol(run.protocol.name, run.data.name)
    recipe = run.recipe
    selected = "best on validation" if run.mode == "sound" else "last checkpoint"
    return {
        "experiment": title,
        "data": f"{run.data.title}, digest {pack.digest[:16]}, {run.data.size} pixels",
        "protocol": f"{protocol.name} v{protocol.version}: {protocol.description}",
        "tested on": _tested(run),
        "partial": "; ".join(_shortfalls(run, pack)),
        "recipe": f"{recipe.name}: {recipe.steps} steps of {recipe.batch_size}, {recipe.optimizer}; seed {run.seed}",
        "transfer": _pretrained(pretrained),
        "mode": f"{run.mode}; weights evaluated: {selected}",
        "date": datetime.now(UTC).date().isoformat(),
    }


def _pretrained(weights: str | None) -> str:
    """Name the weights that runs start from, without their folder: a pattern means a run of the same fold and seed."""
    if not weights:
        return ""
    same = ", weights of the same fold and seed" if any(sign in weights for sign in "*?[") else ""
    return f"from {Path(weights).name}{same}"


def _tested(run: Run) -> str:
    """Name the other data set whose faces are tested, its digest and how it is read; "" where there is none."""
    if run.test is None:
        return ""
    protocol = get_protocol(run.test.protocol.name, run.test.data.name)
    digest = pack_of(run.test.data).digest[:16]
    return f"{run.test.data.title}, digest {digest}, {protocol.name} v{protocol.version}: {protocol.description}"


def _shortfalls(run: Run, pack: Pack) -> list[str]:
    """How the faces fall short of what published numbers were measured on."""
    found, protocol = [], get_protocol(run.protocol.name, run.data.name)
    if pack.info["missing"]:
        found.append(f"{pack.info['missing']} faces missing from this copy")
    if run.protocol.fraction < 1:
        found.append(f"{run.protocol.fraction:.0%} of every stratum of fold, age group and annotated gender")
    if run.half is not None:
        found.append(f"trained on half {run.half} of the faces outside the test fold")
    if run.data.name not in ("adience", "generated") and "distinct" in protocol.counts:
        faces = len(apply_protocol(pack.manifest, run.protocol.name, run.data.name))
        (published,) = protocol.counts["distinct"]
        if faces < published:
            found.append(f"{faces:,} of {published:,} published faces")
    variant = protocol.variant
    if run.data.name == "adience" and variant and not pack.manifest["image"].str.contains(f"{variant}/").all():
        found.append(f"not Adience's {variant}/ images, of which the published numbers are")
    return found
