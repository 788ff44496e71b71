"""Run folders, `run.json` and `records.jsonl`, as strangers may hand them on."""

from __future__ import annotations

import json
import math
import random
import tempfile
from pathlib import Path
from typing import Any

from fedward.disk import json_line
from fedward.failures import MendableError
from fedward.report.page import render
from fedward.report.runs import RunData, load_run
from fedward.sim import Record
from tests.fuzz.mutations import as_line, attempt, damaged, hostile_lines, in_time, odd
from tests.fuzz.table import Tried

SURFACE = "run folders"
WEIGHT = 5.0
_DRAWN = 400  # of so many folders one is made a page of

HEAD: dict[str, Any] = {
    "format": 1,
    "name": "run",
    "config": {"rule": "mean", "attack": "alie", "data": "mnist", "clients": 3, "rounds": 3, "seed": 0},
    "byzantine_ids": [2],
    "versions": {"fedward": "1", "code": "abc"},
    "earlier": [{"rounds": 1, "versions": None}],
}
ROUNDS = [
    Record(
        round=number,
        accuracy=0.5,
        loss=1.0,
        train_loss=2.0,
        byzantine_accepted=1.0,
        honest_accepted=0.5,
        accepted=(True, False, None),
        reasons={1: "far"},
        signs={"honest": (0.25, 0.5, 0.25), "byzantine": None},
        seconds={"attack": 0.1, "aggregate": 0.2},
        confidence=0.1,
        skipped=None if number % 2 else "too few rows",
        note="f = 1 of 3 rows",
        scores={"norm": (1.0, 2.0, None)},
    ).to_json()
    for number in (1, 2, 3)
]


def try_inputs(count: int, seed: int) -> Tried:
    """So many folders."""
    rng = random.Random(seed)
    tried = Tried()
    with tempfile.TemporaryDirectory(dir=in_memory()) as name:
        folder = Path(name)
        for number in range(count):
            head, lines = _folder(rng)
            (folder / "run.json").write_bytes(head)
            (folder / "records.jsonl").write_bytes(lines)
            draw = number % _DRAWN == 0

            def work(draw: bool = draw) -> str | None:
                with in_time():
                    run = load_run(folder)
                    return unsound(run) or (drawn(run) if draw else None)

            attempt(tried, f"seed {seed}, folder {number}", work, (MendableError,))
    return tried


def _folder(rng: random.Random) -> tuple[bytes, bytes]:
    if rng.random() < 0.3:
        head = as_line(odd(rng, HEAD))
        return (damaged(rng, head) if rng.random() < 0.3 else head), b"".join(map(as_line, ROUNDS))
    return as_line(HEAD), hostile_lines(rng, ROUNDS)


def unsound(run: RunData) -> str | None:
    """What is wrong with a run that was read; None if nothing is."""
    for record in run.records:
        again = Record.from_json(json.loads(json_line(record.to_json())))
        if json_line(again.to_json()) != json_line(record.to_json()):
            return f"{record} is read again as {again}"
        rates = (record.accuracy, record.f1, record.byzantine_accepted, record.honest_accepted, record.confidence)
        if any(rate is not None and not 0 <= rate <= 1 for rate in rates):
            return f"rates {rates}"
        if record.round < 1 or record.round > 2**53:
            return f"round {record.round}"
        if any(not math.isfinite(s) or s < 0 for s in record.seconds.values()):
            return f"seconds {record.seconds}"
        if len(record.accepted) != run.clients:
            return f"{len(record.accepted)} of {run.clients} clients"
    if [r.round for r in run.records] != sorted({r.round for r in run.records}):
        return "rounds out of order"
    return None


def drawn(run: RunData) -> str | None:
    """What is wrong with the page about a run."""
    page = render([run])
    page.encode(errors="replace")
    return "a script of the file's in the page" if "<script>alert" in page else None


def in_memory() -> str | None:
    """A folder of files that no disk sees, where there is one."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
