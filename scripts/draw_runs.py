"""Draw the accuracy curves of a runs.json: a panel for each attack, or one for all; a line for each run.

``python scripts/draw_runs.py results/fedseca/runs.json -o results/fedseca/accuracy.svg --match '^(rules|others)/'``

With ``--score NAME`` it draws what a rule had put on record: a panel for each run, a line for each client, or with
``--map`` a row for each.
"""

from __future__ import annotations

import argparse
import json
import re
from math import ceil
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from fedward.report.sweep_figures import legend_above

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


def draw(runs: dict[str, dict[str, Any]], out: Path, together: bool = False, level: float | None = None) -> None:
    """One figure, with a line across at a level in per cent where one is given."""
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
        if level is not None:
            axis.axhline(level, color="grey", linewidth=0.8, linestyle=":")
        axis.set_title(attack, fontsize=9)
        axis.set_xlabel("round")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.3)
    for axis in axes.flat[len(attacks) :]:
        axis.axis("off")
    for row in axes:
        row[0].set_ylabel("accuracy, %")
    lines = {text: line for axis in axes.flat for line, text in zip(*axis.get_legend_handles_labels(), strict=True)}
    wanted = [name for name in names if name in lines]
    columns = {1: 1, 2: 2, 3: 4}[across]
    height = legend_above(figure, [lines[n] for n in wanted], wanted, columns, loc="upper center", fontsize=8)
    figure.tight_layout(rect=(0, 0, 1, 1 - height / (3 * down)))
    figure.savefig(out, metadata=NO_DATE)


def draw_together(runs: dict[str, dict[str, Any]], out: Path) -> None:
    """All runs in one panel, with their folders where rules do not tell them apart; those without attack are dashed."""
    figure, axis = plt.subplots(figsize=(8, 4.5))
    told = {name: ", no attack" * (run["config"]["attack"] == "no-attack") for name, run in runs.items()}
    several = len({label(name, run, several=False) + told[name] for name, run in runs.items()}) < len(runs)
    for name, run in runs.items():
        curve = {int(k): 100 * v for k, v in run["accuracy_by_round"].items()}
        honest = bool(told[name])
        text = label(name, run, several) + told[name]
        axis.plot(list(curve), list(curve.values()), label=text, linewidth=1.2, linestyle="--" if honest else "-")
    axis.set_xlabel("round")
    axis.set_ylabel("accuracy, %")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(out, metadata=NO_DATE)


def draw_score(runs: dict[str, dict[str, Any]], name: str, out: Path, as_map: bool = False) -> None:
    """A panel for each run that has the score: clients over rounds, each a line, or each a row of a map."""
    drawn = {title: run for title, run in runs.items() if name in run}
    if not drawn:
        return
    across = min(2, len(drawn))
    down = ceil(len(drawn) / across)
    height = 1.6 if as_map else 2.6
    size = (5.5 * across, height * down + 0.4)
    figure, axes = plt.subplots(down, across, figsize=size, squeeze=False, layout="constrained" if as_map else None)
    of_one_rule = len({title.partition(" under ")[0] for title in drawn}) == 1
    top = max(value for run in drawn.values() for values in run[name].values() for value in values if value is not None)
    for axis, (title, run) in zip(axes.flat, drawn.items(), strict=False):
        if as_map:
            image = _map(axis, run, name, top)
        else:
            _lines(axis, run, name)
        axis.set_title(title.partition(" under ")[2] if of_one_rule else title, fontsize=8)
        axis.set_xlabel("round", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axis in axes.flat[len(drawn) :]:
        axis.axis("off")
    for row in axes:
        row[0].set_ylabel("client" if as_map else name, fontsize=8)
    if as_map:
        bar = figure.colorbar(image, ax=axes, shrink=0.6, aspect=30)
        bar.set_label(name, fontsize=8)
    else:
        figure.tight_layout(rect=(0, 0, 1, 1 - 0.3 / size[1]))
        sides = [plt.Line2D([], [], color="tab:blue"), plt.Line2D([], [], color="tab:red", linestyle="--")]
        figure.legend(sides, ["honest", "byzantine"], loc="upper center", ncol=2, fontsize=8)
    figure.savefig(out, metadata=NO_DATE)


def _lines(axis: Axes, run: dict[str, Any], name: str) -> None:
    """A line a client, those of byzantine ones dashed."""
    byzantine = clients_of(run)
    for client, values in enumerate(zip(*run[name].values(), strict=True)):
        # Lines that lie on each other are told apart by a small step to the side, where the clients are few.
        step = 0.02 * client if run["config"]["clients"] <= FEW else 0.0
        moved = [int(number) + step for number in run[name]]
        shown = [float("nan") if value is None else value for value in values]
        side = {"color": "tab:red", "linestyle": "--"} if client in byzantine else {"color": "tab:blue"}
        axis.plot(moved, shown, linewidth=1.1, alpha=0.7, **side)
    axis.grid(alpha=0.3)


def _map(axis: Axes, run: dict[str, Any], name: str, top: float) -> AxesImage:
    """A row a client, byzantine ones at the bottom, below a line."""
    byzantine = clients_of(run)
    clients = sorted(range(run["config"]["clients"]), key=lambda client: (client in byzantine, client))
    columns = list(run[name].values())
    cells = [[float("nan") if column[c] is None else column[c] for column in columns] for c in clients]
    rounds = [int(number) for number in run[name]]
    honest = len(clients) - len(byzantine)
    image = axis.imshow(
        cells,
        aspect="auto",
        cmap="Blues",
        vmin=0,
        vmax=top,
        interpolation="nearest",
        extent=(rounds[0] - 0.5, rounds[-1] + 0.5, len(clients) - 0.5, -0.5),
    )
    axis.axhline(honest - 0.5, color="tab:red", linewidth=1)
    if len(clients) <= FEW:
        axis.set_yticks(range(len(clients)), [str(client) for client in clients])
        for tick, client in zip(axis.get_yticklabels(), clients, strict=True):
            tick.set_color("tab:red" if client in byzantine else "black")
    return image


FEW = 20
"""Clients that are told apart one by one."""


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
    parser.add_argument("--level", type=float, help="accuracy in per cent to draw a line at, where panels are apart")
    parser.add_argument("--score", help="draw this score of each client, a panel a run")
    parser.add_argument("--map", action="store_true", help="a score as a map with a row a client, not as lines")
    given = parser.parse_args()
    runs = json.loads(given.runs.read_text(encoding="utf-8"))
    matching = {name: run for name, run in runs.items() if re.search(given.match, name)}
    if given.score:
        draw_score(matching, given.score, given.out, given.map)
    elif matching:
        draw(matching, given.out, given.together, given.level)


if __name__ == "__main__":
    main()
