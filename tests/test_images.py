import io
import resource
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agegender.data.images import UnreadableImage, decode

RED, GREEN, BLUE, GREY = (220, 30, 30), (30, 200, 40), (20, 40, 210), (128, 128, 128)


def quadrants(side=32):
    """An upright picture whose four quarters tell every orientation from the others."""
    pixels = np.zeros((side, side, 3), np.uint8)
    half = side // 2
    pixels[:half, :half], pixels[:half, half:], pixels[half:, :half], pixels[half:, half:] = RED, GREEN, BLUE, GREY
    return pixels


def encode(pixels, format="PNG", **options):
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width, height, pixels=b"", metadata=b"", depth=8, colour=0):
    """A PNG by its specification: `pixels` is the zlib stream, `metadata` whole chunks."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + metadata + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def black_png(width, height):
    """A PNG of grey zeros, its zlib stream put together from equal blocks, so that a huge one is made in no time."""
    blocks, rest = divmod((width + 1) * height, 2**20)
    deflate = zlib.compressobj(9, wbits=-15)
    block = deflate.compress(bytes(2**20)) + deflate.flush(zlib.Z_FULL_FLUSH)
    adler = ((width + 1) * height % 65521) << 16 | 1  # of so many zeros
    end = deflate.compress(bytes(rest)) + deflate.flush() + struct.pack(">I", adler)
    return png(width, height, b"\x78\xda" + block * blocks + end)


def with_size(jpeg, width, height):
    """A baseline JPEG that declares another size."""
    frame = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:frame] + struct.pack(">HH", height, width) + jpeg[frame + 4 :]


def decoded_within(megabytes, data):
    """Decode where this process may take only so much more memory."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + megabytes * 2**20, before[1]))
    try:
        return decode(data, 32)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture(scope="module")
def fresh_process():
    """A process that has freed nothing yet: after other tests this one may hold gigabytes that count as taken."""
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        yield process


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "WEBP"])
def test_lossless_formats_come_back_exactly(format):
    options = {"lossless": True} if format == "WEBP" else {}
    pixels = decode(encode(quadrants(), format, **options), 32)
    assert pixels.dtype == np.uint8 and pixels.flags.writeable
    np.testing.assert_array_equal(pixels, quadrants())


@pytest.mark.parametrize("format", ["JPEG", "GIF"])
def test_lossy_formats_come_back_nearly(format):
    pixels = decode(encode(quadrants(), format), 32).astype(int)
    assert np.abs(pixels - quadrants()).mean() < 4


# Exif 2.3, tag 274: what must be done to the upright picture to get the stored one, as arrays.
STORED = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", STORED)
def test_exif_orientation_is_applied_once(orientation, format):
    exif = Image.Exif()
    exif[274] = orientation
    stored = np.ascontiguousarray(STORED[orientation](quadrants()))
    pixels = decode(encode(stored, format, exif=exif, quality=95), 32).astype(int)
    assert np.abs(pixels - quadrants()).mean() < 4


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\0\x03\x01\x12\0\x02"])
def test_damaged_exif_does_not_lose_the_face(exif):
    assert np.abs(decode(encode(quadrants(), "JPEG", exif=exif), 32).astype(int) - quadrants()).mean() < 4


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb(format):
    # C, M, Y, K in 0..255; the plain formula gives 255 - min(255, C + K) and so on.
    cmyk = Image.new("CMYK", (32, 32), (200, 20, 60, 10))
    pixels = decode(encode(cmyk, format), 16).astype(int)
    assert np.abs(pixels - (45, 225, 185)).max() < 15


def test_grey_becomes_three_equal_channels():
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(decode(encode(ramp), 16), np.repeat(ramp[..., None], 3, axis=2))


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_not_clipped(format):
    ramp = np.linspace(0, 65535, 32 * 32).astype(np.uint16).reshape(32, 32)
    expected = np.round(ramp / 257).astype(np.uint8)
    np.testing.assert_array_equal(decode(encode(ramp, format), 32)[..., 1], expected)


def test_16_bit_colour_is_scaled():
    row = b"\0" + struct.pack(">HHH", 200 * 257, 100 * 257, 0) * 32
    pixels = decode(png(32, 32, zlib.compress(row * 32), depth=16, colour=2), 32)
    assert (pixels == (200, 100, 0)).all()


def test_palette_and_black_and_white():
    palette = Image.fromarray(quadrants()).convert("P", palette=Image.Palette.ADAPTIVE)
    np.testing.assert_array_equal(decode(encode(palette), 32), quadrants())
    bits = Image.fromarray((quadrants()[..., 0] > 100).astype(np.uint8) * 255).convert("1")
    assert set(np.unique(decode(encode(bits), 32))) == {0, 255}


