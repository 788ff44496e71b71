"""Where each run of a report stands: what it is called, its row (the rule) and its column (the attack)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..sweeps.apart import ATTACK_CODE, OWN_CODE, RULE_CODE, named_with_code, told_apart, with_code
from .runs import RunData

_TASK = ("data", "model", "partition")
"""What is learnt, by which model, on whose data. Where runs differ in these, a column is an attack on one of them."""

_NO_ROW = {"rule", "attack", RULE_CODE, ATTACK_CODE, "seed", "name", "evaluate_every", *_TASK}
"""Settings that never make a row of their own. Every other one does, where runs of a rule differ in it."""


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A run with its place among the others."""

    run: RunData
    label: str
    """Its name, made unique."""
    row: str
    """Its rule, with the settings that tell it from other runs of the same rule, attack and task."""
    column: str
    """Its attack, with the task where the runs do not share one."""


def setting(run: RunData, key: str) -> str:
    """A setting as text; the rule and the attack never come out empty."""
    value = run.config.get(key)
    if key == "attack" and value in (None, "", "none", "no-attack"):
        return "no attack"
    if key == "rule" and not value:
        return "unknown rule"
    return plain(value)


def plain(value: Any) -> str:
    """A value of the configuration as text."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)


def place(runs: Sequence[RunData]) -> list[Placed]:
    """Label every run and find its row and column.

    Runs that differ in the seed alone share a row and a column; of other code of the user's own they do not: that of a
    rule has a row of its own, and that of an attack a column.
    """
    runs = [
        replace(run, config=with_code(run.config, told)) if told else run
        for run, told in zip(runs, told_apart([run.made for run in runs]), strict=True)
    ]
    tasks = [key for key in _TASK if _differ(runs, key)]
    columns = [" · ".join([_of_code(run, "attack"), *(setting(run, key) for key in tasks)]) for run in runs]
    split = _splitting(runs, columns)
    return [
        Placed(run=run, label=label, row=_row(run, split), column=column)
        for run, label, column in zip(runs, _labels(runs), columns, strict=True)
    ]


def _splitting(runs: Sequence[RunData], columns: Sequence[str]) -> list[str]:
    """The settings in which runs of the same rule and column differ: only these make rows of their own."""
    cells: dict[tuple[str, str], list[RunData]] = {}
    for run, column in zip(runs, columns, strict=True):
        cells.setdefault((_of_code(run, "rule"), column), []).append(run)
    keys = sorted({key for run in runs for key in run.config} - _NO_ROW)
    return [key for key in keys if any(_differ(cell, key) for cell in cells.values())]


def _row(run: RunData, split: Sequence[str]) -> str:
    told = [key for key in split if key != OWN_CODE or key in run.config]
    return " · ".join([_of_code(run, "rule"), *(f"{key} {setting(run, key)}" for key in told)])


def _of_code(run: RunData, key: str) -> str:
    """The rule or the attack, of two codes of one's own as two."""
    return named_with_code(setting(run, key), run.config, key)


def unique(values: Sequence[str]) -> list[str]:
    """The distinct values in order of first appearance."""
    return list(dict.fromkeys(values))


def is_grid(placed: Sequence[Placed]) -> bool:
    """Whether there are several rules and several attacks to compare."""
    return len({entry.row for entry in placed}) > 1 and len({entry.column for entry in placed}) > 1


def best_by_cell(placed: Sequence[Placed]) -> dict[tuple[str, str], list[float]]:
    """Best test accuracies of the runs of each (row, column).

    Left out are runs that were never evaluated, those that learned nothing, and those that are not finished: what they
    have reached by now is best of less than what the others had.
    """
    cells: dict[tuple[str, str], list[float]] = {}
    for entry in placed:
        best = entry.run.best
        if entry.run.finished and not entry.run.in_vain and best is not None and best.accuracy is not None:
            cells.setdefault((entry.row, entry.column), []).append(best.accuracy)
    return cells


def _differ(runs: Sequence[RunData], key: str) -> bool:
    return len({setting(run, key) for run in runs}) > 1


def _labels(runs: Sequence[RunData]) -> list[str]:
    names = Counter(run.name for run in runs)
    labels = [run.name if names[run.name] == 1 else f"{run.name} ({run.folder})" for run in runs]
    again = Counter(labels)
    seen: Counter[str] = Counter()
    for index, label in enumerate(labels):
        if again[label] > 1:
            seen[label] += 1
            labels[index] = f"{label} #{seen[label]}"
    return labels
