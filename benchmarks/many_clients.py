"""Every rule with many clients: seconds and peak memory, and how both grow with n.

    python -m benchmarks.many_clients [--clients 500 2000] [--columns 1000] [--rules krum bulyan] [--limit 120]

Each call has a process of its own, whose peak of memory beyond the rows is what is told; one that takes longer than
the limit is stopped. f is a fifth of the clients where a rule has one. Rules that compare pairs need n^2 numbers, 8
bytes each: `pairs` is the extra memory as a multiple of one such matrix.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

_CALL = "from benchmarks.many_clients import call; call({name!r}, {n}, {d})"


def build(name: str) -> Any:
    """A rule or mixer by its registered name, with f a fifth of the rows if it has one; a mixer before the mean."""
    import fedward as fw
    from fedward import rules

    kinds = {entry.name: (kind, entry) for kind in ("rule", "mixer") for entry in fw.catalogue(kind, packaged=True)}
    kind, entry = kinds[name]
    more = {"f": 0.2} if "f" in {field.name for field in fields(entry.cls)} else {}
    if name in ("hierarchical",):
        return rules.Hierarchical(base=rules.MultiKrum(f=0.2), size=50)
    built = entry.build(**more)
    return built >> rules.Mean() if kind == "mixer" else built


def peak() -> int:
    """The most bytes that this process has had."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


def call(name: str, n: int, d: int) -> None:
    """One call, of which seconds and extra bytes are printed."""
    import torch

    import fedward as fw
    from fedward.testing import QuadraticEvaluator

    torch.set_num_threads(1)
    rule = build(name)
    aggregate = fw.Aggregator(rule)
    small = torch.randn(50, 300)
    kept = {}
    if rule.traits().root_data:
        kept["evaluator"] = QuadraticEvaluator(torch.zeros(300))
    aggregate(small, **kept)  # what is imported at first
    rows = torch.randn(n, d, generator=torch.Generator().manual_seed(0)) + 0.3
    if rule.traits().root_data:
        kept["evaluator"] = QuadraticEvaluator(torch.zeros(d))
    aggregate = fw.Aggregator(rule)
    before = peak()
    start = time.perf_counter()
    cpu = time.process_time()
    aggregate(rows, **kept)
    print(
        json.dumps({"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu, "extra": peak() - before})
    )


def measured(name: str, n: int, d: int, limit: float) -> dict[str, float] | str:
    """What one call took, or why there is nothing to tell."""
    code = _CALL.format(name=name, n=n, d=d)
    try:
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return f"stopped after {limit:.0f} s"
    if run.returncode:
        return run.stderr.strip().splitlines()[-1][:300]
    found: dict[str, float] = json.loads(run.stdout)
    return found


def main() -> None:
    """Measure and print a table."""
    import fedward as fw

    names = [entry.name for kind in ("rule", "mixer") for entry in fw.catalogue(kind, packaged=True)]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, nargs="+", default=[500, 2000])
    parser.add_argument("--columns", type=int, default=1000)
    parser.add_argument("--rules", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--limit", type=float, default=120, help="seconds, of a process with its imports")
    given = parser.parse_args()
    print("| rule | n | d | seconds | CPU seconds | extra memory | pairs |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for name in given.rules:
        for n in given.clients:
            found = measured(name, n, given.columns, given.limit)
            if isinstance(found, str):
                print(f"| {name} | {n:,} | {given.columns:,} | {found} | | | |", flush=True)
                continue
            print(
                f"| {name} | {n:,} | {given.columns:,} | {found['seconds']:.2f} | {found['cpu']:.2f} | "
                f"{found['extra'] / 1e6:.0f} MB | {found['extra'] / (8 * n * n):.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
