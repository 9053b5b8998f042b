"""Preprocessing against the literal arithmetic it stands for, and on every way of a face into a network."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose
from omegaconf import DictConfig
from safetensors.torch import load_file
from torch import Tensor

from agegender.commands.cost import bench_of, subjects_of
from agegender.commands.train import train
from agegender.config.resolve import resolve_run
from agegender.data.transforms.augmentations import resize
from agegender.data.transforms.preprocessing import AT_ONCE, STANDARDIZE, Preprocessing, get_preprocessing
from agegender.errors import UserError
from agegender.export.metadata import describe
from agegender.export.write import _seen
from agegender.models.network import Network
from agegender.prediction.answers import answer
from agegender.prediction.pictures import Face
from agegender.prediction.trained import load
from agegender.runs.predictions import read_predictions
from agegender.spec import Run
from agegender.training.fit import build_network
from short_runs import faces_in, folder_of

CAFFE = Preprocessing(name="caffe", channels="BGR", divisor=1.0, mean=(104.0, 117.0, 123.0))
DLDL = Preprocessing(name="dldl_v2", divisor=255.0, mean=(0.5958, 0.4637, 0.4065), deviation=(0.2693, 0.2409, 0.2352))


def faces(count: int) -> Tensor:
    """RGB in 0..255: uint8 (N, 3, 24, 24)."""
    made = torch.randint(0, 256, (count, 24, 24, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return made.permute(0, 3, 1, 2)


def _preprocessing(config: DictConfig) -> Preprocessing:
    return get_preprocessing(resolve_run(config).system.preprocessing.model_dump())


def test_standardize_equals_brightness_contrast_and_standardisation_in_the_authors_order() -> None:
    images = faces(AT_ONCE + 4)
    contrast = torch.tensor([0.2, 0.9, 1.0, 1.8], dtype=torch.float64).repeat(3)
    brightness = torch.tensor([-63.0, -0.1, 0.0, 63.0], dtype=torch.float64).repeat(3)
    x = images.double() / 255
    x = x + brightness[:, None, None, None]
    channel = x.mean((2, 3), keepdim=True)
    x = (x - channel) * contrast[:, None, None, None] + channel
    flat = x.flatten(1)
    deviation = flat.std(1, correction=0).clamp(min=1 / flat.shape[1] ** 0.5)
    expected = (flat - flat.mean(1, keepdim=True)) / deviation[:, None]
    ours = STANDARDIZE(images, contrast.float())
    torch.testing.assert_close(ours.flatten(1).double(), expected, rtol=1e-5, atol=1e-5)


def test_standardize_keeps_a_flat_image_finite() -> None:
    flat = torch.full((1, 3, 8, 8), 7, dtype=torch.uint8)
    assert STANDARDIZE(flat).abs().max() < 1e-5


@pytest.mark.parametrize("with_contrast", [False, True])
def test_given_numbers_are_applied_to_each_channel_after_the_contrast(with_contrast: bool) -> None:
    x = images = faces(AT_ONCE + 4)
    contrast = torch.linspace(0.2, 1.8, len(images)) if with_contrast else None
    x = x.double()
    if contrast is not None:
        mean = x.mean((2, 3), keepdim=True)
        x = (x - mean) * contrast[:, None, None, None] + mean
    red, green, blue = x.unbind(1)
    caffe = torch.stack([blue - 104, green - 117, red - 123], 1)
    torch.testing.assert_close(CAFFE(images, contrast).double(), caffe, rtol=1e-5, atol=1e-4)
    dldl = [(red / 255 - 0.5958) / 0.2693, (green / 255 - 0.4637) / 0.2409, (blue / 255 - 0.4065) / 0.2352]
    torch.testing.assert_close(DLDL(images, contrast).double(), torch.stack(dldl, 1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("preprocessing", [STANDARDIZE, CAFFE, DLDL], ids=lambda p: p.name)
def test_images_come_out_as_convolutions_like_them_whatever_stands_beside_them(preprocessing: Preprocessing) -> None:
    images = faces(AT_ONCE + 4)
    prepared = preprocessing(images)
    assert prepared.dtype == torch.float32 and prepared.shape == images.shape
    assert prepared.is_contiguous(memory_format=torch.channels_last)
    for number in (0, AT_ONCE, AT_ONCE + 3):
        torch.testing.assert_close(preprocessing(images[number : number + 1].float()), prepared[number : number + 1])


@pytest.mark.usefixtures("hydra")
def test_the_configuration_holds_the_published_numbers() -> None:
    found = {}
    for name in ("standardize", "caffe", "dldl_v2"):
        words = ["system=gilnet", f"preprocessing@system.preprocessing={name}"]
        found[name] = _preprocessing(compose("train", overrides=words))
    assert found["caffe"] == CAFFE and found["dldl_v2"] == DLDL
    assert _preprocessing(compose("train", overrides=["system=lmtcnn_2_1"])) == STANDARDIZE
    for system, first in (("gilnet", 78.4263377603), ("caffenet_age", 104), ("vgg_face_gender", 93.594)):
        mine = _preprocessing(compose("train", overrides=[f"system={system}"]))
        assert (mine.channels, mine.divisor, mine.deviation) == ("BGR", 1.0, (1.0, 1.0, 1.0))
        assert mine.mean is not None and mine.mean[0] == first < mine.mean[1] < mine.mean[2], "blue is least in a face"


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("channels=RGBA", "channels=RGBA must be 'RGB' or 'BGR'"),
        ("mean=[104,117]", r"preprocessing.mean=\[104, 117\] must have at least 3 items"),
        ("mean=104", "preprocessing.mean=104 must be a valid tuple"),
        ("deviation=[1,0,1]", "preprocessing.deviation.1=0 must be greater than 0"),
        ("divisor=0", "divisor=0 must be greater than 0"),
        ("divisor=all", "divisor=all must be a valid number"),
    ],
)
def test_values_no_preprocessing_can_have_are_refused_before_training(word: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve_run(compose("train", overrides=["system=gilnet", f"system.preprocessing.{word}"]))
    with pytest.raises(UserError, match=r"no setting 'system.preprocessing.scale'"):
        get_preprocessing({"name": "caffe", "scale": 2})


def test_a_preprocessing_of_ones_own_is_named_by_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "grounds.py").write_text(
        "from agegender.data.transforms.preprocessing import Preprocessing\n"
        "HALVES = Preprocessing(name='halves', mean=(0.5, 0.5, 0.5), deviation=(0.5, 0.5, 0.5))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    mine = get_preprocessing({"name": "grounds:HALVES", "channels": "BGR"})
    assert (mine.name, mine.channels, mine.mean) == ("halves", "BGR", (0.5, 0.5, 0.5))


def literal(stored: Tensor) -> Tensor:
    """What `caffe` makes of whole faces uint8 (N, S, S, 3), written out: BGR less the mean, in torch's layout."""
    resized = resize(stored, 227)
    return torch.stack([resized[:, 2] - 104, resized[:, 1] - 117, resized[:, 0] - 123], 1)


