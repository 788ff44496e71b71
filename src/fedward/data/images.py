"""Image files, as arrays."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from .content import FormatError, Readable

MOST_PIXELS = 1 << 26
"""Of one image: more is a mistake, or meant to fill the memory."""


def decoded(content: Any, file: Readable, mode: str | None = None) -> np.ndarray:
    """The image in these bytes: (H, W) if it is grey, (H, W, 3) otherwise.

    Args:
        content: an image file, whole.
        file: for messages.
        mode: "L" or "RGB", whichever it is made; as the file has it if None.

    Raises:
        FormatError: no image, a damaged or monstrous one, or Pillow is not there to read it.
    """
    try:
        from PIL import Image
    except ImportError:
        raise FormatError("reading image files needs Pillow: pip install 'fedward[data]'", file) from None
    if not isinstance(content, bytes | bytearray):
        raise FormatError(f"expected the bytes of an image file, found {type(content).__name__}", file)
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > MOST_PIXELS:
                raise FormatError(f"expected an image, found {image.width:,} x {image.height:,} pixels", file)
            return np.asarray(image.convert(mode or ("L" if image.mode in ("1", "L", "I", "I;16", "LA") else "RGB")))
    except FormatError:
        raise
    except Exception as error:  # Pillow has as many kinds of error as formats
        raise FormatError(f"expected an image file, found something else: {error}", file) from error
