"""The label spaces the suite knows: what a task's label values are and what they are called."""

from dataclasses import dataclass

from agegender.errors import UserError

NO_LABEL = -1.0  # stands for the missing label of a face; it adds nothing to a loss
ANNOTATED = "annotated"  # as `sigma` of a head: each face's own, from the data set


@dataclass(frozen=True)
class Task:
    """A label space: `column` of the manifest holds a face's value, nothing where it has no label.

    The values are classes or ordered groups, 0..len(labels)-1, or else (with a `unit`) a measured quantity: then any
    number from the first to the last of `values`, which are the points of a posterior, `first` + `step` * k. Some data
    sets name a measured label's standard deviation too, in `spread_column`.
    """

    name: str
    title: str
    column: str
    labels: tuple[str, ...]
    ordinal: bool
    first: float = 0.0
    step: float = 1.0
    unit: str = ""

    @property
    def measured(self) -> bool:
        """Whether answers are numbers in a unit, right by how close they are, and not one of a few labels."""
        return self.unit != ""

    @property
    def values(self) -> tuple[float, ...]:
        """The numbers that the labels stand for."""
        return tuple(round(self.first + self.step * k, 6) for k in range(len(self.labels)))

    @property
    def spread_column(self) -> str:
        """The manifest's column of the standard deviations of the labels."""
        return f"{self.column}_sd"


# Adience's eight groups, in the order of its fold files (reference: Eidinger, Enbar, Hassner, TIFS 2014, Table II).
AGE_GROUPS: tuple[tuple[int, int], ...] = (
    (0, 2), (4, 6), (8, 12), (15, 20), (25, 32), (38, 43), (48, 53), (60, 100),
)  # fmt: skip

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            "age",
            "annotated age group",
            "age_group",
            ("0-2", "4-6", "8-12", "15-20", "25-32", "38-43", "48-53", "60+"),
            True,
        ),
        # FairFace's nine groups (Karkkainen, Joo, WACV 2021); its label files call the last one 'more than 70'.
        Task(
            "age_decades",
            "annotated age group (decades)",
            "age_decades",
            ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "70+"),
            True,
        ),
        # DLDL-v2 (Gao et al., IJCAI 2018): ages 0..100 in steps of a year (the authors' code, reference 5.2).
        Task("age_years", "annotated age", "age_years", tuple(str(year) for year in range(101)), True, unit="years"),
        # As there for SCUT-FBP: 1..5 in steps of 0.1.
        Task(
            "attractiveness",
            "annotated attractiveness",
            "attractiveness",
            tuple(f"{1 + 0.1 * k:.1f}" for k in range(41)),
            True,
            first=1.0,
            step=0.1,
            unit="points",
        ),
        Task("gender", "annotated gender", "gender", ("m", "f"), False),
    )
}


def get_task(name: str) -> Task:
    """Return the task of this name; UserError when there is none."""
    if name not in TASKS:
        raise UserError(f"there is no task '{name}': choose from {', '.join(TASKS)}")
    return TASKS[name]
