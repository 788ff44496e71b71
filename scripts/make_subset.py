"""Make the Fashion-MNIST subset that the package ships, from the full data set.

    python scripts/make_subset.py

Takes the first 1,000 training and 200 test images of every class, in the original order, and writes them
as four gzipped IDX files. The full data set is read from the folder of Debian's package
dataset-fashion-mnist, or from the one named by --source. Prints the SHA-256 of the decompressed content of
every file.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np

TARGET = Path(__file__).resolve().parent.parent / "src/fedward/data/datasets/fashion-mnist-subset"
PER_CLASS = {"train": 1000, "t10k": 200}


def first_of_each_class(labels: np.ndarray, count: int) -> np.ndarray:
    """Positions of the first `count` samples of every class, in ascending order."""
    return np.sort(np.concatenate([np.flatnonzero(labels == c)[:count] for c in np.unique(labels)]))


def write(file: Path, content: bytes) -> None:
    """Write gzipped content that does not depend on the time, the file's name or the operating system."""
    with file.open("wb") as raw, gzip.GzipFile("", "wb", compresslevel=9, fileobj=raw, mtime=0) as out:
        out.write(content)
    print(f"{hashlib.sha256(content).hexdigest()}  {file.name}  {file.stat().st_size:,} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the packaged Fashion-MNIST subset.")
    parser.add_argument("--source", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--target", type=Path, default=TARGET)
    options = parser.parse_args()
    options.target.mkdir(parents=True, exist_ok=True)
    for part, count in PER_CLASS.items():
        names = f"{part}-images-idx3-ubyte.gz", f"{part}-labels-idx1-ubyte.gz"
        images, labels = (gzip.decompress((options.source / name).read_bytes()) for name in names)
        _, total, height, width = struct.unpack(">4I", images[:16])
        pixels = np.frombuffer(images, np.uint8, offset=16).reshape(total, height, width)
        classes = np.frombuffer(labels, np.uint8, offset=8)
        keep = first_of_each_class(classes, count)
        header = struct.pack(">4I", 2051, len(keep), height, width)
        write(options.target / names[0], header + pixels[keep].tobytes())
        write(options.target / names[1], struct.pack(">2I", 2049, len(keep)) + classes[keep].tobytes())


if __name__ == "__main__":
    main()
