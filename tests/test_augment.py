"""What the networks see: each operation against the literal one it stands for."""

import numpy as np
import torch
from torch import Tensor

from agegender.data.transforms.augmentations import cut, cut_by_pixels, random_contrast, random_windows, resize


def faces(count: int = 4, size: int = 24) -> Tensor:
    return torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_crops_are_windows_of_the_face_or_their_mirror_image() -> None:
    images = faces(64, 20)
    windows = random_windows(64, 20 - 16, torch.Generator().manual_seed(1))
    crops = cut(images, windows, 16).permute(0, 2, 3, 1)
    for i, crop in enumerate(crops):
        y, x = int(windows.top[i]), int(windows.left[i])
        window = images[i, y : y + 16, x : x + 16]
        assert torch.equal(crop, window.flip(1) if windows.flip[i] else window)
    assert set(windows.flip.tolist()) == {False, True}
    assert set(windows.top.tolist()) == set(range(5)) == set(windows.left.tolist())


def test_a_gpu_cuts_the_same_windows() -> None:
    images, windows = faces(32, 20), random_windows(32, 20 - 16, torch.Generator().manual_seed(2))
    assert torch.equal(cut_by_pixels(images, windows, 16), cut(images, windows, 16))


def test_random_contrast_spans_its_bounds() -> None:
    factors = random_contrast(10_000, (0.2, 1.8), torch.Generator().manual_seed(0))
    assert 0.2 <= factors.min() < 0.21 and 1.79 < factors.max() < 1.8
    assert abs(float(factors.mean()) - 1.0) < 0.02


def test_resize_follows_tensorflow_1() -> None:
    """One row of TensorFlow 1's legacy bilinear resize, from its definition: value at i * in / out, no half pixels."""
    images = faces(1, 8)
    ours = resize(images, 5)[0].permute(1, 2, 0).numpy()
    face = images[0].numpy().astype(np.float64)
    for i in range(5):
        for j in range(5):
            y, x = i * 8 / 5, j * 8 / 5
            y0, x0 = int(y), int(x)
            y1, x1, dy, dx = min(y0 + 1, 7), min(x0 + 1, 7), y - y0, x - x0
            top = face[y0, x0] * (1 - dx) + face[y0, x1] * dx
            bottom = face[y1, x0] * (1 - dx) + face[y1, x1] * dx
            np.testing.assert_allclose(ours[i, j], top * (1 - dy) + bottom * dy, atol=1e-3)


def test_resize_to_the_same_size_changes_nothing() -> None:
    torch.testing.assert_close(resize(faces(2, 12), 12), faces(2, 12).permute(0, 3, 1, 2).float())
