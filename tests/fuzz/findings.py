"""Files of the red team's findings, as strangers may hand them on: read, and now and then drawn."""

from __future__ import annotations

import json
import math
import random
import tempfile
from pathlib import Path
from typing import Any

from fedward.failures import MendableError
from fedward.redteam import Examination
from fedward.redteam.findings import FORMAT, load_examination
from fedward.report import write_examinations
from fedward.sim.forms import written
from tests.fuzz.mutations import attempt, hostile_lines, in_time
from tests.fuzz.run_folders import in_memory
from tests.fuzz.table import Tried

SURFACE = "findings of the red team"
WEIGHT = 6.0
_DRAWN = 400

SETTINGS = {
    "rule": "krum:f=2",
    "data": "mnist",
    "model": "mlp",
    "partition": "iid",
    "clients": 10,
    "byzantine": 2,
    "rounds": 5,
    "algorithm": "gradient",
}


def _finding(attack: str) -> dict[str, Any]:
    rates = {"byzantine_accepted": 0.5, "honest_accepted": 1.0}
    return {"attack": attack, "kappa": 0.3, "progress": 0.9, **rates, "refused": 1, "accuracy": None, "statistics": 0.2}


LINES: list[Any] = [
    {"format": FORMAT, "settings": SETTINGS, "versions": {"code": "abc"}},
    _finding("no-attack"),
    _finding("alie:z=0.3"),
    {"versions": {"code": "def"}},
    _finding("sign-flip"),
    {"trained under": "no-attack", "accuracy": 0.9},
    {"trained under": "alie:z=0.3", "accuracy": 0.2},
    {"statistics forged as by": "alie:z=0.3", "accuracy": 0.4},
]


def try_inputs(count: int, seed: int) -> Tried:
    """So many files."""
    rng = random.Random(seed)
    tried = Tried()
    with tempfile.TemporaryDirectory(dir=in_memory()) as name:
        file, page = Path(name) / "krum.jsonl", Path(name) / "page.html"
        for number in range(count):
            file.write_bytes(hostile_lines(rng, LINES))
            draw = number % _DRAWN == 0

            def work(draw: bool = draw) -> str | None:
                with in_time():
                    found = load_examination(file)
                    if draw:
                        write_examinations([found], {}, page)
                    return _unsound(found)

            attempt(tried, f"seed {seed}, findings {number}", work, (MendableError,))
    return tried


def _unsound(found: Examination) -> str | None:
    json.dumps(found.to_json())
    for finding in found.findings:
        numbers = [value for value in written(finding).values() if isinstance(value, float)]
        if not all(map(math.isfinite, numbers)):
            return f"numbers that are none: {finding}"
        rates = (finding.byzantine_accepted, finding.honest_accepted, finding.accuracy)
        if not all(rate is None or 0 <= rate <= 1 for rate in rates):
            return f"rates {rates}"
    assert found.worst() is not found.trained
    found.astray()
    return None
