"""Every rule with many clients: seconds and peak memory, and how both grow with n.

    python -m benchmarks.many_clients [--clients 500 2000] [--columns 1000] [--rules krum bulyan] [--limit 120]
    python -m benchmarks.many_clients --clients 10000 --columns 100000 --no-pairs

Each call has a process of its own, one thread, whose peak of memory beyond the rows is told; one that takes more CPU
seconds than the limit is stopped. f is a fifth of the clients where a rule has one. Rules that compare pairs need n^2
numbers, 8 bytes each: `pairs` is the extra memory as a multiple of one such matrix. `--no-pairs` leaves those out that
need them. With several numbers of clients, a second table says by which power of n each rule grows from the fewest to
the most of them, beside what its entry in the catalogue says.
"""

from __future__ import annotations

import argparse
import math
import re
import resource
import time
from contextlib import suppress
from dataclasses import fields
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

import fedward as fw
from fedward import rules
from fedward.core.chain import reads
from fedward.testing import QuadraticEvaluator

_OF_PAIRS = {"gram", "concordance"}
"""Statistics of n x n numbers."""


def build(name: str) -> Any:
    """A rule or mixer by its registered name, with f a fifth of the rows if it has one; a mixer before the mean."""
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


def needs_pairs(name: str) -> bool:
    """Whether a rule or mixer looks at pairs of all rows, by what it reads or by what its entry says."""
    (entry,) = (entry for kind in ("rule", "mixer") for entry in fw.catalogue(kind) if entry.name == name)
    if name == "hierarchical":  # at pairs within its groups
        return False
    return bool(re.search(r"n\^2 [dr]", entry.complexity)) or bool(_OF_PAIRS & set(reads(build(name))))


def drawn(n: int, d: int) -> torch.Tensor:
    """Rows to aggregate."""
    return torch.randn(n, d, generator=torch.Generator().manual_seed(0)).add_(0.3)


def call(name: str, rows: torch.Tensor, limit: int, told: Connection) -> None:
    """One call, of which seconds and extra bytes are sent to the parent, whose rows these are."""
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
    try:
        rule = build(name)
        kept = {"evaluator": QuadraticEvaluator(rows.shape[1])} if rule.traits().root_data else {}
        # A forked process maps the libraries' pages anew as it touches them, and they count: those are no part of it.
        with suppress(Exception):
            fw.Aggregator(rule)(rows[:20], **kept)
        aggregate = fw.Aggregator(rule)
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = peak()
        wall, cpu = time.perf_counter(), time.process_time()
        aggregate(rows, **kept)
        told.send((time.perf_counter() - wall, time.process_time() - cpu, peak() - before))
    except Exception as error:
        told.send(f"{type(error).__name__}: {error}"[:200])


def warm_up() -> None:
    """Import and compile what calls import and compile at first."""
    rows = torch.randn(50, 20_000)
    for rule in (rules.Mean(), rules.Median(), rules.SignGuard(), rules.Krum(f=2), rules.DnC(f=2), rules.FLAME()):
        fw.Aggregator(rule)(rows)


def measured(name: str, rows: torch.Tensor, limit: int) -> tuple[float, float, float] | str:
    """What one call took, wall and CPU seconds and bytes; or why there is nothing to tell."""
    here, there = get_context("fork").Pipe(duplex=False)
    child = get_context("fork").Process(target=call, args=(name, rows, limit, there))
    child.start()
    there.close()
    try:
        found: tuple[float, float, float] | str = here.recv()
    except EOFError:
        found = f"stopped after {limit} s of CPU"
    child.join()
    return found


def power(first: float, last: float, times: float) -> str:
    """By which power something grew when the clients became so many times as many."""
    return f"{math.log(last / first) / math.log(times):.1f}" if min(first, last) > 0 else ""


def print_growth(found: dict[str, dict[int, tuple[float, float, float]]], clients: list[int]) -> None:
    """How CPU seconds and memory of each rule grew from the fewest to the most clients."""
    stated = {entry.name: entry.complexity for kind in ("rule", "mixer") for entry in fw.catalogue(kind, packaged=True)}
    fewest, most = min(clients), max(clients)
    print(f"\n| rule | CPU seconds, {fewest:,} to {most:,} | memory | its entry says |\n| --- | --- | --- | --- |")
    for name, by_n in found.items():
        if fewest in by_n and most in by_n:
            (_, cpu, extra), (_, cpu_later, extra_later) = by_n[fewest], by_n[most]
            grown = power(cpu, cpu_later, most / fewest), power(extra, extra_later, most / fewest)
            print(f"| {name} | n^{grown[0]} | n^{grown[1]} | {stated[name]} |")


def main() -> None:
    """Measure and print a table."""
    torch.set_num_threads(1)
    warm_up()
    names = [entry.name for kind in ("rule", "mixer") for entry in fw.catalogue(kind, packaged=True)]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, nargs="+", default=[500, 2000])
    parser.add_argument("--columns", type=int, default=1000)
    parser.add_argument("--rules", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--limit", type=int, default=120, help="CPU seconds of a call")
    parser.add_argument("--no-pairs", action="store_true", help="only rules that need no n x n numbers")
    given = parser.parse_args()
    chosen = [name for name in given.rules if not (given.no_pairs and needs_pairs(name))]
    stacks = {n: drawn(n, given.columns) for n in given.clients}
    told: dict[str, dict[int, tuple[float, float, float]]] = {name: {} for name in chosen}
    print("| rule | n | d | seconds | CPU seconds | extra memory | pairs |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for name in chosen:
        for n, rows in stacks.items():
            found = measured(name, rows, given.limit)
            if isinstance(found, str):
                print(f"| {name} | {n:,} | {given.columns:,} | {found} | | | |", flush=True)
                continue
            told[name][n] = found
            seconds, cpu, extra = found
            print(
                f"| {name} | {n:,} | {given.columns:,} | {seconds:.2f} | {cpu:.2f} | {extra / 1e6:.0f} MB | "
                f"{extra / (8 * n * n):.1f} |",
                flush=True,
            )
    if len(stacks) > 1:
        print_growth(told, given.clients)


if __name__ == "__main__":
    main()
