"""The data of a run: the pack that it reads, its splits, and the loaders over them."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from agegender.data.batches import Faces
from agegender.data.datamodule import FaceData, Selection, make_splits
from agegender.data.pack import Pack, open_pack, recorded
from agegender.data.transforms.augmentations import get_augmentation
from agegender.data.transforms.preprocessing import get_preprocessing
from agegender.spec import Data, Run
from agegender.training.device import workers


def pack_of(data: Data) -> Pack:
    """Open the pack of a data set; UserError with the command that builds it when it is missing or stale."""
    return open_pack(
        data.pack,
        dataset=data.name,
        size=data.size,
        settings=data.settings,
        source=data.source,
        remedy=prepare_command(data),
    )


def prepare_command(data: Data) -> str:
    """Return the command that builds a pack; settings that are left open are those of the pack that is there."""
    made = recorded(data.pack)
    overrides = [f"data={data.name if ':' not in data.name else data.pack.name.removesuffix(f'-{data.size}')}"]
    if data.source or data.name != "generated":
        overrides.append(f"data.source={data.source or made.get('source', '/path/to/it')}")
    settings = {
        key: made.get("settings", {}).get(key) if value is None else value for key, value in data.settings.items()
    }
    overrides += [f"data.settings.{key}={value}" for key, value in settings.items() if value not in (None, "auto")]
    if data.size != 256:
        overrides.append(f"data.size={data.size}")
    if data.allow_missing:
        overrides.append("data.allow_missing=true")
    if data.pack.parent != Path("data", "packs"):
        overrides.append(f"data.pack={data.pack}")
    return "agegender prepare " + " ".join(map(shlex.quote, overrides))


def faces_of(run: Run, pack: Pack) -> dict[str, Faces]:
    """Return the faces of each split ("train", "validation", "test") of a run; `pack` is that of its data.

    With a `test` set the tested faces are another data set's, of the same fold.
    """
    test = None
    if run.test:
        test = Selection(pack_of(run.test.data), run.test.protocol.name, run.test.protocol.fraction)
    return make_splits(
        Selection(pack, run.protocol.name, run.protocol.fraction),
        {task: head.options for task, head in run.system.heads.items()},
        fold=run.fold,
        validation=run.protocol.validation,
        rule=run.validation,
        half=run.half,
        training_share=run.training_share,
        tested=test,
    )


def data_of(run: Run, splits: Mapping[str, Faces]) -> FaceData:
    """Return every loader over the splits of a run."""
    recipe = run.recipe
    return FaceData(
        splits,
        size=run.system.model.input_size,
        batch_size=recipe.batch_size,
        steps=recipe.steps,
        seed=run.seed,
        preprocessing=get_preprocessing(run.system.preprocessing.settings),
        augmentation=get_augmentation(recipe.augmentation),
        contrast=recipe.contrast,
        workers=workers(run.trainer),
    )
