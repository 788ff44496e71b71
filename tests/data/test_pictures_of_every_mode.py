"""A picture is the same whichever way Pillow holds it, and whoever reads it: a data set, a folder or a table."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from fedward.data import load
from fedward.data.content import FormatError
from fedward.data.images import decoded, of_bytes
from fedward.data.lazy import as_sample

COLOURS = np.zeros((6, 4, 3), dtype=np.uint8)
COLOURS[:3], COLOURS[3:] = (200, 30, 30), (30, 30, 200)
DEEP = np.arange(24, dtype=np.uint16).reshape(6, 4) * 2849
"""Grey of 16 bits, from 0 to 65,527."""


def colours() -> Image.Image:
    return Image.fromarray(COLOURS)


def of_file(image: Image.Image, form: str = "png", mode: str | None = None) -> Tensor:
    """What is read of an image file, as a sample."""
    out = io.BytesIO()
    image.save(out, form)
    return as_sample(decoded(out.getvalue(), Path("x"), mode), "x")


def test_images_with_a_palette_are_read_in_their_colours() -> None:
    expected = torch.from_numpy(COLOURS).permute(2, 0, 1) / 255
    paletted = colours().convert("P", palette=Image.Palette.ADAPTIVE)
    assert torch.equal(as_sample(paletted, "x"), expected)
    assert torch.equal(of_file(paletted), expected)
    assert torch.equal(of_file(paletted, "gif"), expected)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV"])
def test_every_reader_decides_alike(mode: str) -> None:
    image = colours().convert(mode)
    found = as_sample(image, "x")
    assert found.shape == (1 if mode in ("1", "L", "LA") else 3, 6, 4)
    assert found.dtype == torch.float32
    if mode not in ("YCbCr", "HSV"):  # which no file of these keeps as they are
        assert torch.equal(of_file(image, "tiff"), found)
    if mode not in ("1", "P"):  # which are dithered here
        assert (found - as_sample(colours().convert("L" if len(found) == 1 else "RGB"), "x")).abs().max() < 0.02


@pytest.mark.parametrize("form", ["png", "tiff", "ppm"])
def test_grey_of_16_bits_is_scaled_and_not_cut_off(form: str) -> None:
    expected = torch.from_numpy(DEEP.astype(np.float64) / 65_535)[None]
    image = Image.fromarray(DEEP)
    for found in (as_sample(image, "x"), of_file(image, form)):
        assert found.shape == (1, 6, 4)
        assert (found - expected).abs().max() <= 0.5 / 255 + 1e-6
    assert torch.equal(of_file(image, form, "RGB"), of_file(image, form).expand(3, 6, 4))


def test_a_folder_of_16_bits_has_all_its_shades(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for own, values in (("a", DEEP), ("b", DEEP[::-1].copy())):
            (tmp_path / part / own).mkdir(parents=True)
            Image.fromarray(values).save(tmp_path / part / own / "0.png")
    for mode in ("grey", "rgb"):
        shades = load(f"image-folder:mode={mode}", tmp_path).train.inputs[:1].unique()
        assert len(shades) == DEEP.size
        assert shades[-1] == 1


def test_files_of_grey_are_colours_unless_grey_is_asked_for(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for own in ("a", "b"):
            (tmp_path / part / own).mkdir(parents=True)
            Image.fromarray(COLOURS[:, :, 0]).save(tmp_path / part / own / "0.png")
    assert load("image-folder:size=4", tmp_path).shape == (3, 4, 4)
    assert load("image-folder:size=4,mode=grey", tmp_path).shape == (1, 4, 4)


def test_large_images_are_scaled_in_all_their_rows() -> None:
    deep = np.arange(1100 * 1000, dtype=np.uint32).reshape(1100, 1000).astype(np.uint16)
    expected = ((deep.astype(np.int64) + 128) // 257).astype(np.uint8)
    assert np.array_equal(np.asarray(of_bytes(Image.fromarray(deep))), expected)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_of_no_known_range_are_refused(mode: str) -> None:
    image = Image.fromarray(DEEP.astype(np.int32)).convert(mode)
    out = io.BytesIO()
    image.save(out, "tiff")
    with pytest.raises(FormatError, match=f"pixels of 32 bits .*mode {mode}.*save them with 8 or 16"):
        decoded(out.getvalue(), Path("x"))


def test_pixels_of_a_data_set_that_are_numbers_stay_numbers() -> None:
    numbers = np.linspace(-3, 3, 24, dtype=np.float32).reshape(6, 4)
    assert torch.equal(as_sample(Image.fromarray(numbers), "x"), torch.from_numpy(numbers))
    with pytest.raises(ValueError, match=r"x: .*mode I"):
        as_sample(Image.fromarray(DEEP.astype(np.int32)), "x")
