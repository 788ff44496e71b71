"""Peak extra memory, passes over the data and time of one aggregation, for every rule and mixer of the catalogue.

Linux only: the high-water mark of the resident set is reset through /proc/self/clear_refs and read, like the resident
set itself, from /proc/self/status. Every line is measured in a process of its own, after three rounds on a small stack,
so that imports and lazy initialisation are not counted; memory that the allocator holds free is given back before.

Extra is the high-water mark during a call minus the resident set just before it, minus what the state has grown by:
what a rule keeps between rounds is in a column of its own, but a second copy of it during a call is extra. Both the
first round and the third are measured, the third because rules with history then have one. Every round has new rows.
Of a rule that does something else later than in its first rounds, both are measured, see `benchmarks.modes`.

    python benchmarks/memory.py [--threads 1] [--rules krum flame] [--json memory.json] [--columns 1117396] [--merge]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
import fedward as fw
from benchmarks.modes import Mode, modes
from benchmarks.speed.machine import SAME_MACHINE, machine, made_by, require_same
from benchmarks.speed.worker import fill, peak_of
from fedward.core import rows_of
from fedward.stack import Dense, Updates
from fedward.testing import QuadraticEvaluator

N, D, F = 50, 1_117_396, 10
SMALL = 20_000  # columns of the stack to warm up on: two blocks
# Where the setting does not fit, what is measured instead and why.
INSTEAD: dict[str, tuple[dict[str, int], str]] = {
    "smea": ({"f": 3}, "f = 3: it refuses the 1.0e10 subsets of f = 10"),
    "group-majority": ({"r": 2}, "r = 2: of groups of 3 too few are left for Krum"),
}


class Streamed(QuadraticEvaluator):
    """The stand-in for root data, without keeping the rows it has seen: its memory is not the rule's."""

    def losses(self, steps: Updates) -> Tensor:
        return torch.stack([(row.double() - self.target).square_().mean() / 2 for row in rows_of(steps)])


def contenders() -> Iterator[tuple[str, str, str, Mode]]:
    """Name in the catalogue, the rule as text, a note, and which of its rounds, for all that is measured."""
    for entry in (*fw.catalogue("rule", packaged=True), *fw.catalogue("mixer", packaged=True)):
        arguments, note = INSTEAD.get(entry.name, ({"f": F} if entry.needs_f else {}, ""))
        if entry.kind == "rule":
            for mode in modes(entry.name):
                yield entry.name, fw.describe(entry.build(**arguments | dict(mode.arguments))), note, mode
        else:
            for then in (fw.rules.Mean(), fw.rules.Krum(f=F)):
                yield entry.name, fw.describe(entry.build(**arguments) >> then), note, Mode()


def state_bytes(aggregator: fw.Aggregator) -> int:
    """Bytes beneath the tensors of a state, each storage once."""
    storages = [value.untyped_storage() for value in aggregator.state.values()]
    return sum({s.data_ptr(): s.nbytes() for s in storages}.values())


def measure(spec: str, columns: int, threads: int, skipped: int = 0) -> dict[str, Any]:
    """The first and the third round of a rule after so many that are not measured; to be run in a fresh process."""
    torch.set_num_threads(threads)
    rule = fw.parse(spec)
    for d in (SMALL, columns):
        G = torch.empty(N, d)
        evaluator = Streamed(d) if rule.traits().root_data else None
        aggregator = fw.Aggregator(rule, seed=0)
        sums, rounds = [], []
        for k in range(skipped):
            fill(G, 3 + k, F)
            aggregator(Dense(G), evaluator=evaluator)
        for k in range(3):
            fill(G, k, F)
            for _ in range(3):
                start = time.perf_counter()
                G.sum()
                sums.append(time.perf_counter() - start)
            updates, before = Dense(G), state_bytes(aggregator)
            peak, seconds, _ = peak_of(lambda: aggregator(updates, evaluator=evaluator))  # noqa: B023
            after = state_bytes(aggregator)
            rounds.append(
                {
                    "extra_bytes": max(peak - (after - before), 0),
                    "peak_bytes": peak,
                    "state_bytes": after,
                    "passes": updates.columns_read / updates.d,
                    "seconds": seconds,
                }
            )
    unit = statistics.median(sums)
    for one in rounds:
        one["sums"] = one["seconds"] / unit
    return {"sum_seconds": unit, "first": rounds[0], "third": rounds[2]}


