"""Image files, as arrays."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..disk import open_regular
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
        made = image.convert(mode or ("L" if image.mode in ("1", "L", "I", "I;16", "LA") else "RGB"))
        return np.asarray(made if size is None else made.resize((size, size)))


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
        raise FormatError("reading image files needs Pillow: pip install 'fedward[data]'", file) from None
    try:
        with Image.open(source) as image:
            if image.width * image.height > MOST_PIXELS:
                raise FormatError(f"expected an image, found {image.width:,} x {image.height:,} pixels", file)
            yield image
    except FormatError:
        raise
    except Exception as error:  # Pillow has as many kinds of error as formats
        raise FormatError(f"expected an image file, found something else: {error}", file) from error