def test_transparency_is_laid_over_white():
    pixels = np.dstack([quadrants(), np.full((32, 32), 255, np.uint8)])
    pixels[:16, :16, 3], pixels[:16, 16:, 3] = 0, 51
    seen = decode(encode(pixels), 32)
    assert tuple(seen[0, 0]) == (255, 255, 255)
    np.testing.assert_allclose(seen[0, -1], 0.2 * np.array(GREEN) + 0.8 * 255, atol=1)
    np.testing.assert_array_equal(seen[16:], quadrants()[16:])


def test_transparent_palette_colour_is_laid_over_white():
    palette = Image.new("P", (16, 16), 0)
    palette.putpalette([10, 20, 30])
    assert (decode(encode(palette, transparency=0), 16) == 255).all()


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])  # MPO: JPEGs of some cameras and phones
def test_of_several_frames_or_pages_the_first_counts(format):
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, BLUE)]
    data = encode(frames[0], format, save_all=True, append_images=frames[1:])
    assert Image.open(io.BytesIO(data)).n_frames == 2
    assert np.abs(decode(data, 16).astype(int) - RED).max() < 10


def test_reduction_is_antialiased():
    checkerboard = (np.indices((512, 512)).sum(axis=0) % 2 * 255).astype(np.uint8)
    assert np.abs(decode(encode(checkerboard), 32).astype(int) - 127.5).max() <= 1


def test_rectangle_is_stretched_not_cropped():
    wide = np.zeros((20, 200, 3), np.uint8)
    wide[:, :100] = 255
    pixels = decode(encode(wide), 40)
    assert pixels.shape == (40, 40, 3) and (pixels[:, :19] == 255).all() and (pixels[:, 21:] == 0).all()


ZEROS = zlib.compress(bytes(20_000_000))  # 20 kB; Pillow unpacks at most 1 MB of a chunk

BAD = {
    "empty": (b"", "empty file"),
    "text": (b"not an image at all" * 10, "not an image"),
    "html": (b"<!DOCTYPE html><html>login first</html>", "not an image"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\n", "not an image"),
    "half a jpeg": (encode(quadrants(64), "JPEG")[:700], "truncated or damaged"),
    "half a png": (
        encode(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8))[:2000],
        "truncated or damaged",
    ),
    "half a webp": (encode(quadrants(64), "WEBP")[:60], "truncated or damaged"),
    "1x1": (encode(np.zeros((1, 1, 3), np.uint8)), "1x1: no face can be read"),
    "narrow": (encode(np.zeros((400, 15, 3), np.uint8)), "15x400: no face can be read"),
    "95 megapixels": (png(9_500, 10_000), "truncated or damaged"),  # above this Pillow warns
    "half a large jpeg": (with_size(encode(quadrants(64), "JPEG")[:600], 4_000, 3_000), "truncated or damaged"),
    "101 megapixels": (png(10_100, 10_000), r"^more than 100 megapixels \(10100x10000\)$"),
    "bomb": (png(60_000, 60_000), "more than 100 megapixels"),
    "gif bomb": (b"GIF89a" + struct.pack("<HH", 60_000, 60_000) + encode(quadrants(), "GIF")[10:], "100 megapixels"),
    "text bomb": (png(32, 32, metadata=chunk(b"zTXt", b"key\0\0" + ZEROS)), "metadata out of all proportion"),
    "text bombs": (
        png(32, 32, metadata=chunk(b"zTXt", b"key\0\0" + zlib.compress(bytes(1_000_000))) * 80),
        "metadata out of all proportion",
    ),
    "profile bomb": (png(32, 32, metadata=chunk(b"iCCP", b"key\0\0" + ZEROS)), "metadata out of all proportion"),
    "float": (encode(Image.new("F", (32, 32)), "TIFF"), "32-bit grey"),
}


@pytest.mark.parametrize("name", BAD)
def test_unreadable_images_say_why(name):
    data, reason = BAD[name]
    with pytest.raises(UnreadableImage, match=reason):
        decode(data, 32)


needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="memory is limited by what /proc says is used")


@needs_proc
@pytest.mark.parametrize(
    "data", [black_png(20_000, 20_000), with_size(encode(quadrants(), "JPEG"), 20_000, 20_000)], ids=["png", "jpeg"]
)
def test_huge_image_is_refused_before_its_pixels_take_memory(fresh_process, data):
    assert (decode(black_png(2_000, 2_000), 32) == 0).all()  # so the huge one is a real image, too
    with pytest.raises(UnreadableImage, match="more than 100 megapixels"):
        fresh_process.submit(decoded_within, 100, data).result()


@needs_proc
def test_image_for_which_memory_is_lacking_is_not_called_damaged(fresh_process):
    with pytest.raises(UnreadableImage, match="needs more memory than there is"):
        fresh_process.submit(decoded_within, 100, black_png(9_000, 10_000)).result()


def test_decoding_processes_import_nothing_heavy():
    code = "import agegender.data.decoding, sys; print(*{'torch', 'pandas', 'rich', 'mlflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