def shown(row: dict[str, Any]) -> list[str]:
    """A line of the table."""
    if "error" in row:
        return [row["rule"], row["error"]]
    return [row["rule"] + (f" ({row['note']})" if row["note"] else ""), *figures(row)]


def figures(row: dict[str, Any]) -> list[str]:
    """What was measured of a rule, in the order of `HEADER`."""
    first, third = row["first"], row["third"]
    return [
        f"{first['extra_bytes'] / 1e6:.0f}",
        f"{third['extra_bytes'] / 1e6:.0f}",
        f"{third['state_bytes'] / 1e6:.1f}",
        "yes" if row["within"] else "NO",
        f"{first['passes']:.2f}, {third['passes']:.2f}",
        f"{first['seconds']:.2f}, {third['seconds']:.2f}",
        f"{first['sums']:.0f}, {third['sums']:.0f}",
    ]


HEADER = ["rule", "extra 1st, MB", "extra 3rd, MB", "state, MB", "within", "passes", "seconds", "x `G.sum()`"]


def merged(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """An earlier file with the rows of this one in the place of its own; they say what measured them.

    Raises:
        SystemExit: another stack or processor, whose figures are no part of the same table.
    """
    require_same(before, now, ("n", "d"))
    require_same(before["machine"], now["machine"], SAME_MACHINE)
    new = [{**row, "made": made_by(now["machine"])} for row in now["rows"]]
    names = {row["name"] for row in new}
    order = list(dict.fromkeys(name for name, *_ in contenders()))
    rows = [*(row for row in before["rows"] if row["name"] not in names), *new]
    return {**before, "rows": sorted(rows, key=lambda row: order.index(row["name"]) if row["name"] in order else -1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rules", nargs="+", metavar="NAME", help="names of the catalogue; all if not given")
    parser.add_argument("--columns", type=int, default=D)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--merge", action="store_true", help="put these rules into the file that is there")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(given.threads)
    chosen = [c for c in contenders() if given.rules is None or c[0] in given.rules]
    unknown = set(given.rules or ()) - {name for name, *_ in chosen}
    if unknown:
        parser.error(f"not rules or mixers of the catalogue: {', '.join(sorted(unknown))}")
    stack = 4 * N * given.columns
    bound = 0.05 * stack + 256e6

    console, rows = Console(), []
    console.print(f"n = {N}, d = {given.columns:,}, float32: {stack / 1e6:.0f} MB; bound {bound / 1e6:.0f} MB")
    table = Table(*HEADER)
    with Live(table, console=console, vertical_overflow="visible"):
        for name, spec, note, mode in chosen:
            row: dict[str, Any] = {"name": name, "rule": mode.named(spec), "note": note}
            # A pool for each, so that a process that is killed takes no other line with it.
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                try:
                    row |= pool.submit(
                        measure, spec, columns=given.columns, threads=given.threads, skipped=mode.rounds
                    ).result()
                    row["within"] = max(row[k]["extra_bytes"] for k in ("first", "third")) <= bound
                except Exception as error:
                    row |= {"error": f"{type(error).__name__}: {error}", "within": False}
            rows.append(row)
            table.add_row(*map(escape, shown(row)))
    if not console.is_terminal:
        console.print()  # `Live` ends without a new line there
    console.print(f"{sum(row['within'] for row in rows)} of {len(rows)} within {bound / 1e6:.0f} MB")
    if given.json:
        setting = {"n": N, "d": given.columns, "dtype": "float32", "stack_bytes": stack, "bound_bytes": bound}
        given.json.parent.mkdir(parents=True, exist_ok=True)
        measured = {"machine": machine(given.threads), **setting, "rows": rows}
        if given.merge:
            measured = merged(json.loads(given.json.read_text()), measured)
        given.json.write_text(json.dumps(measured, indent=1) + "\n")


if __name__ == "__main__":
    main()
