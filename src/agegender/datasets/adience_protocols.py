"""The protocols of Adience, and the counts that each has on its published fold files.

The counts were computed from the fold files (Eidinger, Enbar, Hassner, TIFS 2014). `lmtcnn_joint` is the list of Lee,
Chan, Chen, Chen (MIPR 2018) as their script `datapreparation.py` makes it, `age_only` and `gender_only` those of Levi
and Hassner (CVPRW 2015); the sizes of `lmtcnn_lists` are those of the lists in the repository of Lee et al.
"""

from dataclasses import replace

from agegender.datasets.labels import EIDINGER, MIVOLO, group_around_label, group_of_label
from agegender.datasets.protocol import Protocol


def _lists_of(protocol: Protocol, name: str, column: str, **sizes: tuple[int, ...]) -> Protocol:
    description = (
        f"the authors' own lists of {protocol.name}; their training and validation share users, persons and copies of "
        "images"
    )
    counts = {**protocol.counts, **sizes}
    return replace(protocol, name=name, description=description, lists=column, tests_as=protocol.name, counts=counts)


ADIENCE = ("adience", "generated")

LMTCNN_JOINT = Protocol(
    name="lmtcnn_joint",
    datasets=ADIENCE,
    version=1,
    description="age label exactly one of the eight groups and gender m or f; duplicate rows kept, '(25, 23)' lost",
    age_group=lambda rows: group_of_label(rows["age_label"]),
    variant="aligned",
    counts={
        "rows": (3879, 3005, 3121, 2866, 3387),
        "groups": (1427, 2162, 2125, 1653, 4897, 2300, 825, 869),
        "distinct": (16156,),
    },
)
AGE_ONLY = Protocol(
    name="age_only",
    datasets=ADIENCE,
    version=1,
    description="age label exactly one of the eight groups; duplicate rows kept, '(25, 23)' lost",
    age_group=lambda rows: group_of_label(rows["age_label"]),
    labels=("age_group",),
    variant="aligned",
    counts={
        "rows": (4316, 3101, 3339, 2975, 3693),
        "groups": (2519, 2163, 2132, 1655, 4950, 2300, 830, 875),
    },
)
GENDER_ONLY = Protocol(
    name="gender_only",
    datasets=ADIENCE,
    version=1,
    description="gender m or f; duplicate rows kept",
    age_group=lambda rows: group_of_label(rows["age_label"]),
    labels=("gender",),
    variant="aligned",
    counts={"rows": (4007, 3624, 3191, 3318, 3463)},
)

ADIENCE_PROTOCOLS = (
    LMTCNN_JOINT,
    AGE_ONLY,
    GENDER_ONLY,
    _lists_of(
        LMTCNN_JOINT,
        "lmtcnn_lists",
        "lists_agegender",
        train=(11136, 11905, 11814, 12056, 11593),
        validation=(1242, 1348, 1323, 1335, 1277),
    ),
    _lists_of(AGE_ONLY, "age_lists", "lists_age"),
    _lists_of(GENDER_ONLY, "gender_lists", "lists_gender"),
    Protocol(
        name="eidinger",
        datasets=ADIENCE,
        version=1,
        description="age label exactly one of the eight groups, or '13', as '(8, 12)', or '(38, 42)', as "
        "'(38, 43)'; duplicate rows kept, '(25, 23)' lost",
        age_group=lambda rows: group_of_label(rows["age_label"], EIDINGER),
        labels=("age_group",),
        counts={
            "rows": (4319, 3287, 3340, 3004, 3693),
            "groups": (2519, 2163, 2301, 1655, 4950, 2350, 830, 875),
        },
    ),
    Protocol(
        name="mivolo",
        datasets=ADIENCE,
        version=1,
        description="each face once; odd age labels moved to the group nearby, '(25, 23)' to '(25, 32)'; "
        "gender may be missing; published on faces/ images",
        age_group=lambda rows: group_of_label(rows["age_label"], MIVOLO),
        labels=("age_group",),
        distinct=True,
        variant="faces",
        counts={
            "rows": (4432, 3693, 3343, 3400, 3754),
            "groups": (2509, 2140, 2293, 1791, 5589, 2490, 909, 901),
        },
    ),
    Protocol(
        name="subject_exclusive",
        datasets=ADIENCE,
        version=1,
        description="each face once; an age label counts when its whole range lies inside one group, '(25, 23)' as "
        "'(25, 32)'; a face with one usable label counts for that task only",
        age_group=lambda rows: group_around_label(rows["age_label"]),
        complete=False,
        distinct=True,
        counts={
            "rows": (4432, 3705, 3354, 3415, 3754),
            "age": (4377, 3110, 3299, 3069, 3679),
            "gender": (3995, 3609, 3137, 3306, 3445),
            "groups": (2491, 2140, 2124, 1642, 5095, 2340, 830, 872),
            "both": (16366,),
        },
    ),
)
