import os
import pickle
import stat
import struct
import sys
import tracemalloc
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from agegender.datasets import source
from agegender.datasets.source import open_source
from agegender.errors import UserError

FACES = {f"part1/{i}_0_0_2017.jpg": f"face {i}".encode() for i in range(4)}
LITTER = [
    "__MACOSX/part1/._1_0_0_2017.jpg",
    "._x.jpg",
    ".DS_Store",
    "part1/Thumbs.db",
    "part1/desktop.ini",
    ".git/x.jpg",
]

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="macOS allows neither such paths nor such names")

# By `zip -0 -X -P secret`: an entry 1_0_0_2017.jpg of five bytes.
ENCRYPTED = bytes.fromhex(
    "504b03040a00090000007c92765d13e604e111000000050000000e000000315f305f305f323031372e6a706755df91566d442c3954f88a7bd5"
    "cf591f32504b070813e604e11100000005000000504b01021e030a00090000007c92765d13e604e111000000050000000e0000000000000000"
    "000000a48100000000315f305f305f323031372e6a7067504b050600000000010001003c0000004d0000000000"
)


def folder(path: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def pack(path: Path, files: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def declare(path: Path, **fields: int) -> Path:
    """Overwrite, in the directory of an archive, what is said of its first entry."""
    places = {"method": (10, "<H"), "size": (24, "<I")}  # of the central file header, APPNOTE.TXT 4.3.12
    data = bytearray(path.read_bytes())
    for field, value in fields.items():
        offset, form = places[field]
        struct.pack_into(form, data, data.index(b"PK\x01\x02") + offset, value)
    path.write_bytes(data)
    return path


def refusal(path: Path) -> str:
    """The sentence with which opening and listing a source is refused, less where it is."""
    with pytest.raises(UserError) as caught, open_source(path) as opened:
        opened.names()
    return str(caught.value).replace(str(path), "it")


def test_folder_and_archive_hold_the_same_and_not_what_desktops_leave_behind(tmp_path: Path) -> None:
    files = {**FACES, **dict.fromkeys(LITTER, b"x")}
    (tmp_path / "folder" / "empty").mkdir(parents=True)
    for path in (folder(tmp_path / "folder", files), pack(tmp_path / "faces.zip", {**files, "empty/": b""})):
        with open_source(path) as opened:
            assert opened.names() == list(FACES)
            assert [opened.read(name) for name in FACES] == list(FACES.values())
            with pytest.raises(UserError, match=r"nothing\.jpg"):
                opened.read("nothing.jpg")


def test_a_source_survives_pickling_and_shows_changes_in_its_fingerprint(tmp_path: Path) -> None:
    for path in (pack(tmp_path / "faces.zip", FACES), folder(tmp_path / "folder", FACES)):
        with open_source(path) as opened:
            copy = pickle.loads(pickle.dumps(opened))
            with copy:
                assert copy.read(opened.names()[2]) == b"face 2"
                assert copy.fingerprint() == opened.fingerprint()
    before = open_source(tmp_path / "folder").fingerprint()
    folder(tmp_path / "folder", {"part1/0_0_0_2017.jpg": b"another face"})
    assert open_source(tmp_path / "folder").fingerprint() != before


@pytest.mark.parametrize("name", ["part1\\1_0_0_2017.jpg", "./part1/1_0_0_2017.jpg"])
def test_names_of_other_packers_are_read_as_meant(tmp_path: Path, name: str) -> None:
    with open_source(pack(tmp_path / "faces.zip", {name.replace("1_0_0_2017.jpg", ""): b"", name: b"face"})) as opened:
        assert opened.names() == ["part1/1_0_0_2017.jpg"]
        assert opened.read("part1/1_0_0_2017.jpg") == b"face"


@pytest.mark.parametrize(
    "name",
    ["/etc/1.jpg", "../1.jpg", "a/../../1.jpg", "..\\1.jpg", "C:\\faces\\1.jpg", "\\\\host\\1.jpg", "./../1.jpg"],
)
def test_archive_that_points_outside_is_refused(tmp_path: Path, name: str) -> None:
    shown = name.replace("\\", "/").removeprefix("./")
    sentence = f"it has an entry {shown!r} that points outside the archive: refused, pack it anew"
    assert refusal(pack(tmp_path / "evil.zip", {**FACES, name: b"x"})) == sentence


def test_archive_with_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("part1/9_0_0_2017.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "links.zip", "w") as archive:
        archive.writestr("part1/1_0_0_2017.jpg", b"face")
        archive.writestr(link, b"/etc/passwd")
    assert refusal(tmp_path / "links.zip") == (
        "it has an entry 'part1/9_0_0_2017.jpg' that is a symbolic link: pack it anew with the files themselves"
    )


def test_encrypted_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.zip").write_bytes(ENCRYPTED)
    assert refusal(tmp_path / "secret.zip") == (
        "it has an entry '1_0_0_2017.jpg' that is encrypted: unpack it with its password and give the folder"
    )


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("second", ["a/1.jpg", "a\\1.jpg"])
def test_duplicate_entry_is_refused(tmp_path: Path, second: str) -> None:
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive:
        archive.writestr("a/1.jpg", b"one")
        archive.writestr(second, b"another")
    assert refusal(tmp_path / "twice.zip") == "it has an entry 'a/1.jpg' that stands there twice: pack it anew"


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, 9])  # 9: Deflate64
def test_compression_that_cannot_be_read_or_bounded_is_refused(tmp_path: Path, method: int) -> None:
    path = pack(tmp_path / "faces.zip", FACES, method if method != 9 else zipfile.ZIP_DEFLATED)
    sentence = (
        f"it has an entry 'part1/0_0_0_2017.jpg' that is compressed by method {method}, not stored or deflated: "
        "unpack it and give the folder"
    )
    assert refusal(declare(path, method=method)) == sentence


def test_archive_out_of_all_proportion_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blank = pack(tmp_path / "blank.zip", {"blank.bmp": bytes(2_000_000)}, zipfile.ZIP_DEFLATED)
    with open_source(blank) as opened:  # a blank picture is no bomb
        assert len(opened.read("blank.bmp")) == 2_000_000
    with monkeypatch.context() as patch:
        patch.setattr(source, "MAX_BYTES", 1_000_000)
        assert "more than 100 times its size" in refusal(blank)
    assert refusal(declare(blank, size=2**32 - 2)) == (
        "it would unpack to 4.3 GB, more than 100 times its size, as a zip bomb: refused; if you trust it, unpack it "
        "and give the folder"
    )


def test_overlapping_entries_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "overlap.zip", "w") as archive:
        archive.writestr("1.jpg", bytes(1000))
        for name in ("2.jpg", "3.jpg"):  # in the directory only
            again = zipfile.ZipInfo(name)
            again.CRC, again.compress_size, again.file_size = zlib.crc32(bytes(1000)), 1000, 1000
            again.header_offset, again.external_attr = 0, 0
            archive.filelist.append(again)
    assert refusal(tmp_path / "overlap.zip") == (
        "it is smaller than its entries, which overlap as in a zip bomb: refused, pack it anew"
    )


