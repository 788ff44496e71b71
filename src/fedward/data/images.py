"""Image files, as arrays."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..disk import open_regular
from ..failures import install
from .content import FormatError, Readable

MOST_PIXELS = 1 << 26
"""Of one image: more is a mistake, or meant to fill the memory."""


def decoded(content: Any, file: Readable, mode: str | None = None, size: int | None = None) -> np.ndarray:
    """The image in these bytes: (H, W) if it is grey, (H, W, 3) otherwise.

    Args:
        content: an image file, whole.
        file: for messages.
        mode: "L" or "RGB", whichever it is made; as the file has it if None.
        size: height and width that it is scaled to.

    Raises:
        FormatError: no image, a damaged or monstrous one, or Pillow is not there to read it.
    """
    if not isinstance(content, bytes | bytearray):
        raise FormatError(f"expected the bytes of an image file, found {type(content).__name__}", file)
    with _opened(io.BytesIO(content), file) as image:
        made = of_bytes(image, mode)
        return np.asarray(made if size is None else made.resize((size, size)))


def of_bytes(image: Any, mode: str | None = None) -> Any:
    """An image of Pillow's in grey or in colours, of bytes: "L" if it is grey and nothing else is asked for, or "RGB".

    A byte of a palette is a colour's number, so such images are in colours. Grey of 16 bits is divided by 257, which
    brings its white, 65,535, to 255: Pillow would make white of all above 255.

    Raises:
        ValueError: pixels of 32 bits, of which nobody knows what is white.
    """
    # Pillow opens PNG and PPM of 16 bits with 32, as its version and the file have it.
    deep = image.mode.startswith("I;16") or (image.mode == "I" and getattr(image, "format", None) in ("PNG", "PPM"))
    if deep:
        image = _image_of(_eight_bits(np.asarray(image)))
    elif image.mode in ("I", "F"):
        raise ValueError(
            f"pixels of 32 bits (mode {image.mode}), of which nobody knows what is white; save them with 8 or 16"
        )
    return image.convert(mode or ("L" if image.mode in ("1", "L", "LA") else "RGB"))


def _eight_bits(deep: np.ndarray) -> np.ndarray:
    """Pixels of 16 bits as bytes, some rows at a time: there may be many, and they grow in between."""
    found = np.empty(deep.shape, dtype=np.uint8)
    rows = max((1 << 20) // max(deep.shape[1], 1), 1)
    for start in range(0, len(deep), rows):
        part = np.clip(deep[start : start + rows].astype(np.int64), 0, 65_535)
        found[start : start + rows] = (part + 128) // 257
    return found


def _image_of(pixels: np.ndarray) -> Any:
    from PIL import Image

    return Image.fromarray(pixels)


def size_of_image(file: Readable) -> tuple[int, int]:
    """Width and height, of which only the head of the file tells.

    Raises:
        FormatError: as `decoded`.
    """
    opened = open_regular(file) if isinstance(file, Path) else io.BytesIO(file.read_bytes())
    with opened as source, _opened(source, file) as image:
        return int(image.width), int(image.height)


@contextmanager
def _opened(source: Any, file: Readable) -> Iterator[Any]:
    """An image of Pillow's; whatever is wrong with it within the context is a `FormatError`."""
    try:
        from PIL import Image
    except ImportError:
        raise FormatError(f"reading image files needs Pillow: {install('data')}", file) from None
    try:
        with Image.open(source) as image:
            if image.width * image.height > MOST_PIXELS:
                raise FormatError(f"expected an image, found {image.width:,} x {image.height:,} pixels", file)
            yield image
    except FormatError:
        raise
    except Exception as error:  # Pillow has as many kinds of error as formats
        raise FormatError(f"expected an image file, found something else: {error}", file) from error
