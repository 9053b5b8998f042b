"""One image file to one square of 8-bit RGB.

Imported by every decoding process, so it stays light: Pillow and NumPy.
"""

import contextlib
import io
import struct
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

MIN_SIDE = 16  # pixels; below this there is no face to read
MAX_PIXELS = 100_000_000  # as declared in the header, checked before any pixel is decoded; these take up to 1.2 GB
# The formats faces come in. Pillow knows more, among them EPS, for which it would start a PostScript interpreter.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")


class UnreadableImage(Exception):
    """An image file that yields no face; the message is the reason, to stand behind the file's name."""


def decode(data: bytes, size: int) -> NDArray[np.uint8]:
    """Decode the bytes of an image file and resize it to a square.

    In this order: the EXIF orientation is applied; the pixels become 8-bit RGB (16-bit grey is scaled, v / 257 rounded;
    CMYK by Pillow's plain formula, without a colour profile; transparency is laid over white; of an animation or of
    several pages the first counts); the whole image is resized, not cropped, so that a rectangle is stretched. The
    filter is Pillow's `BILINEAR`: a triangle which widens with the reduction (antialiasing), applied to all pixels; no
    reduced-size JPEG decoding.

    Args:
        data: The content of a JPEG, PNG, WebP, BMP, GIF or TIFF file.
        size: Side of the result in pixels.

    Returns:
        uint8 array of shape (size, size, 3), RGB, 0..255.

    Raises:
        UnreadableImage: Empty, truncated, not an image, smaller than 16 x 16, larger than 100 megapixels, or a PNG
            whose compressed metadata unpack to more than Pillow accepts.

    """
    if not data:
        raise UnreadableImage("empty file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about odd metadata and many pixels; the latter are refused below
        try:
            image = _open(data)
            return np.array(_rgb(_upright(image)).resize((size, size), Image.Resampling.BILINEAR))
        except UnreadableImage:
            raise
        except UnidentifiedImageError:
            raise UnreadableImage("not an image, or its header is damaged") from None
        except Image.DecompressionBombError:
            raise UnreadableImage(f"more than {MAX_PIXELS // 10**6} megapixels") from None
        except MemoryError:
            raise UnreadableImage("needs more memory than there is") from None
        # Pillow's decoders raise whatever their parsers raise on damaged bytes (OSError, SyntaxError, struct.error,
        # EOFError, ...): one such file among thousands is reported and must not end the work.
        except Exception as error:
            reason = "metadata out of all proportion" if "MAX_TEXT" in str(error) else "truncated or damaged"
            raise UnreadableImage(f"{reason} ({error})") from error


def _open(data: bytes) -> Image.Image:
    """Read the header only and refuse what is too small or too large."""
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    width, height = image.size
    if min(width, height) < MIN_SIDE:
        raise UnreadableImage(f"{width}x{height}: no face can be read")
    if width * height > MAX_PIXELS:
        raise UnreadableImage(f"more than {MAX_PIXELS // 10**6} megapixels ({width}x{height})")
    return image


def _upright(image: Image.Image) -> Image.Image:
    """Decode the pixels and turn them as the EXIF orientation says."""
    image.load()
    # A damaged EXIF block says nothing about the orientation, and the pixels are fine.
    with contextlib.suppress(SyntaxError, ValueError, TypeError, KeyError, struct.error):
        ImageOps.exif_transpose(image, in_place=True)
    return image


def _rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to 8-bit RGB."""
    if image.mode.startswith("I;16"):  # Pillow's own conversion clips at 255
        grey = np.asarray(image).astype(np.uint32)
        image = Image.fromarray(((grey + 128) // 257).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise UnreadableImage("32-bit grey: its range of brightness is not known")
    if image.has_transparency_data:
        overlay = image.convert("RGBA")
        image = Image.new("RGBA", image.size, "white")
        image.alpha_composite(overlay)
    return image.convert("RGB")