def test_entry_that_unpacks_to_more_than_it_declares_takes_no_memory(tmp_path: Path) -> None:
    path = pack(tmp_path / "liar.zip", {"1.jpg": bytes(50_000_000), "2.jpg": b"face"}, zipfile.ZIP_DEFLATED)
    with open_source(declare(path, size=1000)) as opened:
        tracemalloc.start()
        try:
            with pytest.raises(UserError, match=r"^cannot read 1.jpg in .*liar.zip: Bad CRC-32 for file '1.jpg'$"):
                opened.read("1.jpg")
            assert tracemalloc.get_traced_memory()[1] < 1_000_000
        finally:
            tracemalloc.stop()
        assert opened.read("2.jpg") == b"face"


def test_one_huge_file_among_faces_is_told_when_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder(tmp_path / "folder", FACES)
    with (root / "huge.jpg").open("wb") as file:
        file.truncate(source.MAX_BYTES + 1)  # takes no room on the disk
    with (
        open_source(root) as opened,
        pytest.raises(UserError, match=r"huge.jpg has 400,000,001 bytes, above the limit"),
    ):
        opened.read(opened.names()[0])
    path = pack(tmp_path / "faces.zip", {**FACES, "huge.jpg": bytes(2001)})
    monkeypatch.setattr(source, "MAX_BYTES", 2000)
    with open_source(path) as opened:
        with pytest.raises(UserError, match=r"huge.jpg in .*faces.zip has 2,001 bytes, above the limit of 2,000"):
            opened.read("huge.jpg")
        assert opened.read("part1/3_0_0_2017.jpg") == b"face 3"


