"""Weights from elsewhere: what is loaded and what is refused, what each policy trains, and who has seen which face."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from agegender import create_model
from agegender.errors import UserError
from agegender.spec import Transfer
from agegender.training.transfer.policy import blocks_of, freeze, rates_of
from agegender.training.transfer.weights import load_into, read_weights, renamed

BACKBONES = {
    "lmtcnn_1_1": 4,
    "mobilenet_v1": 14,
    "levi_hassner_bn": 4,
    "resnet18": 5,
    "mobilenet_v3_small": 13,
    "tiny_age": 13,
    "vgg_face": 2,
}


class Code:
    """A pickle that leaves a file behind when it is loaded."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (str(self.file),)


@pytest.fixture(scope="module")
def trained() -> dict[str, Tensor]:
    torch.manual_seed(7)
    return create_model("lmtcnn_1_1").state_dict()


def test_weights_are_read_from_both_formats(trained: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(trained, tmp_path / "a.safetensors")
    torch.save({"epoch": 3, "state_dict": trained}, tmp_path / "b.pth")
    for name in ("a.safetensors", "b.pth"):
        found = read_weights(tmp_path / name)
        assert found.keys() == trained.keys()
        assert all(torch.equal(found[key], trained[key]) for key in trained)


def test_a_pickle_that_runs_code_is_not_loaded(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(1), "more": Code(tmp_path / "ran")}, tmp_path / "new.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Code(tmp_path / "ran")))
    for name in ("new.pt", "plain.pt"):
        with pytest.raises(UserError, match=f"{name} holds more than tensors"):
            read_weights(tmp_path / name)
    assert not (tmp_path / "ran").exists()
    torch.load(tmp_path / "new.pt", weights_only=False)
    assert (tmp_path / "ran").exists(), "it would have run"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.caffemodel", b"", "neither .safetensors nor a state dict"),
        ("a.safetensors", b"12345678nonsense", "cannot be read"),
        ("a.pth", b"", "cannot be read"),
    ],
)
def test_other_files_are_refused(name: str, content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=words):
        read_weights(tmp_path / name)


def test_what_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    torch.save([torch.zeros(2)], tmp_path / "list.pt")
    with pytest.raises(UserError, match="is not a state dict"):
        read_weights(tmp_path / "list.pt")


def test_backbone_and_heads_of_the_same_task_are_loaded(trained: dict[str, Tensor]) -> None:
    network = create_model("lmtcnn_1_1", ("age", "age_decades"))
    before = network.heads["age_decades"].weight.clone()
    loaded = load_into(network, trained, "w")
    after = network.state_dict()
    assert all(torch.equal(after[name], trained[name]) for name in loaded.loaded)
    assert {"backbone.stem.0.weight", "heads.age.weight", "heads.age.bias"} <= set(loaded.loaded)
    assert loaded.fresh == ("heads.age_decades.weight", "heads.age_decades.bias")
    assert loaded.left_over == ("heads.gender.weight", "heads.gender.bias")
    assert torch.equal(network.heads["age_decades"].weight, before)


def test_a_head_of_another_shape_stays_fresh(trained: dict[str, Tensor]) -> None:
    other = trained | {"heads.age.weight": torch.zeros(101, 512), "heads.age.bias": torch.zeros(101)}
    loaded = load_into(create_model("lmtcnn_1_1", ("age",)), other, "w")
    assert loaded.fresh == ("heads.age.weight", "heads.age.bias")
    assert "heads.age.weight" in loaded.left_over


def test_wrong_names_and_shapes_are_refused(trained: dict[str, Tensor]) -> None:
    with pytest.raises(UserError, match=r"w: backbone\.\S+ has the shape .* weights of another network"):
        load_into(create_model("lmtcnn_2_1"), trained, "w")
    with pytest.raises(UserError, match=r"none of its 1 names \(such as conv1_1.weight\)"):
        load_into(create_model("lmtcnn_1_1"), {"conv1_1.weight": torch.zeros(3)}, "w")


