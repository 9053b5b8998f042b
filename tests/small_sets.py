"""Small look-alikes of data sets with measured labels; images need be pictures only where they are packed."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from small_fairface import write

HEADER = "image,subject,age_years,age_years_sd,gender,score"
FOLDS = "train_test_files/5_folders_cross_validations_files"


def faces(count: int, persons: int) -> list[str]:
    """Lines of a table with every label, below HEADER; person k has the images k, k + persons, ..."""
    return [
        f"part {n % 2}/{n}.png,p{n % persons},{n * 7 % persons},{1 + n % 3}.5,{'mf'[n % persons % 2]},{1 + n % 33 / 8}"
        for n in range(count)
    ]


def table(root: Path, lines: Sequence[str], header: str = HEADER, name: str = "faces.csv") -> Path:
    return write(root, {name: [header, *lines]})


def chalearn(root: Path, year: int, ages: Mapping[str, Sequence[str]]) -> Path:
    """Lists of `mean,deviation` per part, in DLDL-v2's layout of 2015 or in the challenge's of 2016."""
    files: dict[str, bytes | Sequence[str]] = {}
    for part, lines in ages.items():
        numbered = [f"image_{n}.jpg,{line}" for n, line in enumerate(lines)]
        files |= {f"{part.title() if year == 15 else part}/image_{n}.jpg": b"x" for n in range(len(lines))}
        files[f"{part}15_gt.csv" if year == 15 else f"{part}_gt.csv"] = (
            numbered if year == 15 else ["image,mean,stdv", *numbered]
        )
    return write(root, files)


def appa_real(root: Path, splits: Mapping[str, Sequence[str]]) -> Path:
    header = "file_name,num_ratings,apparent_age_avg,apparent_age_std,real_age"
    files: dict[str, bytes | Sequence[str]] = {}
    for part, lines in splits.items():
        files[f"gt_avg_{part}.csv"] = [header, *(f"{n:06}.jpg,38,{line},30" for n, line in enumerate(lines))]
        files |= {f"{part}/{n:06}.jpg{suffix}": b"x" for n in range(len(lines)) for suffix in ("", "_face.jpg")}
    return write(root, files)


def morph2(root: Path, persons: int, images: int = 3) -> Path:
    header = "id_num,picture_num,dob,doa,race,gender,facial_hair,age,age_diff,glasses,photo"
    lines = [header]
    for person in range(persons):
        for image in range(images):
            age, letter = 16 + (person + image) % 62, "MF"[person % 4 == 0]
            name = f"Album2/{person:06}_{image}{letter}{age}.JPG"
            lines.append(f"{person:06},{image},1/2/1960,3/4/2005,B,{letter},0,{age},0,0,{name}")
    return write(root, {"MORPH/morph_2008_nonCommercial.csv": lines, "MORPH/Album2/000000_0F16.JPG": b"x"})


def scut(root: Path, per_fold: int, second: bool = True) -> Path:
    """Five test lists, and training lists that are the others'; names of the second version or of the first."""
    kinds = ("AF", "AM", "CF", "CM") if second else ("fty", "mty", "ftw", "mtw")
    tests = [
        [f"{kinds[n % 4]}{fold * per_fold + n}.jpg {1 + n % 41 / 10:.6g}" for n in range(per_fold)] for fold in range(5)
    ]
    files: dict[str, bytes | Sequence[str]] = {"Images/AF0.jpg": b"x"}
    for fold, lines in enumerate(tests):
        others = [line for other, lines in enumerate(tests) if other != fold for line in lines]
        place = f"{FOLDS}/cross_validation_{fold + 1}"
        files |= {f"{place}/test_{fold + 1}.txt": lines, f"{place}/train_{fold + 1}.txt": others[::-1]}
    return write(root, files)


def all_age_faces(root: Path, serials: Sequence[int], folder: str = "aligned faces") -> Path:
    return write(root, {f"{folder}/{serial:05}A{2 + serial % 79:02}.jpg": b"x" for serial in serials})
