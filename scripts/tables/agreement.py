"""The table of how alike honest and forged rows are."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean

from .fedseca import EIGHT
from .pieces import PENDING, table

_MEASURES = ("Pearson", "Kendall", "cosine", "concordance")


def _alike(folder: Path) -> str:
    """Means over pairs and rounds, two honest rows beside an honest and a byzantine one."""
    file = folder / "agreement.json"
    lines = json.loads(file.read_text(encoding="utf-8"))["lines"] if file.exists() else []
    rows = []
    for attack, name in EIGHT.items():
        of_attack = [line for line in lines if line["attack"] == attack]
        cells = []
        for measure in _MEASURES:
            for side in ("honest", "forged"):
                values = [value for line in of_attack for value in line[measure][side]]
                cells.append(f"{fmean(values):.3f}" if values else PENDING)
        rows.append([name, *cells])
    head = [cell for measure in _MEASURES for cell in (f"{measure}: honest", "byzantine")]
    return table(["attack", *head], rows)


AGREEMENT = {"alike": _alike}
