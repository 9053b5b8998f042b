"""The beginning of a run with weights from elsewhere: no face seen before, weights loaded, layers frozen, all told."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import asdict

import pandas as pd

from agegender.data.batches import Faces
from agegender.errors import UserError
from agegender.models.network import Network
from agegender.runs.folder import RunFolder
from agegender.spec import Transfer
from agegender.training.transfer.policy import freeze, rates_of
from agegender.training.transfer.weights import load_into, read_weights, renamed
from agegender.training.transfer.weights_source import Source

log = logging.getLogger(__name__)


def start(network: Network, source: Source, transfer: Transfer, folder: RunFolder) -> dict[str, float]:
    """Load weights into a network and freeze what the policy keeps; return the factors on the learning rate by name.

    What was loaded, is fresh, was left over and is frozen goes to the log and to transfer.json in the run folder.
    """
    weights = renamed(read_weights(source.file), transfer.names or {})
    loaded = load_into(network, weights, source.label)
    if fresh := [name for name in loaded.fresh if name.startswith("backbone.")]:
        log.warning(
            "%s: %d tensors of the backbone are not in the weights, such as %s", folder.identity, len(fresh), fresh[0]
        )
    frozen = freeze(network, transfer, loaded.loaded)
    told = {
        "policy": transfer.name,
        "source": str(source.file),
        "run": source.run.identity if source.run else None,
        "sha256": source.sha256,
        **asdict(loaded),
        "frozen": frozen,
    }
    folder.write("transfer", told)
    log.info(
        "%s: %d tensors loaded from %s (sha256 %s), %d of them frozen; fresh: %s; left over: %s",
        *(folder.identity, len(loaded.loaded), source.label, source.sha256[:12], len(frozen)),
        *(", ".join(names) or "none" for names in (loaded.fresh, loaded.left_over)),
    )
    return rates_of(transfer, loaded.loaded)


def check_unseen(
    ours: Mapping[str, Faces], theirs: Mapping[str, Faces], run: str, *, same: Collection[str], halves: bool
) -> None:
    """Refuse weights of a run that has seen what it must not; `ours` and `theirs` are the splits of both runs.

    No image (by the bytes of its file) of our test faces may be among the training and validation faces of the `run`,
    and of our splits of the `same` data set as that run's no image name and no known subject; with `halves`, none of
    our training faces either. UserError names the first.
    """
    seen = pd.concat([theirs[split].table[["image", "subject", "sha256"]] for split in ("train", "validation")])
    for split in ("test", *(["train"] if halves else [])):
        for column in ("image", "subject", "sha256") if split in same else ("sha256",):
            known = ours[split].table[column].dropna()
            common = known[known.isin(seen[column])]
            if len(common):
                remedy = "choose a run of the same fold" if split == "test" else "pre-train with the other half"
                raise UserError(
                    f"{column} {common.iloc[0]} of this run's {split} faces was among the training or validation faces "
                    f"of the run {run}, whose weights it starts from ({len(common)} such faces): {remedy}"
                )
