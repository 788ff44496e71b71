"""The tables that are made of findings and of benchmarks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.memory import HEADER, figures
from fedward.redteam import NEVER_DECIDED, family, label, load_examination

from .pieces import PENDING, table


def _kappa(value: float) -> str:
    return f"{value:.3g}"


def _per_cent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _rules(folder: Path) -> str:
    """Every rule with its worst attack, those that are moved least first, and last those that never decided."""
    found = [load_examination(file) for file in folder.glob("findings/*.jsonl")]
    head = ["rule", "worst attack", "kappa", "without", "progress", "byzantine accepted"]
    rows = []
    for e in sorted(found, key=lambda e: (bool(e.undecided), 0 if e.undecided else e.worst()[0][1].kappa, e.rule)):
        worst = e.worst()[0][1]
        trained = e.trained[:1]
        moved = [
            label(worst.attack),
            _kappa(worst.kappa),
            _kappa(e.baseline.kappa) if e.baseline else PENDING,
            f"{worst.progress:.2f}",
            "-" if worst.byzantine_accepted is None else f"{worst.byzantine_accepted:.0%}".replace("%", " %"),
        ]
        rows.append(
            [
                e.rule,
                *([NEVER_DECIDED, "-", "-", "-", "-"] if e.undecided else moved),
                _per_cent(e.untouched),
                _per_cent(trained[0][1]) if trained else "-",
                label(trained[0][0]) if trained else "-",
            ]
        )
    return table([*head, "accuracy without", "lowest", "under"], rows)


def _counts(attacks: Sequence[str]) -> str:
    kinds = {family(text) for text in attacks}
    searches = sum(text.startswith(("maximise:", "tailored-")) for text in attacks)
    return (
        f"{len(attacks)} attacks of {len(kinds)} kinds, no attack among them, "
        f"{searches} of them searches against the rule itself"
    )


def _played(folder: Path) -> str:
    """How many attacks, of how many kinds."""
    found = [load_examination(file) for file in sorted(folder.glob("findings/*.jsonl"))]
    by: dict[tuple[str, ...], list[str]] = {}
    for e in found:
        by.setdefault(tuple(e.settings["attacks"]), []).append(e.rule)
    most, *others = sorted(by.items(), key=lambda each: -len(each[1]))
    told = f"{len(found)} rules; {_counts(most[0])}"
    for attacks, rules in others:
        alarms = sum("-alarms" in text for text in attacks)
        told += f"; against {_counted(rules)} {_counts(attacks)}, {alarms} with alarms"
    return f"{told}."


def _counted(rules: list[str]) -> str:
    return ", ".join(f"`{rule}`" for rule in rules) if len(rules) <= 3 else f"{len(rules)} rules"


def _examined_by(folder: Path) -> str:
    """Which code examined which rules: what most are of first, and by name where they are few."""
    by: dict[str, list[str]] = {}
    for file in sorted(folder.glob("findings/*.jsonl")):
        e = load_examination(file)
        for versions in filter(None, e.versions):
            by.setdefault(f"commit {versions['commit']} (code {versions['code']})", []).append(e.rule)
    told = [f"{_counted(rules)} by {code}" for code, rules in sorted(by.items(), key=lambda each: -len(each[1]))]
    return f"Examined: {'; '.join(told)}."


REDTEAM = {"made": _examined_by, "played": _played, "rules": _rules}


_CLEAN = "none"
_LAST = 5  # rounds that a cell of Flower's table is the mean of


def _of_flower(folder: Path, model: str = "plain") -> list[dict[str, Any]]:
    """The runs of Flower's table with that model; files from before there were two have the plain one alone."""
    runs = json.loads((folder / "flower.json").read_text(encoding="utf-8"))["runs"]
    return [run for run in runs if run.get("model", "plain") == model]


def _strategies(folder: Path, model: str = "plain") -> str:
    runs = _of_flower(folder, model)
    if not runs:
        return "Not run yet."
    columns = list(dict.fromkeys(run["strategy"] for run in runs))
    cells = {(run["attack"], run["strategy"]): _end(run) for run in runs}
    attacks = dict.fromkeys(run["attack"] for run in runs)
    head = ["2 of 10 nodes send", *columns]
    names = {_CLEAN: "none of this"}
    return table(head, ([names.get(a, a), *(cells[a, c] for c in columns)] for a in attacks))


def _end(run: dict[str, Any]) -> str:
    if run["error"] is not None:
        return f"ended in round {len(run['accuracies'])}"  # the first accuracy is that of the initial model
    return f"{100 * fmean(run['accuracies'][-_LAST:]):.1f}"


def _losses(folder: Path) -> str:
    """How far the runs with fedward stay behind their clean ones."""
    runs = _of_flower(folder)
    ours = [run for run in runs if run["strategy"].startswith("fedward ")]
    clean = {run["strategy"]: run["accuracies"] for run in ours if run["attack"] == _CLEAN}
    rows = []
    for strategy, own in clean.items():
        theirs = [r for r in ours if r["strategy"] == strategy and r["attack"] != _CLEAN]
        means = {r["attack"]: fmean(own[-_LAST:]) - fmean(r["accuracies"][-_LAST:]) for r in theirs}
        lasts = {r["attack"]: own[-1] - r["accuracies"][-1] for r in theirs}
        ended = sum(r["error"] is not None for r in theirs)
        cells = [f"{100 * max(d.values()):.1f} ({max(d, key=lambda a: d[a])})" for d in (means, lasts)]
        rows.append([strategy, *cells, str(ended)])
    head = ["strategy", "lost at most, last five rounds", "last round alone", "runs ended by an exception"]
    return table(head, rows)


FLOWER = {
    "strategies": _strategies,
    "losses": _losses,
    "batch-norm": lambda folder: _strategies(folder, "BatchNorm"),
}


def _memory(folder: Path) -> str:
    measured = json.loads((folder / "memory.json").read_text(encoding="utf-8"))
    rows = [[row["rule"] + " \\*" * bool(row["note"]), *figures(row)] for row in measured["rows"]]
    within = sum(row["within"] for row in measured["rows"])
    return f"{within} of {len(rows)} are within the bound.\n\n{table(HEADER, rows)}"


MEMORY = {"rules": _memory}