def test_no_damaged_byte_of_an_archive_ends_in_a_traceback(tmp_path: Path) -> None:
    """What is read is read right, or a sentence says why not."""
    files = {"a/1.jpg": b"face " * 9, "b/ü.jpg": b"x"}
    whole = pack(tmp_path / "whole.zip", files, zipfile.ZIP_DEFLATED).read_bytes()
    path, refused = tmp_path / "damaged.zip", 0
    variants = [
        whole[:i] + bytes([byte]) + whole[i + 1 :] for i in range(len(whole)) for byte in (0, 255, whole[i] ^ 1)
    ]
    for data in [*variants, *(whole[:i] for i in range(0, len(whole), 5))]:
        path.write_bytes(data)
        try:
            with open_source(path) as opened:
                assert {opened.read(name) for name in opened.names()} <= {*files.values(), b""}
        except UserError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > len(whole)


def test_deep_archive_is_read(tmp_path: Path) -> None:
    with open_source(pack(tmp_path / "deep.zip", {"a/" * 5000 + "1.jpg": b"face"})) as opened:
        assert opened.read(*opened.names()) == b"face"


@on_linux
def test_folders_deeper_than_python_recurses_are_read(tmp_path: Path) -> None:
    folders = [f"{tmp_path}{'/a' * depth}" for depth in range(1, 1101)]
    try:
        for path in folders:
            os.mkdir(path)  # noqa: PTH102 - a Path of so many splits is slow
        Path(folders[-1], "1.jpg").write_bytes(b"face")
        with open_source(tmp_path) as opened:
            assert opened.read(*opened.names()) == b"face"
    finally:  # what clears temporary folders recurses
        Path(folders[-1], "1.jpg").unlink(missing_ok=True)
        for path in reversed(folders):
            os.rmdir(path)  # noqa: PTH106


def test_links_of_a_folder_are_followed(tmp_path: Path) -> None:
    folder(tmp_path / "disk", FACES)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "UTKFace").symlink_to(tmp_path / "disk" / "part1", target_is_directory=True)
    (tmp_path / "root" / "9_0_0_2017.jpg").symlink_to(tmp_path / "disk" / "part1" / "1_0_0_2017.jpg")
    with open_source(tmp_path / "root") as opened:
        assert len(opened.names()) == 5
        assert opened.read("9_0_0_2017.jpg") == opened.read("UTKFace/1_0_0_2017.jpg") == b"face 1"


@pytest.mark.parametrize("target", [".", "part1", "itself", "nothing", "pipe"])
def test_links_and_files_that_lead_nowhere_are_named(tmp_path: Path, target: str) -> None:
    root = folder(tmp_path / "root", FACES)
    link = root / "itself"
    if target == "pipe":
        os.mkfifo(link)
    else:
        link.symlink_to(target)
    assert (
        refusal(root)
        in {
            ".": ["it and it/itself are one folder, by a link: remove the link"],
            "part1": [
                "it/itself and it/part1 are one folder, by a link: remove the link",
                "it/part1 and it/itself are one folder, by a link: remove the link",
            ],
            "itself": ["cannot read it/itself: Too many levels of symbolic links"],
            "nothing": ["it/itself is a link to nothing or no regular file: mend or remove it"],
            "pipe": ["it/itself is a link to nothing or no regular file: mend or remove it"],
        }[target]
    )


@on_linux
def test_a_name_in_another_encoding_is_kept_apart_and_seen_when_it_changes(tmp_path: Path) -> None:
    folder(tmp_path, FACES)
    (tmp_path / os.fsdecode(b"part1/B\xfccher.jpg")).write_bytes(b"x")
    with open_source(tmp_path) as opened:
        assert opened.names() == list(FACES)
        assert opened.undecoded() == ["'part1/B\\udcfccher.jpg'"]
        before = opened.fingerprint()
        (tmp_path / os.fsdecode(b"part1/B\xfccher.jpg")).write_bytes(b"xx")
        assert opened.fingerprint() != before
    with open_source(pack(tmp_path / "faces.zip", FACES)) as opened:
        assert opened.undecoded() == []
