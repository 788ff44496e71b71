"""Draw the accuracy curves of a runs.json: a panel for each attack, or one for all; a line for each run.

``python scripts/draw_runs.py results/fedseca/runs.json -o results/fedseca/accuracy.svg --match '^(rules|others)/'``

With ``--score NAME`` it draws what a rule had put on record: a panel for each run, a line for each client.
"""

from __future__ import annotations

import argparse
import json
import re
from math import ceil
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

plt.rcParams["svg.hashsalt"] = "fedward"  # the same runs make the same file
NO_DATE = {"Date": None}
ACROSS = 3


def label(name: str, run: dict[str, Any], several: bool) -> str:
    """The rule, after the folder that the run is in if there are several."""
    rule = run["config"]["rule"].removeprefix("class-wise:base=")
    rule = re.sub(r":(radius=.*|f=4|momentum=0.5)$", "", rule)
    return f"{group(name)}: {rule}" if several else rule


def group(name: str) -> str:
    """The part of a run's name that tells groups apart; empty where there are none."""
    return name.partition(" under ")[0].rpartition("/")[0]


def draw(runs: dict[str, dict[str, Any]], out: Path, together: bool = False) -> None:
    """One figure."""
    if together:
        draw_together(runs, out)
        return
    attacks = list(dict.fromkeys(run["config"]["attack"] for run in runs.values()))
    several = len({group(name) for name in runs}) > 1
    names = list(dict.fromkeys(label(name, run, several) for name, run in runs.items()))
    colours = plt.get_cmap("tab10" if len(names) <= 10 else "tab20")
    down = ceil(len(attacks) / ACROSS)
    across = min(ACROSS, len(attacks))
    figure, axes = plt.subplots(down, across, figsize=(4 * across, 3 * down), sharey=True, squeeze=False)
    for axis, attack in zip(axes.flat, attacks, strict=False):
        for name, run in runs.items():
            if run["config"]["attack"] == attack:
                curve = {int(k): 100 * v for k, v in run["accuracy_by_round"].items()}
                which = label(name, run, several)
                number = names.index(which)
                style = {"color": colours(number), "linestyle": "--" if "without" in which else "-"}
                axis.plot(list(curve), list(curve.values()), label=which, linewidth=1.2, **style)
        axis.set_title(attack, fontsize=9)
        axis.set_xlabel("round")
        axis.grid(alpha=0.3)
    for axis in axes.flat[len(attacks) :]:
        axis.axis("off")
    for row in axes:
        row[0].set_ylabel("accuracy, %")
    lines = {text: line for axis in axes.flat for line, text in zip(*axis.get_legend_handles_labels(), strict=True)}
    wanted = [name for name in names if name in lines]
    figure.legend([lines[n] for n in wanted], wanted, loc="upper center", ncol=min(4, len(wanted)), fontsize=8)
    rows = ceil(len(wanted) / 4)
    figure.tight_layout(rect=(0, 0, 1, 1 - (0.1 + 0.2 * rows) / (3 * down)))
    figure.savefig(out, metadata=NO_DATE)


def draw_together(runs: dict[str, dict[str, Any]], out: Path) -> None:
    """All runs in one panel; those without attack are dashed."""
    figure, axis = plt.subplots(figsize=(8, 4.5))
    for name, run in runs.items():
        curve = {int(k): 100 * v for k, v in run["accuracy_by_round"].items()}
        honest = run["config"]["attack"] == "no-attack"
        text = label(name, run, several=False) + ", no attack" * honest
        axis.plot(list(curve), list(curve.values()), label=text, linewidth=1.2, linestyle="--" if honest else "-")
    axis.set_xlabel("round")
    axis.set_ylabel("accuracy, %")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(out, metadata=NO_DATE)


def draw_score(runs: dict[str, dict[str, Any]], name: str, out: Path) -> None:
    """A panel for each run that has the score, a line for each client over rounds, byzantine clients dashed."""
    drawn = {title: run for title, run in runs.items() if name in run}
    if not drawn:
        return
    across = min(2, len(drawn))
    down = ceil(len(drawn) / across)
    figure, axes = plt.subplots(down, across, figsize=(5.5 * across, 2.6 * down), squeeze=False)
    for axis, (title, run) in zip(axes.flat, drawn.items(), strict=False):
        rounds = [int(number) for number in run[name]]
        byzantine = clients_of(run)
        for client, values in enumerate(zip(*run[name].values(), strict=True)):
            bad = client in byzantine
            shown = [float("nan") if value is None else value for value in values]
            # Lines that lie on each other are told apart by a small step to the side.
            moved = [number + 0.02 * client for number in rounds] if len(run[name]) < MANY else rounds
            style = {"color": "tab:red" if bad else "tab:blue", "linestyle": "--" if bad else "-"}
            axis.plot(moved, shown, linewidth=1.1, alpha=0.7, **style)
        axis.set_title(title, fontsize=8)
        axis.set_xlabel("round")
        axis.grid(alpha=0.3)
    for axis in axes.flat[len(drawn) :]:
        axis.axis("off")
    for row in axes:
        row[0].set_ylabel(name)
    sides = [plt.Line2D([], [], color="tab:blue"), plt.Line2D([], [], color="tab:red", linestyle="--")]
    figure.legend(sides, ["honest", "byzantine"], loc="upper center", ncol=2, fontsize=8)
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.3 / (2.6 * down)))
    figure.savefig(out, metadata=NO_DATE)


MANY = 60
"""Rounds from which a step to the side would no longer be seen."""


def clients_of(run: dict[str, Any]) -> frozenset[int]:
    """Which clients are byzantine: the first so many, or those that are named."""
    said = run["config"]["byzantine"]
    if isinstance(said, int):
        return frozenset(range(said))
    return frozenset(int(client) for client in said.split(",") if client)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--match", default="", help="a regular expression: of the runs' names")
    parser.add_argument("--together", action="store_true", help="one panel for all attacks")
    parser.add_argument("--score", help="draw this score of each client, a panel a run")
    given = parser.parse_args()
    runs = json.loads(given.runs.read_text(encoding="utf-8"))
    matching = {name: run for name, run in runs.items() if re.search(given.match, name)}
    if given.score:
        draw_score(matching, given.score, given.out)
    elif matching:
        draw(matching, given.out, given.together)


if __name__ == "__main__":
    main()
