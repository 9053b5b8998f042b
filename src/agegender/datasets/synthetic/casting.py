"""Who stands in a generated set: users, their subjects with the labels of the fold files, and their photographs.

The shares of the labels and the odd ones among them follow Adience's published fold files.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FOLDS = 5

# Rows of the fold files with each of the eight labels (Adience, all five files).
GROUP_ROWS = {
    "(0, 2)": 2519, "(4, 6)": 2163, "(8, 12)": 2132, "(15, 20)": 1655,
    "(25, 32)": 4950, "(38, 43)": 2300, "(48, 53)": 830, "(60, 100)": 875,
}  # fmt: skip
# Adience's other labels (rarer ones left out): rows in the fold files, and the years their subjects are drawn at.
ODD_ROWS = {
    "None": (753, 3, 70), "35": (294, 35, 36), "13": (169, 13, 14), "22": (149, 22, 23), "34": (105, 34, 35),
    "23": (96, 23, 24), "45": (88, 45, 46), "55": (77, 55, 56), "(27, 32)": (77, 27, 33), "36": (57, 36, 37),
    "(38, 42)": (50, 38, 43), "57": (24, 57, 58), "3": (18, 3, 4),
}  # fmt: skip
TWISTED = "(25, 23)"  # stands for (25, 32) in Adience's fold 0, and only there
# Each fold has its odd label for certain, however few its subjects.
SURE_ODD = (TWISTED, "None", "35", "13", "(38, 42)")
ODD_SHARE = 0.1
FEMALE_SHARE = 9411 / (9411 + 8192)
UNKNOWN_BABIES = 1092 / 2519  # share of the (0, 2) rows with gender u
OLDEST_DRAWN = 85  # "(60, 100)" holds few people near 100
FACES_PER_SUBJECT = 4
LEAST_SUBJECTS = 12  # of a fold, if it has the faces: eight groups and an odd label
SHARED_PHOTOGRAPHS = 0.2  # share of a subject's faces that stand in a photograph with another subject


@dataclass(frozen=True)
class Subject:
    """A person of the set, with the labels that the fold files give to each of their photographs."""

    face_id: int
    age_label: str
    gender_label: str
    years: float
    gender: int  # drawn with the cues of 0 m or 1 f, also where the label is withheld


@dataclass(frozen=True)
class Face:
    """One photograph of a subject: a row of a fold file and an image on disk."""

    fold: int
    user: str
    image: str
    subject: Subject
    number: int

    @property
    def path(self) -> Path:
        """Where the image stands below the set's root."""
        return Path("aligned", self.user, f"landmark_aligned_face.{self.subject.face_id}.{self.image}")


def plan_faces(faces: int, users: int, seed: int) -> list[Face]:
    """Return all faces of a set, fold by fold: users and subjects stand in one fold only, `face_id` counts from 1."""
    rng = np.random.default_rng(seed)
    names = rng.permutation(10_000_000 + np.cumsum(rng.integers(1, 600_000, users)))
    ids = iter(f"{name}@N{rng.integers(10):02d}" for name in names)
    plan: list[Face] = []
    face_id = 1
    for fold in range(FOLDS):
        here, people = ((total + FOLDS - 1 - fold) // FOLDS for total in (faces, users))
        count = min(here, max(people, LEAST_SUBJECTS, round(here / FACES_PER_SUBJECT)))
        subjects = [draw_subject(rng, face_id + k, label) for k, label in enumerate(deal_labels(rng, count, fold))]
        face_id += count
        photographs = iter(split(rng, here, count))
        queue = iter(subjects)
        for subjects_of_user in split(rng, count, people):
            shown = [(next(queue), next(photographs)) for _ in range(subjects_of_user)]
            plan.extend(fill_album(rng, fold, next(ids), shown))
    return plan


def split(rng: np.random.Generator, total: int, parts: int) -> list[int]:
    """Return `parts` positive, unequal numbers that add up to `total`."""
    extra = rng.multinomial(total - parts, rng.dirichlet(np.full(parts, 4.0)))
    return [1 + int(number) for number in extra]


def deal_labels(rng: np.random.Generator, count: int, fold: int) -> list[str]:
    """Return an age label for each of a fold's subjects: Adience's shares, no group left out where that is possible."""
    odd = [SURE_ODD[fold]] if count > len(GROUP_ROWS) else []
    weights = np.array([rows for rows, _, _ in ODD_ROWS.values()], float)
    extra = max(0, round(ODD_SHARE * count) - len(odd))
    odd += [str(label) for label in rng.choice(list(ODD_ROWS), extra, p=weights / weights.sum())]
    share = np.array(list(GROUP_ROWS.values()), float)
    usual = count - len(odd)
    wanted = share / share.sum() * usual
    dealt = np.full(len(share), 1 if usual >= len(share) else 0)
    while dealt.sum() < usual:
        dealt[np.argmax(wanted - dealt)] += 1
    labels = odd + [label for label, number in zip(GROUP_ROWS, dealt, strict=True) for _ in range(number)]
    return [labels[k] for k in rng.permutation(count)]


def draw_subject(rng: np.random.Generator, face_id: int, age_label: str) -> Subject:
    """Return a subject with this age label; the gender label is withheld as often and where Adience does so."""
    if age_label == TWISTED:
        low, high = 25, 33
    elif age_label in ODD_ROWS:
        _, low, high = ODD_ROWS[age_label]
    else:
        low, last = (int(part) for part in age_label.strip("()").split(", "))
        high = min(last + 1, OLDEST_DRAWN)
    gender = int(rng.random() < FEMALE_SHARE)
    unknown = age_label == "(0, 2)" and rng.random() < UNKNOWN_BABIES
    gender_label = "" if age_label == "None" else "u" if unknown else "mf"[gender]
    return Subject(face_id, age_label, gender_label, float(rng.uniform(low, high)), gender)


def fill_album(rng: np.random.Generator, fold: int, user: str, shown: list[tuple[Subject, int]]) -> Iterator[Face]:
    """Yield the faces of a user's subjects, each with its number of photographs; some photographs show several."""
    album: list[str] = []
    for subject, number in shown:
        shared = min(int(rng.binomial(number, SHARED_PHOTOGRAPHS)), len(album))
        fresh = [
            f"{rng.integers(9_000_000_000, 12_500_000_000)}_{rng.integers(2**40):010x}_o.jpg"
            for _ in range(number - shared)
        ]
        images = [album[k] for k in rng.choice(len(album), shared, replace=False)] + fresh if album else fresh
        album += fresh
        for k, image in enumerate(images, start=1):
            yield Face(fold, user, image, subject, k)
