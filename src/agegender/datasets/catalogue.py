"""The data sets that come with the suite, and the look-up of these and of others by their place."""

from agegender.datasets.adience import ADIENCE
from agegender.datasets.all_age_faces import ALL_AGE_FACES
from agegender.datasets.chalearn import CHALEARN
from agegender.datasets.csv_table import CSV
from agegender.datasets.dataset import Dataset
from agegender.datasets.fairface import FAIRFACE
from agegender.datasets.generated import GENERATED
from agegender.datasets.morph2 import MORPH2
from agegender.datasets.scut_fbp5500 import SCUT_FBP5500
from agegender.datasets.utkface import UTKFACE
from agegender.lookup import find

DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (ADIENCE, GENERATED, UTKFACE, FAIRFACE, *CHALEARN, MORPH2, ALL_AGE_FACES, SCUT_FBP5500, CSV)
}


def get_dataset(name: str) -> Dataset:
    """Return the data set of this name, or the `Dataset` at `package.module:object`; UserError when there is none."""
    return find(name, DATASETS, "data set", "data.name", lambda found: isinstance(found, Dataset))