@pytest.mark.usefixtures("hydra")
def test_training_evaluation_prediction_and_export_all_prepare_as_the_system_says(
    packs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [f"paths.runs='{tmp_path}'", f"data.pack='{packs}'", "trainer.progress=false", "trainer.threads=1"]
    words += ["trainer.accelerator=cpu", "tracking=none", "debug=one_step", "system=lmtcnn_1_1"]
    config = compose("train", overrides=[*words, "+preprocessing@system.preprocessing=caffe"])
    ranges: dict[bool, list[tuple[float, float]]] = {True: [], False: []}

    def watched(run: Run) -> Network:
        network = build_network(run)
        network.register_forward_pre_hook(
            lambda module, inputs: ranges[module.training].append((float(inputs[0].min()), float(inputs[0].max())))
        )
        return network

    monkeypatch.setattr("agegender.training.fit.build_network", watched)
    train(config)
    assert ranges[True] and len(ranges[False]) >= 2, "a training step, a validation and the test"
    assert all(-200 <= low < -20 and 20 < high <= 200 for low, high in (*ranges[True], *ranges[False])), "not a few"

    folder = folder_of(config)
    own, test = read_predictions(folder.predictions), faces_in(config)["test"]
    stored = test.stored(np.arange(len(test.table)))
    network = build_network(resolve_run(config))
    network.load_state_dict(load_file(folder.weights))
    with torch.inference_mode():
        expected = network.eval()(literal(stored))["age"].softmax(1).numpy()
    np.testing.assert_allclose(own[[f"age_p{k}" for k in range(8)]], expected, atol=1e-5)

    trained = load(folder)
    given = (Face(Path(f"{n}.png"), face.numpy()) for n, face in enumerate(stored))
    np.testing.assert_allclose([said.tasks["age"].posterior for said in answer(trained, given)], expected, atol=1e-5)
    torch.testing.assert_close(_seen(trained, stored[:3]), literal(stored[:3]), rtol=1e-5, atol=1e-3)
    said = json.loads(describe(trained, "running statistics", free_batch=True)["preprocessing"])
    assert said["layout"] == "float32 (N, 3, 227, 227), channels B, G, R" and "standardize" not in said
    assert said["normalize"] == (
        "each pixel: B: (x / 1 - 104.0) / 1.0; G: (x / 1 - 117.0) / 1.0; R: (x / 1 - 123.0) / 1.0"
    )


@pytest.mark.usefixtures("hydra")
def test_costs_are_measured_of_faces_prepared_for_each_network(packs: Path) -> None:
    words = [f"data.pack='{packs}'", "runtime=torch", "calibration_faces=2"]
    configs, subjects = subjects_of(words, {"system": "lmtcnn_1_1,gilnet_age,caffenet_age"})
    bench = bench_of(compose("cost", overrides=words), configs)
    names = {subject.network: bench.preprocessing(subject).name for subject in subjects}
    assert names == {
        "lmtcnn_1_1": "standardize",
        "gilnet": "caffe",
        "caffenet": "caffe",
        "preprocessing": "standardize",
        "preprocessing_caffe": "caffe",
    }
    (caffenet,) = (subject for subject in subjects if subject.network == "caffenet")
    seen = bench.faces(3, bench.preprocessing(caffenet))
    torch.testing.assert_close(seen, literal(bench.stored[[0, 1, 0]]), rtol=1e-5, atol=1e-3)
    assert seen.is_contiguous()
