"""Gather run folders into one runs.json: what was run, what came of it, the curves.

``python scripts/collect_runs.py runs/siren -o results/siren/runs.json``: every run in a folder below, by its path.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import kept

from fedward.experiments.store import RunFolder
from fedward.sim import Record
from fedward.sim.record import mean_of_known, why_skipped


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def by_round(records: Sequence[Record], field: str) -> dict[str, float]:
    """A figure of the rounds in which it was measured."""
    measured = ((record.round, getattr(record, field)) for record in records)
    return {str(number): round(value, 4) for number, value in measured if value is not None}


def collected(folder: Path) -> dict[str, Any]:
    """One run, with the records that its folder holds."""
    head = RunFolder(folder).read_head()
    records = RunFolder(folder).read_records().records
    curve = by_round(records, "accuracy")
    said = head.to_json()
    run = {
        "config": {k: v for k, v in head.config.items() if k != "data_path"},
        **{key: said[key] for key in ("versions", "earlier") if key in said},
        **({} if (mark := kept.mark(folder)) is None else {"replayed": mark}),
        "rounds": len(records),
        "best_accuracy": max(curve.values(), default=None),
        "final_accuracy": list(curve.values())[-1] if curve else None,
        "byzantine_accepted": rounded(mean_of_known(r.byzantine_accepted for r in records)),
        "honest_accepted": rounded(mean_of_known(r.honest_accepted for r in records)),
        "seconds": round(sum(sum(r.seconds.values()) for r in records), 1),
        "skipped": sum(r.skipped is not None for r in records),
        "accuracy_by_round": curve,
    }
    if why := why_skipped(records):
        run["skipped_why"] = why
    for field in ("balanced_accuracy", "f1"):
        if measured := by_round(records, field):
            run[f"final_{field}"] = list(measured.values())[-1]
    if confidence := by_round(records, "confidence"):
        run["confidence_by_round"] = confidence
    if any(r.note for r in records):
        run["decisions"] = [r.note for r in records]
        run["accepted"] = [r.marks for r in records]
    for name in dict.fromkeys(name for record in records for name in record.scores):
        run[name] = {str(r.round): [rounded(v) for v in r.scores[name]] for r in records if name in r.scores}
    return run


def dumped(runs: dict[str, Any]) -> str:
    """JSON with a line for each entry of a run, so that a changed figure is a changed line."""
    blocks = []
    for name, run in runs.items():
        lines = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in run.items())
        blocks.append(f" {json.dumps(name)}: {{\n{lines}\n }}")
    return "{\n" + ",\n".join(blocks) + "\n}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parent", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    given = parser.parse_args()
    folders = sorted(head.parent for head in given.parent.rglob("run.json"))
    runs = {str(folder.relative_to(given.parent)): collected(folder) for folder in folders}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(dumped(runs), encoding="utf-8")
    print(f"{len(runs)} runs in {given.out}")


if __name__ == "__main__":
    main()
