"""Kill a sweep at random moments, finish it, and compare it with one that nobody has disturbed.

    python scripts/kill_sweep.py [--kills 20] [--cells 12] [--workers 2] [--seed 0]

Kills are of the sweep with all its processes, of the sweep alone (its workers have to end by themselves), or of one
worker (the sweep has to go on). Three of four come within 0.6 seconds after a round was made, the others somewhere in
the start of the processes. Everything but seconds must be the same to the last bit: records and checkpoints. Prints one
line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fedward.experiments.store import RunFolder
from fedward.sweeps import SweepFolder, plan, read_sweep, run_sweep
from fedward.sweeps.work import Jobs, OnDone, OnProgress, work_on

TABLE = """
data = "fashion-mnist-subset"
clients = 6
byzantine = 1
batch_size = 5
rounds = {rounds}
evaluate_every = 3
attack = "alie"
rule = ["mean", "median"]
seed = {seeds}
"""
UNEQUAL = frozenset({"seconds"})
"""Of a record, what no two runs have in common."""
_LONGEST = 600.0


def command(table: Path, out: Path, workers: int) -> list[str]:
    program = "import sys; from fedward.__main__ import main; sys.argv[0] = 'fedward'; main()"
    return [sys.executable, "-c", program, "sweep", str(table), "--out", str(out), "--workers", str(workers)]


def begun(table: Path, out: Path, workers: int) -> subprocess.Popen[bytes]:
    """A sweep in a session of its own."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command(table, out, workers), start_new_session=True, **quiet)


def children(process: int) -> list[int]:
    """Processes that a process has started, and that still live."""
    try:
        text = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii")
    except FileNotFoundError:
        return []
    return [int(word) for word in text.split()]


def kill(sweep: subprocess.Popen[bytes], how: str) -> None:
    """End a sweep, or a part of it, without warning."""
    if how == "all":
        os.killpg(sweep.pid, signal.SIGKILL)
    elif how == "alone":
        sweep.kill()
    else:
        there = children(sweep.pid)
        if there:
            os.kill(there[-1], signal.SIGKILL)
        return
    sweep.wait()


class Here:
    """Cells in this process, one after another, on one thread as anywhere."""

    def work(self, jobs: Jobs, *, on_progress: OnProgress | None, on_done: OnDone) -> None:
        torch.set_num_threads(1)
        for place, job in jobs.items():
            on_done(place, work_on(*job))


def finished(table: Path, out: Path) -> None:
    """Carry out what is left of a sweep, and nobody disturbs it."""
    run_sweep(plan(read_sweep(table), out), Here())


def disturbed(table: Path, out: Path, workers: int, kills: int, numbers: random.Random) -> dict[str, int]:
    """Carry a sweep out with kills, and say how often each kind was done, and how often rounds were being made."""
    done = {"all": 0, "alone": 0, "worker": 0, "while rounds were made": 0}
    sweep = begun(table, out, workers)
    for _ in range(kills):
        # A quarter of the moments is somewhere in the start, which is long; the others are after a round.
        while_made = numbers.random() < 0.75 and goes_on(sweep, out)
        time.sleep(numbers.uniform(0.0, 0.6 if while_made else 6.0))
        if sweep.poll() is not None:
            sweep = begun(table, out, workers)
            continue
        how = numbers.choice(("all", "alone", "worker"))
        kill(sweep, how)
        done[how] += 1
        done["while rounds were made"] += while_made
        if sweep.poll() is not None:
            sweep = begun(table, out, workers)
    sweep.wait(timeout=_LONGEST)
    return done


def goes_on(sweep: subprocess.Popen[bytes], out: Path) -> bool:
    """Wait until there is one more round on record; whether there is, and the sweep has not ended before."""
    before = on_record(out)
    end = time.monotonic() + _LONGEST
    while sweep.poll() is None and time.monotonic() < end:
        if on_record(out) > before:
            return True
        time.sleep(0.02)
    return False


def on_record(out: Path) -> int:
    """Bytes of all records. A cell that resumes writes its file anew, at once as long as it was to its checkpoint."""
    return sum(file.stat().st_size for file in out.glob("cells/*/records.jsonl"))


def content(folder: SweepFolder) -> dict[str, Any]:
    """All of a sweep that must not hang on what happened to it."""
    found = {}
    for cell in folder.read_head().cells:
        run = RunFolder(folder.place(cell))
        records = [record.to_json() for record in run.read_records().records]
        plain = [{key: value for key, value in record.items() if key not in UNEQUAL} for record in records]
        saved = torch.load(run.checkpoint, weights_only=True)
        found[cell.name] = {"key": cell.key, "records": plain, "checkpoint": settled(saved)}
    return found


def settled(value: Any) -> Any:
    """A checkpoint as what can be compared: tensors as bytes, no seconds."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.contiguous().view(-1).numpy().tobytes()
    if isinstance(value, Mapping):
        return {key: settled(inner) for key, inner in value.items() if key not in UNEQUAL}
    return [settled(inner) for inner in value] if isinstance(value, list | tuple) else value


def tried(folder: Path, *, kills: int, cells: int, workers: int, seed: int, rounds: int) -> dict[str, Any]:
    """One sweep undisturbed and one with kills, and whether they are the same."""
    table = folder / "kill.toml"
    table.write_text(TABLE.format(rounds=rounds, seeds=list(range((cells + 1) // 2))), encoding="utf-8")
    done = disturbed(table, folder / "killed", workers, kills, random.Random(seed))
    finished(table, folder / "killed")
    finished(table, folder / "quiet")
    quiet, killed = SweepFolder(folder / "quiet"), SweepFolder(folder / "killed")
    rows = killed.rows()
    return {
        "cells": len(rows),
        "kills": done,
        "attempts": sum(row.attempts for row in rows),
        "done": sum(row.status == "done" for row in rows),
        "left over": len(killed.left_over()),
        "same": content(quiet) == content(killed),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--cells", type=int, default=12)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0, help="of the moments and the kinds")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = tried(Path(folder), **vars(given))
    print(json.dumps(result))
    if not result["same"] or result["done"] != result["cells"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
