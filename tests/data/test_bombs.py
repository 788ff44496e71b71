"""Small files that would fill the memory: a sentence each, before they do."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fedward.data.content import Files, FormatError, content_of, members
from fedward.data.mat import read_mat
from fedward.data.tables import read_npz, read_parquet
from fedward.data.texts import read_text_columns
from tests.fuzz.forked import forked

ZEROS = bytes(1 << 20)
MEMORY = 1 << 30  # that a refusal may take: the bound itself is a quarter of it
VAST = 700  # megabytes of zeros


def packed(times: int = VAST) -> bytes:
    """Zeros, as zlib packs them: a thousandth."""
    packer = zlib.compressobj(1)
    return b"".join(packer.compress(ZEROS) for _ in range(times)) + packer.flush()


def gzipped() -> bytes:
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1) as file:
        for _ in range(VAST):
            file.write(ZEROS)
    return out.getvalue()


def zipped(name: str, how: int = zipfile.ZIP_DEFLATED, times: int = VAST) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", how, compresslevel=1) as archive, archive.open(name, "w", force_zip64=True) as part:
        for _ in range(times):
            part.write(ZEROS)
    return out.getvalue()


def tarred(unpacked: Callable[[bytes], bytes] = gzip.compress) -> bytes:
    """A name of so many megabytes, which Python's reader would take into memory."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, VAST << 20
    head = info.tobuf(tarfile.GNU_FORMAT)
    return unpacked(head) + unpacked(ZEROS * 64) * (VAST // 64)  # several streams, one after the other


def matlab(element: bytes) -> bytes:
    head = b"MATLAB 5.0".ljust(124) + struct.pack("<H", 0x0100) + b"IM"
    return head + struct.pack("<2I", 15, len(element)) + element


def matlab_text() -> bytes:
    """A variable X of text that has 2^31 letters and says none of them."""
    flags = struct.pack("<4I", 6, 8, 4, 0)
    shape = struct.pack("<2I2i", 5, 8, 1, 2**31 - 1)
    name = struct.pack("<HH4s", 1, 1, b"X")
    body = flags + shape + name + struct.pack("<2I", 2, 0)
    return matlab(zlib.compress(struct.pack("<2I", 14, len(body)) + body))


def parquet_of(column: object, kind: str, **how: object) -> bytes:
    import pyarrow
    from pyarrow import parquet

    out = io.BytesIO()
    table = pyarrow.table({kind: column, "label": pyarrow.array(np.zeros(len(column), np.int8))})  # type: ignore[arg-type]
    parquet.write_table(table, out, **how)
    return out.getvalue()


def one_word_often() -> bytes:
    """A word of a megabyte that two thousand rows refer to."""
    import pyarrow

    indices = pyarrow.array(np.zeros(2000, np.int32))
    words = pyarrow.DictionaryArray.from_arrays(indices, pyarrow.array(["x" * (1 << 20)]))
    return parquet_of(words, "text", compression="zstd", store_schema=False)


def one_vast_page() -> bytes:
    """Half a gigabyte of zeros in a page."""
    import pyarrow

    how = {"compression": "zstd", "use_dictionary": False, "data_page_size": 1 << 30}
    return parquet_of(pyarrow.array(np.zeros((VAST << 20) // 8)), "image", **how)


def read_as(read: Callable[[Files], object], content: bytes, *names: str) -> Callable[[Path], object]:
    def work(folder: Path) -> object:
        for name in names:
            (folder / name).write_bytes(content)
        return read({name: folder / name for name in names})

    return work


def in_archive(content: bytes, name: str) -> Callable[[Path], object]:
    def work(folder: Path) -> object:
        (folder / name).write_bytes(content)
        return members(folder / name, ("a",))

    return work


BOMBS: dict[str, tuple[Callable[[Path], object], str]] = {
    "gzip": (read_as(lambda files: content_of(files["a.gz"]), gzipped(), "a.gz"), "and more: a file may hold"),
    "zip": (in_archive(zipped("a"), "a.zip"), "that becomes 734,003,200"),
    "zip of another packing": (in_archive(zipped("a", zipfile.ZIP_LZMA, 1), "a.zip"), "found another packing"),
    **{
        f"tar, {packing.__name__}": (in_archive(tarred(packing.compress), "a.tar"), "it becomes more than")
        for packing in (gzip, bz2, lzma)
    },
    "npz": (read_as(read_npz, zipped("x_train.npy"), "a.npz"), "that becomes 734,003,200"),
    "MATLAB": (read_as(read_mat, matlab(packed()), "train.mat", "test.mat"), "bytes of variables, found more"),
    "MATLAB, text": (read_as(read_mat, matlab_text(), "train.mat", "test.mat"), "expected numbers, found X of char"),
    "Parquet, a page": (
        read_as(read_parquet, one_vast_page(), "train.parquet", "test.parquet"),
        "its pages become far more than its",
    ),
    "Parquet, a word": (
        read_as(read_text_columns, one_word_often(), "train.parquet", "test.parquet"),
        "it becomes far more than its",
    ),
}


@pytest.mark.parametrize("case", list(BOMBS))
def test_what_would_fill_the_memory_is_a_sentence(case: str, tmp_path: Path) -> None:
    work, said = BOMBS[case]

    def refused() -> None:
        with pytest.raises(FormatError) as caught:
            work(tmp_path)
        print(caught.value)

    ended = forked(refused, tmp_path, seconds=120, memory=4 << 30)
    assert ended.status == 0, ended.said
    assert said in ended.said
    assert ended.bytes < MEMORY
