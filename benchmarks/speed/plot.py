"""The plot of ``docs/evidence/speed.md``: each rule and its peers as multiples of the time to read the stack."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot

from benchmarks.speed.judge import BUDGETS, Data, at, best, reference

COLOURS = {"fedward": "#111111", "ByzFL": "#d1495b", "ByzPy": "#edae49", "torchjd": "#00798c", "Flower": "#8d6a9f"}
MARKS = {"fedward": "o", "ByzFL": "s", "ByzPy": "^", "torchjd": "D", "Flower": "v"}


def points(data: Data) -> list[tuple[str, float, dict[str, float]]]:
    """Of every line: its name, what its budget allows (NaN without one), multiples of ``read`` by library."""
    n, d = reference(data)
    found = []
    for name in dict.fromkeys(r["name"] for r in data["lines"]):
        record = at(data, name, n, d)
        if record is None or "read" not in record or best(record) is None:
            continue
        read = record["read"]["min"]
        of = {"fedward": record["seconds"]["min"] / read}
        of |= {p["library"]: p["seconds"]["min"] / read for p in record["peers"] if "seconds" in p}
        allowed = BUDGETS[name].seconds(record) / read if name in BUDGETS else float("nan")
        found.append((name, allowed, of))
    return sorted(found, key=lambda point: point[2]["fedward"])


def plot(data: Data, file: Path) -> None:
    """Draw it; the same data give the same file."""
    shown = points(data)
    n, d = reference(data)
    with matplotlib.rc_context({"svg.hashsalt": "speed", "font.size": 8}):
        figure, axes = pyplot.subplots(figsize=(8, 1 + 0.19 * max(len(shown), 1)), layout="constrained")
        for row, (_, allowed, _) in enumerate(shown):
            axes.plot([allowed], [row], "|", color="#2a9d8f", markersize=9, markeredgewidth=2)
        for library, colour in COLOURS.items():
            known = [(of[library], row) for row, (_, _, of) in enumerate(shown) if library in of]
            if known:
                axes.plot(*zip(*known, strict=True), MARKS[library], color=colour, markersize=4, label=library)
        axes.plot([], [], "|", color="#2a9d8f", markersize=9, markeredgewidth=2, label="budget")
        axes.set_yticks(range(len(shown)), [name for name, _, _ in shown])
        axes.set_ylim(-1, max(len(shown), 1))
        axes.set_xscale("log")
        axes.set_xlabel(f"time of G.sum() = 1; n = {n}, d = {d:,}")
        axes.grid(axis="x", color="#dddddd", linewidth=0.6)
        figure.legend(loc="outside upper center", ncols=len(COLOURS) + 1)
        figure.savefig(file, format="svg", metadata={"Date": None})
        pyplot.close(figure)
