"""Small copies of Adience: fold files of few users, without images."""

from pathlib import Path

from agegender.datasets.adience import HEADER


def row(user: str, age: str = "(25, 32)", gender: str = "f", face: int = 1, image: str = "a_o.jpg") -> str:
    return "\t".join([user, image, str(face), age, gender, "0", "0", "9", "9", "0", "0", "50"])


def write_fold(root: Path, fold: int, *rows: str, header: str = "\t".join(HEADER)) -> Path:
    root.mkdir(exist_ok=True)
    path = root / f"fold_{fold}_data.txt"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def write_copy(root: Path) -> Path:
    """Write a copy with two users per fold, the fold files beside faces/."""
    for fold in range(5):
        write_fold(root, fold, row(f"{fold}1@N01"), row(f"{fold}2@N01", "None", "u", 7))
    return root
