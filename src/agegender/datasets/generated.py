"""A set of drawn faces in Adience's layout and fold files, so that everything runs before a real copy is at hand."""

import json
import shutil
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track

from agegender.datasets.adience import ADIENCE_PROTOCOLS, read_adience
from agegender.datasets.dataset import Dataset
from agegender.datasets.synthetic.casting import FOLDS, Face, plan_faces
from agegender.datasets.synthetic.face import draw_face
from agegender.datasets.synthetic.traits import draw_nuisance, draw_traits
from agegender.errors import UserError
from agegender.machine.processes import completed

VERSION = 2  # of the drawing and the labels: raised whenever the same arguments would give other files
AGES = "ages.csv"
CHUNK = 16  # faces per message to a worker
HEADER = "user_id\toriginal_image\tface_id\tage\tgender\tx\ty\tdx\tdy\ttilt_ang\tfiducial_yaw_angle\tfiducial_score"
README = """These faces are drawn by a program. They are not photographs and show nobody.

They stand in Adience's folder layout and fold files so that software can be tried without the real data.
Accuracies reached on them say nothing about accuracies on photographs.
"""


def generate(
    root: Path,
    *,
    faces: int = 1000,
    users: int = 50,
    size: int = 256,
    seed: int = 0,
    workers: int | None = None,
    progress: bool = True,
) -> None:
    """Draw `faces` JPEG images of `size` x `size` pixels and write their fold files: a new Adience-like set at `root`.

    `root` gets `aligned/<user>/landmark_aligned_face.<face_id>.<image>.jpg`, `folds/fold_{0..4}_data.txt`, `ages.csv`
    (the years each subject was drawn with, and a deviation as of several annotators), a README and `generated.json`.
    The set appears at `root` whole or not at all: it is built in `<root>.partial`, which an earlier interrupted run may
    have left and which is then replaced. The files do not depend on `workers`, the number of processes (None: one per
    core); these are fresh interpreters, so a script that calls this with more than one needs the `if __name__ ==
    "__main__"` guard of multiprocessing. Raises UserError when `root` holds something, when there are too few users or
    faces for five folds, and when the disk is full or not writable.
    """
    if not faces >= users >= FOLDS:
        raise UserError(
            f"cannot generate {faces} faces of {users} users: ask for at least {FOLDS} users and a face each"
        )
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UserError(f"{root} already exists and is not an empty folder: name another folder or remove it")
    unfinished, plan = root.with_name(root.name + ".partial"), plan_faces(faces, users, seed)
    try:
        if unfinished.exists():
            shutil.rmtree(unfinished)
        for folder in sorted({(unfinished / face.path).parent for face in plan}):
            folder.mkdir(parents=True)
        write_folds(unfinished / "folds", plan, seed)
        write_ages(unfinished / AGES, plan)
        draw_all(unfinished, plan, size, seed, workers or joblib.cpu_count(), progress)
        (unfinished / "README.txt").write_text(README, encoding="utf-8")
        record = arguments(faces, users, size, seed)
        (unfinished / "generated.json").write_text(json.dumps(record) + "\n", encoding="utf-8")
        unfinished.replace(root)
    except OSError as error:
        raise UserError(
            f"cannot write {error.filename or unfinished} ({error.strerror or error}): mend that and run the same "
            "command again"
        ) from error


def is_generated(root: Path, *, faces: int, users: int, size: int, seed: int) -> bool:
    """Tell whether `root` holds what `generate` would write there for these arguments."""
    try:
        record = json.loads((root / "generated.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(record == arguments(faces, users, size, seed))


def arguments(faces: int, users: int, size: int, seed: int) -> dict[str, int]:
    """Return what decides the content of a set, as `generated.json` records it."""
    return {"version": VERSION, "faces": faces, "users": users, "size": size, "seed": seed}


def write_folds(folder: Path, plan: list[Face], seed: int) -> None:
    """Write the five fold files; as in Adience a few rows stand in a file twice."""
    folder.mkdir()
    for fold in range(FOLDS):
        rows = [fold_row(face, seed) for face in plan if face.fold == fold]
        lines = [HEADER, *rows, *rows[7::200]]
        (folder / f"fold_{fold}_data.txt").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def write_ages(file: Path, plan: list[Face]) -> None:
    """Write the age in years that each face was drawn with, to a tenth, and a deviation that grows with it."""
    years = {face.path.as_posix(): face.subject.years for face in plan}
    lines = [f"{image},{age:.1f},{1 + age / 20:.1f}" for image, age in years.items()]
    file.write_text("\n".join(["image,age_years,age_years_sd", *lines]) + "\n", encoding="utf-8", newline="\n")


def read_generated(root: Path) -> pd.DataFrame:
    """Read a generated set as `read_adience` reads Adience, with the ages it was drawn with where they are there.

    Columns as there, and then age_years and age_years_sd (Float64).
    """
    rows, file = read_adience(root, official=False), root / AGES
    if not file.is_file():
        return rows
    ages = pd.read_csv(file, dtype={"age_years": "Float64", "age_years_sd": "Float64"}).set_index("image")
    columns = {name: rows["image"].map(ages[name]) for name in ("age_years", "age_years_sd")}
    return rows.assign(**columns)


def photograph_rng(face: Face, seed: int) -> np.random.Generator:
    """Return the source of all that is random in one photograph."""
    return np.random.default_rng([seed, face.subject.face_id, face.number])


def fold_row(face: Face, seed: int) -> str:
    """Return a face's line; box and score are invented, the yaw is the drawn one in Adience's steps of 15 degrees."""
    rng = photograph_rng(face, seed)
    yaw = 15 * round(np.degrees(draw_nuisance(rng).yaw) / 15)
    side = int(rng.integers(80, 1200))
    box = (*rng.integers(0, 1800, 2).tolist(), side, side + int(rng.integers(-1, 2)))
    tilt, score = 5 * int(rng.integers(-20, 4)), int(rng.integers(5, 180))
    subject = face.subject
    labels = (face.user, face.image, subject.face_id, subject.age_label, subject.gender_label)
    return "\t".join(str(value) for value in (*labels, *box, tilt, yaw, score))


def draw_all(root: Path, plan: list[Face], size: int, seed: int, workers: int, progress: bool) -> None:
    """Draw and write every face, in `workers` processes if more than one."""
    chunks = [plan[first : first + CHUNK] for first in range(0, len(plan), CHUNK)]
    draw = partial(draw_chunk, root, size, seed)
    done = map(draw, chunks) if workers == 1 else completed(draw, chunks, workers, "draws faces")
    console = Console(stderr=True)
    for _ in track(done, "Drawing faces", total=len(chunks), console=console, disable=not progress):
        pass


def draw_chunk(root: Path, size: int, seed: int, faces: list[Face]) -> None:
    """Draw and write some faces."""
    for face in faces:
        subject = face.subject
        traits = draw_traits(np.random.default_rng([seed, subject.face_id]), subject.years, subject.gender)
        nuisance = draw_nuisance(photograph_rng(face, seed))
        draw_face(traits, nuisance, size).save(root / face.path, quality=nuisance.quality)


GENERATED = Dataset("generated", lambda root: (read_generated(root), {}), ADIENCE_PROTOCOLS)
