"""Reading images and their labels from .npz, Parquet and CSV files, whatever made them."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..failures import install, tamed
from .content import Files, FormatError, Readable, content_of, room, zip_entries
from .images import decoded
from .pages import check_pages
from .stored import Stored, joined

IMAGES = ("images", "image", "img", "x", "data", "inputs", "pixels", "features", "pixel_values")
"""What arrays and columns of images are called."""
LABELS = ("labels", "label", "y", "targets", "target", "class", "fine_label", "classes")
"""What arrays and columns of labels are called; the first that is there counts."""
TEXTS = ("text", "title", "description", "content", "sentence")
"""What columns of texts are called."""
_CELLS = 100_000_000
"""Values that a table may have: one that is not there takes no room in a file, and some in memory."""
_TEST = re.compile(r"(^|[^a-z])(test|t10k|val|valid|validation)([^a-z]|$)")
_TRAIN = re.compile(r"(^|[^a-z])(train|training|data_batch_\d+)([^a-z]|$)")


def split_files(folder: Path, suffix: str, name: str = "") -> Files:
    """The files of training and test set in a folder, or one that holds both; those of the training set come first.

    Args:
        folder: where.
        suffix: how names end, such as .npz.
        name: that file names must contain, where data sets lie side by side; hyphens do not matter.
    """
    plain = name.replace("-", "")
    there = sorted(file for file in folder.glob(f"*{suffix}") if file.is_file())
    own = [file for file in there if plain in re.sub("[-_]", "", file.name.lower())]
    train = [file for file in own if _TRAIN.search(file.name.lower())]
    test = [file for file in own if file not in train and _TEST.search(file.name.lower())]
    chosen = [*train, *test] if train and test else own if len(own) == 1 else []
    return {file.name: file for file in chosen}


def by_split(files: Files, read: Callable[[Readable], Stored]) -> tuple[Stored, Stored]:
    """Training and test set, each of one file or more."""
    train = [read(file) for name, file in files.items() if _TRAIN.search(name.lower())]
    test = [read(file) for name, file in files.items() if not _TRAIN.search(name.lower())]
    if not (train and test):
        [file] = files.values()
        wrong = "expected files of a training and of a test set, train... and test..., found one file"
        raise FormatError(wrong, file, "add the other, or put train or test into the names of both")
    return joined(train), joined(test)


# --- .npz ---------------------------------------------------------------------------------------------------


def read_npz(files: Files) -> tuple[Stored, Stored]:
    """Arrays ``images`` and ``labels`` of a file for each split; or, in one, ``x_train``, ``y_train`` and for the test.

    Raises:
        FormatError: no such arrays, or arrays of Python objects, which are not opened.
    """
    if len(files) > 1:
        return by_split(files, lambda file: _of_arrays(arrays_of(file), file))
    [file] = files.values()
    arrays = arrays_of(file)
    wanted = ("x_train", "y_train", "x_test", "y_test")
    if not set(wanted) <= arrays.keys():
        found = ", ".join(arrays) or "nothing"
        raise FormatError(f"expected {', '.join(wanted)} in one file for both splits, found {found}", file)
    train, test = (
        Stored(samples=arrays[f"x_{part}"], labels=arrays[f"y_{part}"].reshape(-1), files=(file, file))
        for part in ("train", "test")
    )
    return train, test


def arrays_of(file: Readable) -> dict[str, np.ndarray]:
    """All arrays of an .npz file.

    Raises:
        FormatError: it is damaged, or has arrays of Python objects.
    """
    try:
        content = io.BytesIO(content_of(file))
        with zipfile.ZipFile(content) as archive:
            zip_entries(archive, len(content.getbuffer()), file)
        content.seek(0)
        with np.load(content, allow_pickle=False) as opened:
            return {name: opened[name] for name in opened.files}
    except FormatError:
        raise
    except Exception as error:  # damaged ones raise whatever their bytes happen to mean
        raise FormatError(f"expected an .npz file of plain arrays, found something else: {error}", file) from error


def _of_arrays(arrays: Mapping[str, np.ndarray], file: Readable) -> Stored:
    images = named(arrays, IMAGES, "images", file)
    labels = named(arrays, LABELS, "labels", file)
    return Stored(samples=images, labels=labels.reshape(-1), files=(file, file))


def named(columns: Mapping[str, Any], names: Sequence[str], what: str, file: Readable) -> Any:
    """The first column or array that has one of these names.

    Raises:
        FormatError: there is none.
    """
    lower = {name.lower(): value for name, value in columns.items()}
    for name in names:
        if name in lower:
            return lower[name]
    found = ", ".join(columns) or "nothing"
    raise FormatError(f"expected {what}, called {', '.join(names[:4])} or alike, found {found}", file)


# --- Parquet ------------------------------------------------------------------------------------------------


def read_parquet(files: Files) -> tuple[Stored, Stored]:
    """Columns ``image`` and ``label``, as on Hugging Face's hub; images as files of their own within the table."""
    return by_split(files, _parquet)


