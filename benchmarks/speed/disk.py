"""Aggregation of rows that stay on disk: seconds beside a plain reading of the same files, and memory taken.

    python -m benchmarks.speed.disk [--gigabytes 22] [--clients 50] [--folder .]

Prints one line of JSON. The files are written first and removed afterwards. Before each reading the system is asked to
forget them, so that they come from the disk; a pass counts as read once.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from fedward import Aggregator, rules
from fedward.stack import Files

RULES = {"mean": rules.Mean(), "median": rules.Median(), "multi-krum": rules.MultiKrum(f=10)}
_PIECE = 1 << 22


def write(folder: Path, clients: int, columns: int) -> list[Path]:
    """One file a client: noise, of which the same piece comes again and again at another scale."""
    generator = torch.Generator().manual_seed(0)
    noise, row, paths = torch.randn(_PIECE, generator=generator), torch.empty(columns), []
    for client in range(clients):
        for k, part in enumerate(row.split(_PIECE)):
            torch.mul(noise[: len(part)].roll(client), 1 + k / 100, out=part)
        paths.append(folder / f"client-{client:03}.safetensors")
        save_file({"weights": row}, paths[-1])
    os.sync()
    return paths


def forget(paths: Sequence[Path]) -> None:
    """Ask the system to drop what it holds of the files."""
    for path in paths:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read(paths: Sequence[Path]) -> float:
    """Seconds to read all files from beginning to end."""
    forget(paths)
    buffer, start = bytearray(1 << 23), time.perf_counter()
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
    return time.perf_counter() - start


def anonymous() -> int:
    """Bytes of this process that are no file's."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


@contextmanager
def peak() -> Iterator[list[int]]:
    """The most bytes of this process that are no file's, in the only place of a list, at the end."""
    most, done = [anonymous()], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            most[0] = max(most[0], anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield most
    finally:
        done.set()
        watcher.join()


def aggregate(paths: Sequence[Path], name: str) -> dict[str, float]:
    """Seconds and the most memory that one rule takes, the output included."""
    forget(paths)
    before = anonymous()
    with peak() as most:
        start = time.perf_counter()
        Aggregator(RULES[name])(Files(paths))
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "extra_bytes": max(most[0] - before, 0)}


def main() -> None:
    """Write, measure, remove."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=2.2)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    columns = int(given.gigabytes * 1e9 / 4 / given.clients)
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        paths = write(Path(name), given.clients, columns)
        found: dict[str, Any] = {"clients": given.clients, "columns": columns, "bytes": 4 * columns * given.clients}
        found["read"] = min(read(paths), read(paths))
        found["rules"] = {rule: aggregate(paths, rule) for rule in RULES}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
