"""Test-time views against torchvision's own crops, and against the positions of Caffe's oversampling."""

import json
from pathlib import Path

import pytest
import torch
from torchvision.transforms import functional

from agegender.data.transforms.augmentations import resize
from agegender.data.transforms.preprocessing import STANDARDIZE
from agegender.data.transforms.views import VIEWS, Views, get_views
from agegender.errors import UserError
from agegender.export.metadata import describe
from agegender.models.network import create_model
from agegender.modes import get_evaluation
from agegender.prediction.trained import Trained
from agegender.tasks import get_task


@pytest.fixture
def faces() -> torch.Tensor:
    return torch.randint(0, 256, (3, 30, 30, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_ten_crop_and_centre_crop_are_torchvisions(faces: torch.Tensor) -> None:
    images = faces.permute(0, 3, 1, 2)
    theirs = {tuple(crop.flatten().tolist()) for crop in functional.ten_crop(images, [20, 20])}
    ours = [view(faces, 20) for view in get_views("ten_crop")]
    assert len(ours) == len(theirs) == 10
    assert {tuple(crop.flatten().tolist()) for crop in ours} == theirs
    (centre,) = get_views("centre_crop")
    assert torch.equal(centre(faces, 20), functional.center_crop(images, [20, 20]))


def test_the_centre_of_256_begins_at_14_as_in_caffe() -> None:
    (centre,) = get_views("centre_crop")
    column = torch.arange(256, dtype=torch.uint8).expand(1, 256, 256)[..., None].expand(1, 256, 256, 3)
    assert centre(column, 227)[0, 0, 0, 0] == 14


def test_flip_is_the_whole_face_and_its_mirror_image(faces: torch.Tensor) -> None:
    plain, mirrored = get_views("flip")
    assert torch.equal(plain(faces, 20), resize(faces, 20))
    assert torch.equal(mirrored(faces, 20), resize(faces, 20).flip(-1))


def test_unknown_views_are_refused() -> None:
    with pytest.raises(UserError, match="views=squint: there is no such set of views, choose from resize, centre_crop"):
        get_views("squint")
    assert list(VIEWS) == ["resize", "centre_crop", "ten_crop", "flip"]


def test_views_of_ones_own_are_evaluated_and_described_in_exported_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "glances.py").write_text(
        "from agegender.data.transforms.views import VIEWS, Views\n"
        "TWICE = Views(VIEWS['resize'].each * 2, 'the whole face, twice')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert get_views("glances:TWICE") == get_views("resize") * 2
    monkeypatch.setitem(VIEWS, "centre_twice", Views(get_views("centre_crop") * 2, "the central square, twice"))
    network = create_model("tiny_age", ("age_years",), "sound")
    for views, said in (("glances:TWICE", "the whole face, twice"), ("centre_twice", "the central square, twice")):
        trained = Trained(
            identity="tiny",
            data="utkface",
            network=network,
            evaluation=get_evaluation("sound", {"views": views}),
            stored_size=256,
            input_size=224,
            preprocessing=STANDARDIZE,
            precision="32-true",
            seed=0,
            labels={"age_years": get_task("age_years").labels},
        )
        told = json.loads(describe(trained, "running statistics", free_batch=True)["preprocessing"])
        assert told["views"] == f"{views}: {said}"
