"""DLDL-v2's augmentation in training: what is drawn, and each operation against the literal one."""

import math
from itertools import permutations

import pytest
import torch
from hydra import compose
from torch import Tensor
from torchvision.transforms.v2 import functional as T

from agegender.config.resolve import resolve_run
from agegender.data.transforms.augmentations import get_augmentation, random_crops
from agegender.data.transforms.jitter import Jitter, blurred, coloured, cubic, jittered, random_jitter, rotated
from agegender.errors import UserError


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int, size: int = 24) -> Tensor:
    return 255 * torch.rand(count, 3, size, size, generator=generator(3))


def test_draws_are_spread_as_the_authors_are() -> None:
    drawn = random_jitter(20_000, 224, generator())
    for happened in (drawn.flip, drawn.grey):
        assert float(happened.float().mean()) == pytest.approx(0.5, abs=0.012)
    assert (int(drawn.scale.min()), int(drawn.scale.max())) == (112, 224)
    assert float(torch.bincount(drawn.scale)[112:].float().std()) < 20, "each of 113 about 177 times"
    angles, factors = (-math.pi / 12, math.pi / 12), (0.6, 1.4)
    for name, (low, high) in {
        "angle": angles,
        "brightness": factors,
        "contrast": factors,
        "saturation": factors,
    }.items():
        values = getattr(drawn, name)
        assert low <= float(values.min()) < low + 0.01 and high - 0.01 < float(values.max()) <= high
        assert float(values.mean()) == pytest.approx((low + high) / 2, abs=0.01)
        assert float(values.std()) == pytest.approx((high - low) / 12**0.5, rel=0.02)
    everything = torch.stack([value.float() for value in vars(drawn).values()])
    assert float((torch.corrcoef(everything) - torch.eye(7)).abs().max()) < 0.03, "drawn each for itself"


def test_looks_are_a_function_of_the_seed() -> None:
    faces = torch.randint(0, 256, (6, 40, 40, 3), dtype=torch.uint8, generator=generator())
    one, again, other = (jittered(faces, 32, generator(seed)) for seed in (1, 1, 2))
    assert one.shape == (6, 3, 32, 32) and one.dtype == torch.float32
    assert torch.equal(one, again) and not torch.equal(one, other)


def row_of_torch7(row: list[float], target: int) -> list[float]:
    """Torch7's `scaleCubic_rowcol`, value by value."""
    scale, found = (len(row) - 1) / (target - 1), []
    for place in range(target - 1):
        i = int(place * scale)
        f = place * scale - i
        p1, p2 = row[i], row[i + 1]
        p0 = row[i - 1] if i > 0 else 2 * p1 - p2
        p3 = row[i + 2] if i + 2 < len(row) else 2 * p2 - p1
        a1, a2 = (p2 - p0) / 2, p0 - 2.5 * p1 + 2 * p2 - p3 / 2
        found.append(p1 + f * (a1 + f * (a2 + f * (-p0 / 2 + 1.5 * p1 - 1.5 * p2 + p3 / 2))))
    return [*found, row[-1]]


@pytest.mark.parametrize("target", [7, 12, 13, 16, 29])
def test_faces_are_resized_as_torch7_does(target: int) -> None:
    row = images(1, 13)[0, 0, 0]
    expected = torch.tensor(row_of_torch7(row.tolist(), target))
    torch.testing.assert_close(cubic(13, target) @ row, expected, rtol=1e-4, atol=1e-3)


def test_each_face_is_blurred_by_its_own_scale() -> None:
    x, scale = images(3, 20), torch.tensor([8, 16, 12])
    found = blurred(x, 16, scale)
    for face, pixels, ours in zip(x, scale.tolist(), found, strict=True):
        there = cubic(20, pixels) @ face @ cubic(20, pixels).T
        torch.testing.assert_close(ours, cubic(pixels, 16) @ there @ cubic(pixels, 16).T, rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(cubic(20, 16) @ x[1] @ cubic(20, 16).T, found[1], rtol=1e-4, atol=1e-2)


def test_faces_are_mirrored_and_turned_about_their_middle() -> None:
    x = images(4)
    flip, degrees = torch.tensor([False, True, False, True]), torch.tensor([0.0, 0.0, 15.0, -10.0])
    found = rotated(x, torch.deg2rad(degrees), flip)
    torch.testing.assert_close(found[:2], torch.stack([x[0], x[1].flip(2)]), rtol=1e-4, atol=1e-2)
    for number in (2, 3):
        mirrored = x[number].flip(2) if flip[number] else x[number]
        expected = T.rotate(mirrored, float(degrees[number]), interpolation=T.InterpolationMode.BILINEAR)
        torch.testing.assert_close(found[number], expected, rtol=1e-3, atol=0.1)
        assert float(found[number, :, 0, 0].abs().max()) < 80, "a corner is black or nearly"


@pytest.mark.parametrize("order", list(permutations(["brightness", "contrast", "saturation"])), ids="-".join)
def test_colours_are_the_authors_in_whatever_order(order: tuple[str, ...]) -> None:
    x = images(8)
    drawn = random_jitter(8, 24, generator(4))
    assert {True, False} == set(drawn.grey.tolist())

    def greyscale(image: Tensor) -> Tensor:
        return (0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2]).expand(3, -1, -1)

    for number, image in enumerate(x):
        expected = greyscale(image) if drawn.grey[number] else image
        for name in order:
            alpha = float(getattr(drawn, name)[number])
            towards = {
                "brightness": torch.zeros_like(image),
                "contrast": greyscale(expected)[0].mean().expand(3, 24, 24),
                "saturation": greyscale(expected),
            }[name]
            expected = alpha * expected + (1 - alpha) * towards
        one = Jitter(**{name: value[number : number + 1] for name, value in vars(drawn).items()})
        torch.testing.assert_close(coloured(image[None], one)[0], expected, rtol=1e-4, atol=1e-2)


@pytest.mark.usefixtures("hydra")
def test_a_recipe_may_name_it() -> None:
    for overrides, expected in ((["+recipe.augmentation=dldl_v2"], jittered), ([], random_crops)):
        run = resolve_run(compose("train", overrides=overrides))
        assert get_augmentation(run.recipe.augmentation) is expected
    message = r"recipe.augmentation=none: there is no such augmentation, choose from crops, dldl_v2"
    with pytest.raises(UserError, match=message):
        resolve_run(compose("train", overrides=["+recipe.augmentation=none"]))
