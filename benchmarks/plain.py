"""The plain way, as most code of this field has it: ImageFolder, PIL, transforms one image at a time, a bare loop."""

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, RandomSampler
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from agegender.models.network import Network
from agegender.training.module import loss_of
from agegender.training.optimization import build_optimizer, build_schedule


def standardise(image: Tensor) -> Tensor:
    """Give one image mean 0 and deviation 1 over all its pixels (TensorFlow's `per_image_standardization`)."""
    return (image - image.mean()) / image.std(correction=0).clamp(min=image.numel() ** -0.5)


def brightness_and_contrast(image: Tensor, contrast: Sequence[float]) -> Tensor:
    """Shift one image (3, H, W) in 0..1 by up to 63 of 255, scale each channel about its own mean (LMT `data.py`).

    v2.ColorJitter is another augmentation: it scales all channels about one mean, which standardising
    cancels, and clips.
    """
    image = image + (torch.rand(()) * 2 - 1) * 63 / 255
    mean = image.mean((1, 2), keepdim=True)
    return (image - mean) * torch.empty(()).uniform_(*contrast) + mean


def transforms(contrast: Sequence[float], size: int = 227, stored: int = 256) -> v2.Compose:
    """LMT `data.py`'s augmentation, with torchvision: crop, flip, brightness, contrast, standardised per image."""
    return v2.Compose(
        [
            v2.Resize((stored, stored)),
            v2.RandomCrop(size),
            v2.RandomHorizontalFlip(),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Lambda(partial(brightness_and_contrast, contrast=contrast)),
            v2.Lambda(standardise),
        ]
    )


def plain_loader(
    folder: Path, batch_size: int, workers: int, contrast: Sequence[float], draws: int | None = None
) -> DataLoader[Any]:
    """Return a DataLoader over class folders (`faces.class_folders`), shuffled anew in each epoch.

    `draws` makes an epoch of so many faces, drawn with replacement: workers wait for each other where one ends.
    """
    faces = ImageFolder(str(folder), transforms(contrast))
    return DataLoader(
        faces,
        batch_size,
        sampler=RandomSampler(faces, replacement=draws is not None, num_samples=draws),
        num_workers=workers,
        drop_last=True,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def endless(loader: DataLoader[Any]) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from loader


def labels_of(classes: Sequence[str], index: Tensor) -> dict[str, Tensor]:
    """Return both tasks' labels: the folders are named `age_gender`."""
    pairs = torch.tensor([[int(part) for part in name.split("_")] for name in classes])[index]
    return {"age": pairs[:, 0], "gender": pairs[:, 1]}


def images_per_second(batches: Iterator[Any], batch_size: int, count: int, skip: int = 2) -> float:
    """Return the speed of batches after the first ones, which workers made while they all started."""
    for _ in range(skip):
        next(batches)
    started = time.perf_counter()
    for _ in range(count):
        next(batches)
    return count * batch_size / (time.perf_counter() - started)


def train_plainly(
    network: Network, loader: DataLoader[Any], recipe: Mapping[str, Any], steps: int, *, skip: int = 0
) -> float:
    """Train in float32 with torch's default layout and optimiser; return the seconds of a step after `skip` of them."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network.train().to(device)
    classes = loader.dataset.classes  # type: ignore[attr-defined]
    optimizer = build_optimizer(network, recipe)
    for group in optimizer.param_groups:
        group["fused"] = None  # torch's own choice
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, build_schedule(recipe))
    started = time.perf_counter()
    for step, (images, index) in zip(range(steps), endless(loader), strict=False):
        if step == skip:
            started = now()
        labels = {task: values.to(device) for task, values in labels_of(classes, index).items()}
        loss, _ = loss_of(network, images.to(device), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), recipe["clip_norm"])
        optimizer.step()
        schedule.step()
    return (now() - started) / (steps - skip)


def now() -> float:
    """Return the time when the device has done what it was told."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