def _parquet(file: Readable) -> Stored:
    table = columns_of(file)
    contents = [_bytes_of(cell) for cell in named(table, IMAGES, "images", file)]
    images: list[np.ndarray] = []
    left = room(sum(len(content) for content in contents if isinstance(content, bytes)))
    for content in contents:
        images.append(decoded(content, file))
        left -= images[-1].nbytes
        if left < 0:
            raise FormatError("expected images, found some that unpack to far more than they take", file)
    sizes = sorted({image.shape for image in images})
    if len(sizes) != 1:
        raise FormatError(f"expected images of one size, found {', '.join(map(str, sizes[:3])) or 'none'}", file)
    labels = np.asarray(named(table, LABELS, "labels", file))
    return Stored(samples=np.stack(images), labels=labels, files=(file, file))


def _bytes_of(cell: Any) -> Any:
    return cell.get("bytes") if isinstance(cell, Mapping) else cell


def columns_of(file: Readable) -> dict[str, list[Any]]:
    """The columns of a Parquet file by name.

    Raises:
        FormatError: it is damaged, or pyarrow is not there to read it.
    """
    try:
        from pyarrow import parquet
    except ImportError:
        raise FormatError(f"reading Parquet needs pyarrow: {install('data')}", file) from None
    content = content_of(file)
    columns: dict[str, list[Any]] = {}
    try:
        largest = check_pages(content)
        with parquet.ParquetFile(io.BytesIO(content), pre_buffer=False) as opened:
            left, cells = room(len(content)), _CELLS
            # Few rows at a time: a page may hold one value, and each row of a few bits refer to all of it.
            for batch in opened.iter_batches(max(1, min(1024, left // (4 * largest))), use_threads=False):
                left -= batch.nbytes
                cells -= batch.num_rows * batch.num_columns
                if min(left, cells) < 0:
                    raise ValueError(f"it becomes far more than its {len(content):,} bytes")
                for name, values in batch.to_pydict().items():
                    columns.setdefault(name, []).extend(values)
            return {name: columns.get(name, []) for name in opened.schema_arrow.names}
    except Exception as error:  # pyarrow has errors of its own, several of which derive from nothing usual
        raise FormatError(f"expected a Parquet file, found something else: {error}", file) from error


# --- CSV ----------------------------------------------------------------------------------------------------


def read_csv(files: Files) -> tuple[Stored, Stored]:
    """Rows of a label and the pixels of a square image, grey or red first, with a header or without."""
    return by_split(files, _csv)


def csv_rows(file: Readable) -> Iterator[list[str]]:
    """The rows of a CSV file.

    Raises:
        FormatError: it is damaged, or no text.
    """
    try:
        yield from csv.reader(io.StringIO(content_of(file).decode("utf-8-sig"), newline=""), strict=True)
    except (UnicodeDecodeError, csv.Error) as error:
        raise FormatError(f"expected a CSV file in UTF-8, found something else: {error}", file) from error


def label_place(header: Sequence[str], file: Readable, names: Sequence[str] = LABELS) -> int:
    """Which column of a CSV file has the labels.

    Raises:
        FormatError: none is called so. Any other column may look like labels, and be none.
    """
    lower = [name.strip().lower() for name in header]
    place = next((lower.index(name) for name in names if name in lower), None)
    if place is None:
        words = [name for name in lower if not _is_number(name)]  # there is one at least
        found = tamed(", ".join([*words[:5], *(["..."] if len(words) > 5 else [])]) or "one without a name")
        wrong = f"expected a column of labels, called {', '.join(names[:4])} or alike, found {found}"
        raise FormatError(wrong, file, "call it label in the first row")
    return place


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _csv(file: Readable) -> Stored:
    rows = [row for row in csv_rows(file) if row]
    place = 0
    # A single word makes a header: pandas numbers the columns that have no names.
    if rows and not all(map(_is_number, rows[0])):
        place = label_place(rows.pop(0), file)
    try:
        table = np.array(rows, dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise FormatError(f"expected rows of a label and pixels, all whole numbers, found {error}", file) from error
    if table.ndim != 2 or table.shape[1] < 2:
        raise FormatError("expected rows of a label and pixels, found none", file)
    values = np.delete(table, place, axis=1)
    if values.min() < 0 or values.max() > 255:
        raise FormatError(f"expected pixels from 0 to 255, found {values.min()} to {values.max()}", file)
    images = values.astype(np.uint8).reshape(len(values), *_shape(values.shape[1], file))
    return Stored(samples=images, labels=table[:, place], files=(file, file))


def _shape(count: int, file: Readable) -> tuple[int, int, int]:
    """Channels, height and width of a square image with so many values."""
    for channels in (1, 3):
        side = round((count / channels) ** 0.5)
        if channels * side * side == count:
            return channels, side, side
    raise FormatError(f"expected the pixels of a square image, grey or in colour, found {count}", file)


READERS: Mapping[str, Callable[[Files], tuple[Stored, Stored]]] = {
    ".npz": read_npz,
    ".parquet": read_parquet,
    ".csv": read_csv,
    ".csv.gz": read_csv,
}
"""By how names end; the first that there are files of counts."""
