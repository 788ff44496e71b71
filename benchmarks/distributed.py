"""Several processes against one on the same stack, as ratios of one run; and what each rule hands over.

    python benchmarks/distributed.py [--processes 2 4] [--n 50] [--d 1000000] [--rules krum sign-guard median]
    python benchmarks/distributed.py --wire [--n 50] [--d 100000]

Times are the least of several rounds that take turns: one process, then the others, so that whatever else the machine
does slows all of them. One thread each, over gloo on loopback. ``columns`` is a round on columns that are there
already, ``rows`` with the all-to-all that makes them of rows, and the gathering of the output: both in times of one
process. Of rules that try whole models on data of the server's own, bytes are not counted: they gather every row.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial

import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing

import fedward as fw
from fedward.distributed import Sharded
from fedward.testing.rounds import next_round

ROUNDS = 4


def rule_of(name: str, n: int) -> fw.Rule:
    """A rule by name, with f a tenth of the rows where it takes one."""
    [entry] = [entry for entry in fw.catalogue("rule", packaged=True) if entry.name == name]
    rule: fw.Rule = entry.build(**({"f": n // 10} if "f" in entry.parameters else {}))
    return rule


def rows_of(n: int, d: int) -> torch.Tensor:
    """The same in every process: a common direction, and noise."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(d, generator=generator) + 0.8 * torch.randn(n, d, generator=generator)


def timed(rank: int, processes: int, port: int, asked: argparse.Namespace) -> None:
    """Rounds of all rules by some processes, in turns with the first of them alone."""
    begin(rank, processes, port)
    G = rows_of(asked.n, asked.d)
    mine = torch.tensor_split(G, processes)[rank].clone()
    part = torch.tensor_split(G, processes, 1)[rank].clone()
    for name in asked.rules:
        rule = rule_of(name, asked.n)
        times: dict[str, list[float]] = {"one": [], "columns": [], "rows": []}
        for _ in range(ROUNDS):
            times["one"].append(clocked(partial(rule, G) if rank == 0 else int))
            times["columns"].append(clocked(partial(by_columns, rule, part)))
            times["rows"].append(clocked(partial(by_rows, rule, mine)))
        if rank == 0:
            one, columns, rows = (min(times[way][1:]) for way in ("one", "columns", "rows"))
            print(f"| {processes} | {name} | {one:.2f} s | {columns / one:.2f} | {rows / one:.2f} |", flush=True)
    dist.destroy_process_group()


def by_columns(rule: fw.Rule, part: torch.Tensor) -> torch.Tensor:
    return rule(Sharded.of_columns(part))


def by_rows(rule: fw.Rule, mine: torch.Tensor) -> torch.Tensor:
    stack = Sharded.of_rows(mine)
    return stack.gather(rule(stack))


def clocked(work: Callable[[], object]) -> float:
    """Seconds from when all processes begin to when this one is done."""
    dist.barrier()
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def counted(rank: int, processes: int, port: int, asked: argparse.Namespace) -> None:
    """What each rule hands over in its second round, when those that remember something do."""
    begin(rank, processes, port)
    part = torch.tensor_split(rows_of(asked.n, asked.d), processes, 1)[rank].clone()
    alike: dict[int, list[str]] = {}
    for entry in fw.catalogue("rule", packaged=True):
        rule = entry.build()
        if rule.traits().root_data and entry.name != "fltrust":
            continue
        aggregator = fw.Aggregator(rule)
        for _ in range(2):
            stack = Sharded.of_columns(part)
            before = stack.peers.bytes_sent
            next_round(aggregator, stack)
        alike.setdefault(stack.peers.bytes_sent - before, []).append(entry.name)
    if rank == 0:
        for sent, names in sorted(alike.items()):
            print(f"| {', '.join(names)} | {sent:,} |")
    dist.destroy_process_group()


def begin(rank: int, processes: int, port: int) -> None:
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), GLOO_SOCKET_IFNAME="lo")
    dist.init_process_group("gloo", rank=rank, world_size=processes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--n", type=int, default=50)
    parser.add_argument("--d", type=int, default=1_000_000)
    parser.add_argument("--rules", nargs="+", default=["mean", "median", "sign-guard", "krum", "fedseca"])
    parser.add_argument("--wire", action="store_true", help="bytes for each rule instead of times")
    parser.add_argument("--port", type=int, default=29_611)
    asked = parser.parse_args()
    if asked.wire:
        print("| rules | bytes |\n|---|---|", flush=True)
        multiprocessing.spawn(counted, (2, asked.port, asked), nprocs=2)
        return
    print("| processes | rule | one process | columns | rows |\n|---|---|---|---|---|", flush=True)
    for k, processes in enumerate(asked.processes):
        multiprocessing.spawn(timed, (processes, asked.port + k, asked), nprocs=processes)


if __name__ == "__main__":
    main()
