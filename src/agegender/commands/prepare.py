"""agegender prepare: read a data set, check it, decode its faces once into a pack."""

import os
from collections.abc import Collection
from functools import partial
from pathlib import Path

import pandas as pd
from omegaconf import DictConfig
from rich.console import Console

from agegender.config.settings import Generate, PrepareSettings, settings_of
from agegender.data.build import build_pack
from agegender.data.manifest import read_rows
from agegender.datasets.generated import generate, is_generated
from agegender.datasets.label_files import noted
from agegender.datasets.protocols import apply_protocol, fitting
from agegender.errors import UserError


def main(config: DictConfig) -> None:
    """Build the manifest and the pack of a data set and say what was kept and dropped."""
    settings = settings_of(PrepareSettings, config)
    data = settings.data
    source = draw(data.generate) if data.source is None and data.generate else data.source
    if source is None:
        raise UserError(f"data.source is not set: say where {data.title} is, data.source=/path/to/it")
    console = Console(stderr=True)
    say = partial(console.print, highlight=False, markup=False, soft_wrap=True)
    with console.status(f"reading {data.title}"), noted() as label_files:
        rows, dropped = read_rows(data.name, source, **data.settings)
    say(taken(rows["image"], source, label_files))
    for reason, names in dropped.items():
        say(f"dropped {len(names):,} faces: {reason}, such as {names[0]}")
    if "repaired" in rows and rows["repaired"].notna().any():
        label, row = rows.dropna(subset="repaired")[["repaired", "row"]].iloc[0]
        say(f"repaired {rows['repaired'].count():,} labels, such as '{label}' in {row}")
    for name in fitting(rows, data.name):  # published counts must hold before hours of decoding
        apply_protocol(rows, name, data.name)
    summary = build_pack(
        data.pack,
        source,
        rows,
        dataset=data.name,
        size=data.size,
        settings=data.settings,
        allow_missing=data.allow_missing,
        label_files=label_files,
        workers=settings.workers,
    )
    console.print(summary)


def taken(images: "pd.Series[str]", source: Path, label_files: Collection[str]) -> str:
    """Say which folder of the source was read, and which label files outside it: settings may leave that open."""
    folder = os.path.commonprefix(images.tolist()).rpartition("/")[0]  # noqa: RUF071 (cut at a slash)
    labels = f", labels in {min(label_files)}" if label_files else ""
    others = f" and {len(label_files) - 1} other files" if len(label_files) > 1 else ""
    return f"{len(images):,} faces in {source / folder}{labels}{others}"


def draw(how: Generate) -> Path:
    """Draw the generated faces, unless the very same ones are there, and return where they are."""
    arguments = {"faces": how.faces, "users": how.users, "size": how.size, "seed": how.seed}
    if not is_generated(how.root, **arguments):
        generate(how.root, faces=how.faces, users=how.users, size=how.size, seed=how.seed)
    return how.root
