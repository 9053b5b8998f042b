"""A run as a table sees it: what it is, where it stands, and in what it may differ from the others of its table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agegender.modes import get_mode
from agegender.runs.folder import RunFolder
from agegender.spec import Run

# Keys of an identity, and so of the command line, by their place in a table.
TABLE = ("data", "protocol", "half")  # the same in all of it
ROWS = ("system", "mode", "evaluation", "validation", "transfer", "training_share")  # what sets its rows apart
REPEATS = ("fold", "seed")  # what a row is averaged over
OF_A_FOLD = ("weights",)  # which a run starts from: of its own fold and seed


def variant_of(run: Run) -> dict[str, str]:
    """Return what sets a run apart from the others of its system, mode, fold and seed, by the names of the settings.

    That is test-time settings other than the mode's, a leaky validation, what it starts from and a share of the
    training faces.
    """
    usual = get_mode(run.mode).evaluation.model_dump()
    found = {name: str(value) for name, value in run.evaluation.model_dump().items() if value != usual[name]}
    if run.validation == "by_image_leaky":
        found["validation"] = run.validation
    if (policy := run.transfer.name) != "none":
        found["transfer"] = f"last_{run.transfer.blocks}_blocks" if policy == "last_blocks" else policy
    if run.training_share != 1:
        found["training_share"] = f"{run.training_share:g}"
    return found


def title_of(run: Run, variant: Mapping[str, str]) -> str:
    """Return the title of a row."""
    return ", ".join([run.system.title, *(f"{name.replace('_', ' ')} {value}" for name, value in variant.items())])


@dataclass(frozen=True)
class Job:
    """One run of a table: what it is, its identity's `keys`, the folder it has or would have, its `overrides`."""

    run: Run
    keys: Mapping[str, Any]
    folder: RunFolder
    overrides: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        return self.folder.identity

    @property
    def title(self) -> str:
        """The title of its row."""
        return title_of(self.run, variant_of(self.run))

    @property
    def variant(self) -> str:
        """What sets its row apart from others of the system and mode, in one word."""
        return "_".join(variant_of(self.run).values())

    @property
    def curve(self) -> str:
        """The title of all rows that differ in the share of the training faces only."""
        common = {name: value for name, value in variant_of(self.run).items() if name != "training_share"}
        return title_of(self.run, common if "transfer" in common else {"from": "scratch", **common})

    @property
    def dataset(self) -> str:
        """The data set, and the one whose faces are tested where that is another."""
        return " tested on ".join([self.run.data.name, *([self.run.test.data.name] if self.run.test else [])])
