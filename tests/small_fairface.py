"""Small copies of FairFace: label files as published, beside images that need not be pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

TRAIN, VAL = "fairface_label_train.csv", "fairface_label_val.csv"
HEADER = "file,age,gender,race,service_test"
AGES = ["0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70"]
RACES = ["White", "Black", "Latino_Hispanic", "East Asian", "Southeast Asian", "Indian", "Middle Eastern"]


def labels(count: int, part: str = "train") -> list[str]:
    """Lines of a label file in which every stratum has its share."""
    people = range(count)
    return [
        HEADER,
        *(f"{part}/{i + 1}.jpg,{AGES[i % 9]},{('Male', 'Female')[i // 9 % 2]},{RACES[i % 7]},True" for i in people),
    ]


def write(root: Path, files: Mapping[str, bytes | Sequence[str]]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content if isinstance(content, bytes) else ("\n".join(content) + "\n").encode())
    return root


def images(count: int, part: str = "train") -> dict[str, bytes]:
    # Content that differs is enough for the reader; only what is packed must be a picture.
    return {f"{part}/{i + 1}.jpg": f"{part} {i}".encode() for i in range(count)}


def fairface(root: Path, train: Sequence[str], count: int = 20) -> Path:
    return write(root, {**images(count), TRAIN: train})
