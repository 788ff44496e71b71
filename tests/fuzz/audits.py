"""Audits of federations, as strangers may hand them on: read, and now and then drawn."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

from fedward.failures import MendableError
from fedward.report.audit_page import audit_lead, audit_sections
from fedward.report.audits import AuditData, load_audit
from tests.fuzz.mutations import attempt, hostile_lines, in_time
from tests.fuzz.run_folders import in_memory, unsound
from tests.fuzz.table import Tried

SURFACE = "audits"
WEIGHT = 5.0
_DRAWN = 400  # of so many files one is made a page of


def _round(number: int) -> dict[str, Any]:
    nodes = [
        {"node": "11", "accepted": True, "reason": "accepted", "weight": 0.5, "scores": {"norm": 1.0}},
        {"node": "7", "accepted": False, "reason": "far", "detail": "why", "weight": None, "scores": {"norm": None}},
        {"node": "9", "accepted": False, "reason": "missing", "weight": None, "scores": {}},
        {"node": "8", "name": "a", "accepted": True, "reason": "accepted", "weight": None, "metrics": {"loss": 1.0}},
    ]
    return {"format": 1, "round": number, "rule": "krum", "skipped": None, "seconds": 0.5, "note": "n", "nodes": nodes}


def _found(number: int) -> dict[str, Any]:
    told = {"node": "11", "name": "a", "metrics": {"accuracy": 0.5}}
    metrics = {"accuracy": 0.5, "loss": 2.5}
    return {"format": 1, "round": number, "evaluated": "server", "metrics": metrics, "nodes": [told]}


ROUNDS = [_round(1), _found(1), _round(2), _round(3)]


def try_inputs(count: int, seed: int) -> Tried:
    """So many audits."""
    rng = random.Random(seed)
    tried = Tried()
    with tempfile.TemporaryDirectory(dir=in_memory()) as name:
        file = Path(name) / "audit.jsonl"
        for number in range(count):
            file.write_bytes(hostile_lines(rng, ROUNDS))
            draw = number % _DRAWN == 0

            def work(draw: bool = draw) -> str | None:
                with in_time():
                    audit = load_audit(file)
                    return unsound(audit.run) or (_drawn(audit) if draw else None)

            attempt(tried, f"seed {seed}, audit {number}", work, (MendableError,))
    return tried


def _drawn(audit: AuditData) -> str | None:
    """What is wrong with the page about an audit."""
    page = audit_lead([audit]) + audit_sections([audit])
    page.encode(errors="replace")
    return "a script of the file's in the page" if "<script>alert" in page else None
