"""Gather run folders into one runs.json: what was run, what came of it, the curves.

``python scripts/collect_runs.py runs/siren -o results/siren/runs.json``: every run in a folder below, by its path.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import fmean
from typing import Any


def mean(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return round(fmean(known), 4) if known else None


def by_round(records: list[dict[str, Any]], key: str) -> dict[str, float]:
    return {str(r["round"]): round(r[key], 4) for r in records if r.get(key) is not None}


def collected(folder: Path) -> dict[str, Any]:
    """One run, with the records that its folder holds."""
    head = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    records = [json.loads(line) for line in (folder / "records.jsonl").read_text(encoding="utf-8").splitlines()]
    curve = by_round(records, "accuracy")
    run = {
        "config": {k: v for k, v in head["config"].items() if k != "data_path"},
        "versions": head["versions"],
        **({"earlier": head["earlier"]} if "earlier" in head else {}),
        "rounds": len(records),
        "best_accuracy": max(curve.values(), default=None),
        "final_accuracy": list(curve.values())[-1] if curve else None,
        "byzantine_accepted": mean([r["byzantine_accepted"] for r in records]),
        "honest_accepted": mean([r["honest_accepted"] for r in records]),
        "seconds": round(sum(sum(r["seconds"].values()) for r in records), 1),
        "skipped": sum(r["skipped"] is not None for r in records),
        "accuracy_by_round": curve,
    }
    if confidence := by_round(records, "confidence"):
        run["confidence_by_round"] = confidence
    if any(r.get("note") for r in records):
        run["decisions"] = [r["note"] for r in records]
        run["accepted"] = [r["accepted"] for r in records]
    for name in records[-1].get("scores", {}):
        run[name] = {str(r["round"]): r["scores"][name] for r in records}
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
