"""Rows that stay on disk, at the disk's speed: rules beside ``dd`` and plain reading of the same files, and memory.

    python -m benchmarks.disk [--size 8] [--clients 50] [--repeat 3] [--folder .] [--rules mean median multi-krum]

Everything is measured in turns in one run, the best of the repeats counts, and before each reading the system is asked
to forget the files. A rule's rate counts the bytes of all its passes; its share is that rate over ``dd``'s.
The files are written first and removed afterwards.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from fedward import Aggregator
from fedward.stack import Files

from .speed.disk import RULES, anonymous, forget, peak, read, write


def dd(paths: Sequence[Path], flag: str) -> float:
    """Seconds that ``dd`` takes for all files, one after the other; ``iflag=direct`` is the disk alone."""
    forget(paths)
    start = time.perf_counter()
    for path in paths:
        subprocess.run(
            ["dd", f"if={path}", "of=/dev/null", "bs=8M", *([f"iflag={flag}"] if flag else [])],
            check=True,
            stderr=subprocess.DEVNULL,
        )
    return time.perf_counter() - start


def aggregate(paths: Sequence[Path], name: str) -> tuple[float, float, float]:
    """Seconds, passes over the files, and bytes taken beside them at most, the output included."""
    forget(paths)
    before = anonymous()
    with peak() as most:
        start = time.perf_counter()
        stack = Files(paths)
        Aggregator(RULES[name])(stack)
        seconds = time.perf_counter() - start
    return seconds, stack.columns_read / stack.d, most[0] - before


def main() -> None:
    """Write, measure in turns, remove."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=float, default=8, help="gigabytes of rows")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path())
    parser.add_argument("--rules", nargs="+", choices=RULES, default=list(RULES))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    for name in given.rules:  # what is imported and compiled at first
        Aggregator(RULES[name])(torch.randn(given.clients, 300_000))
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        paths = write(Path(name), given.clients, int(given.size * 1e9 / 4 / given.clients))
        size = sum(path.stat().st_size for path in paths)
        disk, plain = [], []
        found: dict[str, list[tuple[float, float, float]]] = {rule: [] for rule in given.rules}
        for _ in range(given.repeat):
            disk.append(dd(paths, "direct"))
            plain.append(read(paths))
            for rule in given.rules:
                found[rule].append(aggregate(paths, rule))
    print(f"{size / 1e9:.1f} GB in {given.clients} files, best of {given.repeat}")
    print("| what | seconds | passes | GB/s | of dd | memory |")
    print("| --- | --- | --- | --- | --- | --- |")
    best = size / min(disk)
    for what, seconds in (("dd iflag=direct bs=8M", min(disk)), ("plain reading, file by file", min(plain))):
        print(f"| {what} | {seconds:.1f} | 1 | {size / seconds / 1e9:.2f} | {size / seconds / best:.2f} | |")
    for rule, runs in found.items():
        seconds, passes, _ = min(runs)
        memory = max(taken for *_, taken in runs)
        rate = passes * size / seconds
        print(
            f"| {rule} | {seconds:.1f} | {passes:.2f} | {rate / 1e9:.2f} | {rate / best:.2f} | {memory / 1e9:.2f} GB |"
        )


if __name__ == "__main__":
    main()
