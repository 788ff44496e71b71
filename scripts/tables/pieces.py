"""Runs of a folder, and cells and tables made of them."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from statistics import fmean
from typing import Any

Run = Mapping[str, Any]
PENDING = "..."
"""Where a run is still to be made."""

RULES = {
    "bulyan": "Bulyan",
    "cosine-clustering": "CosineClustering",
    "dnc": "DnC",
    "fedseca": "FedSECA",
    "krum": "Krum",
    "mean": "Mean",
    "median": "Median",
    "multi-krum": "MultiKrum",
    "sign-guard": "SignGuard",
    "sign-guard-dist:warmup=60": "SignGuardDist",
    "sign-guard-sim:warmup=60": "SignGuardSim",
    "siren": "SIREN",
    "trimmed-mean": "TrimmedMean",
}
ATTACKS = {
    "no-attack": "none",
    "alie": "ALIE",
    "alie:z=1": "ALIE, z = 1",
    "min-max": "MinMax",
    "min-max:direction=unit": "MinMax, unit direction",
    "min-sum": "MinSum",
    "byz-mean": "ByzMean",
    "sign-flip": "SignFlip",
    "scaling": "Scaling",
    "scaling:factor=10": "Scaling, factor 10",
    "ipm": "IPM",
    "ipm:epsilon=1.3": "IPM, epsilon = 1.3",
    "deviation:direction=sign,gamma=0.1": "Fang, mean - 0.1 sgn(mean)",
    "mimic:warmup=5": "Mimic, 5 rounds to learn",
    "label-flip": "LabelFlip",
}


class Runs:
    """The runs of a folder by rule, attack and group, as its experiment names them."""

    def __init__(self, folder: Path) -> None:
        self.named: Mapping[str, Run] = json.loads((folder / "runs.json").read_text(encoding="utf-8"))

    def of(self, rule: str, attack: str, group: str = "") -> Run | None:
        """A run; None where it is still to be made."""
        return self.named.get(f"{group}/{rule} under {attack}" if group else f"{rule} under {attack}")


def paper(folder: Path) -> Mapping[str, Any]:
    """Published figures."""
    return tomllib.loads((folder / "paper.toml").read_text(encoding="utf-8"))


def until(run: Run | None, rounds: int) -> Run | None:
    """A run as it was after so many rounds."""
    if run is None:
        return None
    curve = {k: v for k, v in run["accuracy_by_round"].items() if int(k) <= rounds}
    accepted = [fmean(map(int, line.replace("-", ""))) for line in run["accepted"][:rounds]]
    best = max(curve.values())
    last = list(curve.values())[-1]
    return {**run, "best_accuracy": best, "final_accuracy": last, "honest_accepted": fmean(accepted)}


def best(run: Run | None) -> float | None:
    return None if run is None else 100 * float(run["best_accuracy"])


def last(run: Run | None) -> float | None:
    return None if run is None else 100 * float(run["final_accuracy"])


def number(value: float | None, digits: int = 1, sign: bool = False) -> str:
    """A figure, halves away from zero; PENDING where there is none."""
    if value is None:
        return PENDING
    # The files have four decimals, which floats only come near to: 80.85 lies below its half.
    rounded = Decimal(repr(round(value, 8))).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    return f"{rounded:{'+' if sign else ''}}"


def difference(a: float | None, b: float | None, digits: int = 1, sign: bool = True) -> str:
    """a - b."""
    return PENDING if a is None or b is None else number(a - b, digits, sign)


def both(run: Run | None) -> str:
    """Best and last accuracy."""
    return PENDING if run is None else f"{number(best(run))} / {number(last(run))}"


def share(run: Run | None, key: str, digits: int = 2) -> str:
    """A share of accepted clients; a hyphen where there were none."""
    if run is None:
        return PENDING
    return "-" if run[key] is None else number(run[key], digits)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """In Markdown, where a bar within a cell would end it."""
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in rows:
        cells = [cell.replace("|", "\\|") for cell in row]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
