"""The label spaces the suite knows: what a task's label values are and what they are called."""

from dataclasses import dataclass

from agegender.errors import UserError


@dataclass(frozen=True)
class Task:
    """A label space: `column` of the manifest holds its values 0..len(labels)-1, nothing where a face has no label."""

    name: str
    title: str
    column: str
    labels: tuple[str, ...]
    ordinal: bool


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
        Task("gender", "annotated gender", "gender", ("m", "f"), False),
    )
}


def get_task(name: str) -> Task:
    """Return the task of this name; UserError when there is none."""
    if name not in TASKS:
        raise UserError(f"there is no task '{name}': choose from {', '.join(TASKS)}")
    return TASKS[name]
