"""The tables of results/workloads and results/lora: SignGuard's setting on other data, and adapters alone."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from .pieces import ATTACKS, RULES, Runs, best, last, made, number, paper, share, table

_RULES = ("sign-guard", "multi-krum", "trimmed-mean")
_FLIP = "sign-flip:scale=4"
_ATTACKS = ("alie", "min-max", "sign-flip")
_CELLS = [("mean", "no-attack"), *((rule, attack) for attack in _ATTACKS for rule in _RULES)]


def _beside_table_1(folder: Path, data: str) -> str:
    runs = Runs(folder)
    published = paper(folder)[data]
    rows = []
    for rule, attack in _CELLS:
        run = runs.of(rule, attack, data)
        # A rule on columns accepts everybody, which says nothing.
        accepted = ["-", "-"]
        if rule not in ("mean", "trimmed-mean"):
            accepted = [share(run, key) for key in ("byzantine_accepted", "honest_accepted")]
        figures = [number(best(run)), number(last(run)), number(published[rule][attack])]
        rows.append([ATTACKS[attack], RULES[rule], *figures, *accepted])
    head = ["attack", "rule", "best", "last", "published best", "byzantine accepted", "honest accepted"]
    return table(head, rows)


def _adapters(folder: Path) -> str:
    runs = Runs(folder)
    cells = [("mean", "no-attack"), *((rule, attack) for attack in ("alie", _FLIP) for rule in ("mean", "sign-guard"))]
    rows = []
    for rule, attack in cells:
        run = runs.of(rule, attack)
        accepted = [share(run, key) if rule != "mean" else "-" for key in ("byzantine_accepted", "honest_accepted")]
        rows.append([ATTACKS[attack], RULES[rule], number(best(run)), number(last(run)), *accepted])
    return table(["attack", "rule", "best", "last", "byzantine accepted", "honest accepted"], rows)


LORA = {"made": made, "lora": _adapters}

WORKLOADS = {
    "made": made,
    "cifar10": partial(_beside_table_1, data="cifar10"),
    "ag-news": partial(_beside_table_1, data="ag-news"),
}
