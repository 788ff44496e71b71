"""Test accuracies over rounds: a panel an attack, a colour a rule, a band where runs differ in their seed alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from statistics import fmean, stdev
from typing import Any

from ..sim import Record
from ..sim.record import mean_of_known
from .pieces import breakable, count, figure
from .series import Figure, as_floats, drawn_as, for_json, step_of
from .style import DASHES, PALETTE, base_axis, base_layout, margins, round_axis, safe_text

_HEIGHT = 280
_ALONE = 400
_STROKES = {"solid": "", "dash": "6 4", "dot": "2 3", "dashdot": "6 3 2 3"}
"""What SVG calls plotly's dashes."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Runs that differ in their seed alone, drawn as one line.

    Attributes:
        name: which gives it its colour.
        label: on hovering.
        runs: the records of each.
    """

    name: str
    label: str
    runs: tuple[Sequence[Record], ...]

    @property
    def points(self) -> list[Point]:
        """What was tested, by round; thinned out if there is much of it."""
        tests: dict[int, list[Record]] = {}
        for records in self.runs:
            for record in records:
                if record.accuracy is not None:
                    tests.setdefault(record.round, []).append(record)
        found = [Point.of(tests[number]) for number in sorted(tests)]
        return found[:: step_of(len(found))]


@dataclass(frozen=True, kw_only=True)
class Point:
    """The tests of one round; ``spread`` is their standard deviation with n - 1, None of a single one."""

    round: int
    accuracies: tuple[float, ...]
    loss: float | None

    @classmethod
    def of(cls, tests: Sequence[Record]) -> Point:
        """Of the tests of a round, one a run."""
        accuracies = tuple(record.accuracy for record in tests if record.accuracy is not None)
        return cls(round=tests[0].round, accuracies=accuracies, loss=mean_of_known(record.loss for record in tests))

    @property
    def mean(self) -> float:
        """Over runs."""
        return fmean(self.accuracies)

    @property
    def spread(self) -> float | None:
        """Over runs."""
        return stdev(self.accuracies) if len(self.accuracies) > 1 else None


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Curves that are drawn together.

    Attributes:
        title: a heading.
        curves: of different names.
        marks: what it is of, for the filters of the page: ``attack=0``.
    """

    title: str
    curves: tuple[Curve, ...]
    marks: str = ""


