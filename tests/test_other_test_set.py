"""Training on one data set and testing on another: data.test=..."""

import logging
from pathlib import Path

import pytest
from hydra import compose

from agegender.config.jobs import list_jobs
from agegender.config.resolve import resolve_run
from agegender.data.build import build_pack
from agegender.data.manifest import read_rows
from agegender.errors import UserError
from agegender.report.caption import caption
from agegender.runs.predictions import read_predictions
from agegender.training.run_data import faces_of, pack_of
from packed_faces import picture
from short_runs import SHORT, Overrides, faces_in, run

pytestmark = pytest.mark.usefixtures("hydra")


@pytest.fixture
def elsewhere(tmp_path: Path, drawn: Path) -> Path:
    """A folder of data with a pack of twenty faces named as UTKFace's, and ten copies of drawn ones."""
    source = tmp_path / "utk"
    source.mkdir()
    for number in range(20):
        (source / f"{20 + number}_{number % 2}_0_{number}.png").write_bytes(picture(number))
    for number, face in enumerate(sorted((drawn / "aligned").rglob("*.jpg"))[::8]):
        (source / f"{30 + number}_1_0_{90 + number}.jpg").write_bytes(face.read_bytes())
    rows, _ = read_rows("utkface", source)
    build_pack(
        tmp_path / "data/packs/utkface-256",
        source,
        rows,
        dataset="utkface",
        size=256,
        settings={},
        allow_missing=False,
        workers=1,
        progress=False,
    )
    return tmp_path / "data"


def words(elsewhere: Path, overrides: Overrides, *more: str) -> list[str]:
    return overrides(*SHORT, f"paths.data={elsewhere}", "data.test=utkface", *more)


def test_the_faces_of_the_other_set_are_tested_and_known(elsewhere: Path, overrides: Overrides) -> None:
    _, folder = run(words(elsewhere, overrides, "fold=1"))
    tested = read_predictions(folder.predictions)
    assert len(tested) >= 3 and set(tested["fold"]) == {1}
    assert tested["image"].str.fullmatch(r"\d+_[01]_0_\d+\.(png|jpg)").all()
    assert tested["age_true"].notna().all(), "by the groups of its own default protocol"
    plain = list_jobs(overrides(*SHORT, "fold=1"), None)[0]
    other = list_jobs(words(elsewhere, overrides, "fold=1"), None)[0]
    assert other.identity == folder.identity != plain.identity
    assert other.dataset == "generated tested on utkface" and plain.dataset == "generated"
    assert other.keys["test"]["protocol"]["name"] == "utkface_partition" and "test" not in plain.keys


def test_copies_of_training_faces_are_left_out(
    elsewhere: Path, overrides: Overrides, caplog: pytest.LogCaptureFixture
) -> None:
    counts = []
    for fold in range(5):
        config = compose("train", overrides=words(elsewhere, overrides, f"fold={fold}"))
        with caplog.at_level(logging.WARNING):
            splits = faces_in(config)
        counts.append(len(splits["test"].table))
        seen = {name for part in ("train", "validation") for name in splits[part].table["sha256"]}
        assert not seen & set(splits["test"].table["sha256"])
    assert 20 <= sum(counts) < 30 and "of the tested faces are byte-identical" in caplog.text


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["data.test=lfw"], r"data.test=lfw: choose another data set than generated, from .*utkface"),
        (["data.test=generated"], "data.test=generated: choose another data set than generated"),
        (["data.test=chalearn15", "fold=1"], "fold=1: data.test=chalearn15 has one fold, choose fold=0"),
    ],
)
def test_sets_that_cannot_be_tested_are_refused(
    more: list[str], sentence: str, elsewhere: Path, overrides: Overrides
) -> None:
    with pytest.raises(UserError, match=sentence):
        resolve_run(compose("train", overrides=words(elsewhere, overrides, *more)))


def test_a_set_without_the_labels_is_refused(elsewhere: Path, overrides: Overrides) -> None:
    config = compose("train", overrides=words(elsewhere, overrides))
    pack = pack_of(resolve_run(config).data)
    pack.manifest["attractiveness"] = 3.0  # labels that the drawn faces then have, and the others have not
    run = resolve_run(config)
    system = run.system.model_copy(update={"heads": {"attractiveness": run.system.heads["age"]}})
    with pytest.raises(UserError, match=r"data=utkface .* has no annotated attractiveness in its column"):
        faces_of(run.model_copy(update={"system": system}), pack)


def test_the_other_set_is_read_by_the_protocol_that_is_chosen(elsewhere: Path, overrides: Overrides) -> None:
    chosen = words(elsewhere, overrides, "data.test_protocol=utkface_years", "system=tiny_age_dex")
    config = compose("train", overrides=chosen)
    other = resolve_run(config).test
    assert other is not None and other.protocol.name == "utkface_years"
    assert set(faces_in(config)["test"].table["fold"]) == {0}
    with pytest.raises(UserError, match="nothing_such"):
        resolve_run(compose("train", overrides=words(elsewhere, overrides, "data.test_protocol=nothing_such")))


def test_the_caption_says_what_is_tested(elsewhere: Path, overrides: Overrides) -> None:
    config = compose("train", overrides=words(elsewhere, overrides))
    run = resolve_run(config)
    assert run.test is not None
    facts = caption(run, pack_of(run.data), "title")
    assert facts["tested on"].startswith(f"UTKFace, digest {pack_of(run.test.data).digest[:16]}, utkface_partition")
    alone = resolve_run(compose("train", overrides=overrides(*SHORT)))
    assert caption(alone, pack_of(run.data), "title")["tested on"] == ""


def test_weights_that_have_seen_the_other_sets_faces_are_refused(elsewhere: Path, overrides: Overrides) -> None:
    _, seen = run(
        overrides(*SHORT, f"paths.data={elsewhere}", "data=utkface", f"data.pack={elsewhere}/packs/utkface-256")
    )
    start = ["transfer=whole", f"transfer.weights='{seen.path}'"]
    with pytest.raises(UserError, match="of this run's test faces was among the training or validation faces"):
        run(words(elsewhere, overrides, "fold=1", *start))