def test_names_of_other_formats_are_mapped_by_their_longest_prefix() -> None:
    given = {"conv1_1.weight": torch.zeros(1), "conv1.weight": torch.ones(1), "fc8.bias": torch.ones(2)}
    found = renamed(given, {"conv1_1.": "backbone.a.", "conv1.": "backbone.b.", "*": "other."})
    assert {name: len(tensor) for name, tensor in found.items()} == {
        "backbone.a.weight": 1, "backbone.b.weight": 1, "other.fc8.bias": 2,
    }  # fmt: skip
    assert renamed(given, {}) == given
    with pytest.raises(UserError, match=r"two tensors the name x.weight"):
        renamed(given, {"conv1_1.": "x.", "conv1.": "x."})


@pytest.mark.parametrize(("name", "count"), BACKBONES.items())
def test_blocks_of_several_networks(name: str, count: int) -> None:
    with torch.device("meta"):
        backbone = create_model(name).backbone
    blocks = blocks_of(backbone)
    assert len(blocks) == count
    splits = [id(p) for block in blocks for module in block for p in module.parameters()]
    assert splits == [id(p) for p in backbone.parameters()], "every parameter is in one block, in order"


def stepped(policy: dict[str, object], trained: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the tensors of a network before and after one real training step under a policy."""
    from agegender.training.module import FaceModule

    recipe = {
        "optimizer": "sgd", "learning_rate": 0.01, "momentum": 0.0, "weight_decay": 0.0, "steps": 1,
        "schedule": {"name": "staircase", "factor": 1.0, "every": 1},
    }  # fmt: skip
    torch.manual_seed(0)
    network = create_model("lmtcnn_1_1", ("gender",), dropout=0.5)
    loaded = load_into(network, trained, "w").loaded
    transfer = Transfer.read(policy)
    freeze(network, transfer, loaded)
    module = FaceModule(network, recipe, 0, rates=rates_of(transfer, loaded))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    optimizer = module.configure_optimizers()["optimizer"]
    faces = torch.randn(4, 3, 227, 227, generator=torch.Generator().manual_seed(1))
    loss, _ = module.training_loss(network, faces, {"gender": torch.tensor([0.0, 1.0, 1.0, 0.0])})
    loss.backward()
    optimizer.step()
    return before, network.state_dict()


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    """Name the blocks whose tensors a step has changed."""
    return {".".join(name.split(".")[:2]) for name in before if not torch.equal(before[name], after[name])}


def test_each_policy_trains_what_it_says(trained: dict[str, Tensor]) -> None:
    fresh_head = {name: value for name, value in trained.items() if not name.startswith("heads.")}
    assert moved(*stepped({"name": "frozen"}, fresh_head)) == {"heads.gender"}, "not even batch norm's statistics"
    assert moved(*stepped({"name": "last_blocks", "blocks": 2}, fresh_head)) == {
        "backbone.block2", "backbone.classifier", "heads.gender",
    }  # fmt: skip
    assert len(moved(*stepped({"name": "whole", "old_rate": 0.1}, fresh_head))) == 5


def test_old_layers_move_by_the_smaller_rate(trained: dict[str, Tensor]) -> None:
    fresh_head = {name: value for name, value in trained.items() if not name.startswith("heads.")}
    full, slow = (stepped({"name": "whole", "old_rate": rate}, fresh_head) for rate in (1.0, 0.25))
    for name, share in (("backbone.classifier.4.weight", 0.25), ("heads.gender.weight", 1.0)):
        whole_step, slow_step = (after[name] - before[name] for before, after in (full, slow))
        assert whole_step.abs().max() > 0
        torch.testing.assert_close(slow_step, share * whole_step, rtol=1e-2, atol=1e-7)


def test_fresh_layers_are_not_frozen_and_there_are_only_so_many_blocks(trained: dict[str, Tensor]) -> None:
    network = create_model("lmtcnn_1_1")
    with pytest.raises(UserError, match=r"would freeze .* such as backbone.block1"):
        freeze(network, Transfer(name="frozen"), [name for name in trained if "stem" in name])
    with pytest.raises(UserError, match="has 4 blocks, choose 1 to 4"):
        freeze(network, Transfer(name="last_blocks", blocks=5), trained)
    freeze(
        network,
        Transfer(name="last_blocks", blocks=2),
        [name for name in trained if "stem" in name or "block1" in name],
    )
