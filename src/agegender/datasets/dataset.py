"""What a data set is."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from agegender.datasets.protocol import Protocol

Dropped = dict[str, list[str]]
"""Reason -> names of the files that were left out for it, at least one."""

Reader = Callable[..., tuple[pd.DataFrame, Dropped]]
"""The root (a folder or a .zip) and the options of `data.settings` -> a row for each face, and what was left out.

`data.manifest.read_manifest` says which columns the rows have.
"""


@dataclass(frozen=True)
class Dataset:
    """A data set: how its files are read, and the protocols that say which of its faces count.

    `counted`: whether its rows are compared with the published counts of the protocol. `crop`: how far its images
    reach around a face: the side of an image in longer sides of the box that `prediction.detector` finds, and the
    height of the box's centre in the image. These are medians measured with that detector on 46 faces of Adience
    (`faces/`, three users), 50 of FairFace (margin 0.25) and 51 of UTKFace, each on a grey ground twice its size; other
    data sets have Adience's.
    """

    name: str
    reader: Reader
    protocols: tuple[Protocol, ...]
    counted: bool = False
    crop: tuple[float, float] = (1.52, 0.48)
