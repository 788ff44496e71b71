"""What rules that look at pairs of clients take in memory: a few matrices of n x n, whatever they do with them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.many_clients import needs_pairs, power

ROOT = Path(__file__).parents[2]

# In matrices of n x n float64. For so few clients pieces of rows, and holes between them, are about one more.
MOST = {
    "krum": 2.3,
    "multi-krum": 2.3,
    "monna": 2.1,
    "group-majority": 2.2,
    "nnm": 3.2,
    "rfa": 3.2,
    "geometric-median": 3.8,
    "fools-gold": 3.5,
    "flame": 4.0,
    "copoddos": 4.4,
    "centered-clipping": 1.7,
}


def matrices(clients: int, *names: str) -> dict[str, float]:
    """What rules take, in matrices, by the benchmark in a process of its own, that holds no freed memory."""
    chosen = ["--clients", str(clients), "--columns", "20", "--limit", "60", "--rules", *names]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.many_clients", *chosen], cwd=ROOT, capture_output=True, text=True, check=True
    )
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines()[2:]]
    return {row[0]: float(row[6]) for row in cells}


def test_no_rule_takes_more_matrices_than_it_needs() -> None:
    taken = matrices(2000, *MOST)
    assert {name: found for name, found in taken.items() if found > MOST[name]} == {}
    assert set(taken) == set(MOST)


def test_clusters_of_features_take_no_matrix_at_all() -> None:
    assert matrices(5000, "sign-guard")["sign-guard"] <= 0.7


def test_which_rules_need_pairs_and_how_a_rule_grows() -> None:
    assert needs_pairs("krum")
    assert needs_pairs("nnm")
    assert needs_pairs("fedseca")
    assert not any(map(needs_pairs, ("median", "sign-guard", "ties", "clip-norm", "hierarchical")))
    assert power(2.0, 32.0, 4.0) == "2.0"
    assert power(0.0, 1.0, 4.0) == ""