def line_style(index: int) -> dict[str, str]:
    """The colour and the dashes of the line with this number."""
    return {"color": PALETTE[index % len(PALETTE)], "dash": DASHES[index // len(PALETTE) % len(DASHES)]}


def panels_section(prefix: str, panels: Sequence[Panel], names: Sequence[str], key: str = "rule") -> str:
    """Panels side by side as HTML, as many as fit, below one legend for all; nothing where nothing was tested."""
    drawn = [(panel, [(curve, curve.points) for curve in panel.curves]) for panel in panels]
    tested = [(panel, [both for both in found if both[1]]) for panel, found in drawn]
    shown = [(panel, found) for panel, found in tested if found]
    if not shown:
        return ""
    scale = _scale(point for _, found in shown for _, points in found for point in points)
    alone = len(shown) == 1
    boxes = []
    for number, (panel, found) in enumerate(shown, 1):
        specification = _panel(found, names, scale, key, _ALONE if alone else _HEIGHT)
        spoken = f"Test accuracy over rounds, {panel.title}"
        boxes.append(panel_box(figure(f"{prefix}-{number}", specification, "", spoken), panel.title, panel.marks))
    there = {curve.name for _, found in shown for curve, _ in found}
    return legend([name for name in names if name in there], names, key) + panel_grid(boxes)


def legend(shown: Iterable[str], names: Sequence[str], key: str) -> str:
    """The names with their lines, each a button that hides its lines on all figures of the page."""
    keys = []
    for name in shown:
        style = line_style(names.index(name))
        dashes = _STROKES[style["dash"]]
        stroke = f'<line x1="0" y1="5" x2="26" y2="5" stroke="{style["color"]}" stroke-dasharray="{dashes}"/>'
        sample = f'<svg width="26" height="10" stroke-width="2.5" aria-hidden="true">{stroke}</svg>'
        mark = f"{key}={names.index(name)}"
        keys.append(f'<button class="line" data-line="{mark}" aria-pressed="true">{sample}{breakable(name)}</button>')
    return f'<div class="legend">{"".join(keys)}</div>\n'


def panel_box(drawn: str, title: str, marks: str = "") -> str:
    """A figure with its heading, one of many."""
    of = f' data-is="{escape(marks)}"' if marks else ""
    return f'<section class="panel"{of}><h3>{breakable(title)}</h3>\n{drawn}</section>\n'


def panel_grid(boxes: Sequence[str]) -> str:
    """Boxes side by side, as many as fit."""
    kind = "panels alone" if len(boxes) == 1 else "panels"
    return f'<div class="{kind}">{"".join(boxes)}</div>\n'


def _scale(points: Iterable[Point]) -> dict[str, Any]:
    """Of both axes: the same in all panels, so that they can be compared."""
    points = list(points)
    measured = [accuracy for point in points for accuracy in point.accuracies]
    least, most = min(measured), max(measured)
    pad = max(0.02, 0.05 * (most - least))
    return {
        "x": [0, 1.02 * max(point.round for point in points)],
        "y": [max(0.0, least - pad), min(1.0, most + pad)],
        "format": ".0%" if most - least > 0.08 else ".1%",
    }


def _panel(
    found: Sequence[tuple[Curve, Sequence[Point]]],
    names: Sequence[str],
    scale: Mapping[str, Any],
    key: str,
    height: int,
) -> Figure:
    data = []
    for curve, points in sorted(found, key=lambda both: names.index(both[0].name)):
        number = names.index(curve.name)
        if any(point.spread is not None for point in points):
            data.append({**_band(points, line_style(number)["color"]), "meta": f"{key}={number}"})
        data.append({**_line(curve, points, line_style(number)), "meta": f"{key}={number}"})
    layout = base_layout(
        height,
        hovermode="closest",
        showlegend=False,
        margin=margins(10, 46, 8),
        xaxis=round_axis(scale["x"], range=scale["x"]),
        yaxis=base_axis(range=scale["y"], tickformat=scale["format"]),
    )
    return {"data": data, "layout": layout}


def _band(points: Sequence[Point], colour: str) -> dict[str, Any]:
    """One standard deviation to both sides; no more than a line where there is one run."""
    rounds = [point.round for point in points]
    upper = [min(1.0, point.mean + (point.spread or 0.0)) for point in points]
    lower = [max(0.0, point.mean - (point.spread or 0.0)) for point in points]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": rounds + rounds[::-1],
        "y": for_json(as_floats(upper + lower[::-1])),
        "fill": "toself",
        "fillcolor": f"rgba({int(colour[1:3], 16)},{int(colour[3:5], 16)},{int(colour[5:7], 16)},0.18)",
        "line": {"width": 0},
        "hoverinfo": "skip",
    }


def _line(curve: Curve, points: Sequence[Point], style: Mapping[str, str]) -> dict[str, Any]:
    several = len(curve.runs) > 1
    losses = for_json(as_floats([point.loss for point in points]))
    told = [[_spread_in_words(point), loss] for point, loss in zip(points, losses, strict=True)]
    return {
        "type": "scatter",
        "mode": drawn_as(points),
        "name": safe_text(curve.name),
        "x": [point.round for point in points],
        "y": for_json(as_floats([point.mean for point in points])),
        "customdata": told,
        "line": {**style, "width": 2},
        "marker": {"size": 5},
        "hovertemplate": f"<b>{safe_text(curve.label)}</b><br>round %{{x}}<br>accuracy %{{y:.2%}}"
        + "%{customdata[0]}" * several
        + "<br>test loss %{customdata[1]}<extra></extra>",
    }


def _spread_in_words(point: Point) -> str:
    spread = "" if point.spread is None else f" ± {point.spread:.2%}"
    return f"{spread}, {count(len(point.accuracies), 'run')}"
