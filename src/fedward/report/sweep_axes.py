"""Accuracies along an axis of a sweep: the share of byzantine clients, s of a partition, f that a rule is told, ..."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from ..sweeps.apart import OWN_CODE, RULE_CODE, named_with_code
from .curves import line_style
from .grid import plain, unique
from .series import Figure
from .style import base_axis, base_layout, margins, safe_text
from .sweep_table import Crossing, Grid, Line

_NUMBER = re.compile(r"(?<![\w.-])-?\d+(?:\.\d+)?(?:e-?\d+)?(?![\w.])")
_GAP = "\0"
"""Stands for a number in the pattern of a text."""
_WORDS = {
    "participation": "participation",
    "dropout": "clients that never answer",
    "late": "clients that answer late",
    "lr": "learning rate",
    "batch_size": "batch size",
    "f": "f that rules are told, times the right one",
}
_TIMES = {"half": "0.5", "expected": "1", "twice": "2"}
"""What rules are told, in units of the byzantine clients that are there."""
_SHARES = ("byzantine", "participation", "dropout", "late")


@dataclass(frozen=True, kw_only=True)
class OnAxis:
    """A line of a grid on an axis: where it stands, and what it has in common with its neighbours."""

    x: float
    line: Line
    name: str
    others: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Axis:
    """Something of which lines have different numbers.

    Attributes:
        key: of the configuration, with the parameter where it is one of a component: ``partition.s``.
        title: in words.
        share: whether the numbers are shares.
        steps: lines with their numbers.
        truth: the number that is right, where it is known.
    """

    key: str
    title: str
    share: bool
    steps: tuple[OnAxis, ...]
    truth: float | None = None

    @property
    def names(self) -> list[str]:
        """What its lines are called."""
        return unique([step.name for step in self.steps])

    @property
    def settings(self) -> list[tuple[tuple[str, str], ...]]:
        """What is the same along a line of the figure, each once."""
        return list(dict.fromkeys(step.others for step in self.steps))

    def series(
        self, attack: str, others: tuple[tuple[str, str], ...]
    ) -> Iterator[tuple[str, list[tuple[float, Crossing]]]]:
        """The lines of a figure by name: places with a figure, in the order of the axis."""
        for name, points in self._places(attack, others):
            reached = [(x, place) for x, place in points if place.over.mean is not None]
            if len({x for x, _ in reached}) > 1:
                yield name, sorted(reached, key=lambda point: point[0])

    def has(self, attack: str, others: tuple[tuple[str, str], ...]) -> bool:
        """Whether a figure will have a line once all runs are finished."""
        return any(len({x for x, _ in points}) > 1 for _, points in self._places(attack, others))

    def _places(
        self, attack: str, others: tuple[tuple[str, str], ...]
    ) -> Iterator[tuple[str, list[tuple[float, Crossing]]]]:
        for name in self.names:
            there = (step for step in self.steps if (step.name, step.others) == (name, others))
            yield name, [(step.x, step.line.places[attack]) for step in there if attack in step.line.places]


def axes_of(grid: Grid) -> list[Axis]:
    """The axes of a grid, also those along which no runs are finished yet: a sweep has the same ones all the time."""
    found: list[Axis] = []
    for key in (*(key for key in grid.keys if key != OWN_CODE), "rule"):  # whose digests may look like numbers
        found += _along(grid, key)
    return [axis for axis in found if any(axis.has(a, o) for a in grid.attacks for o in axis.settings)]


def _along(grid: Grid, key: str) -> Iterator[Axis]:
    """The axes that a key makes: one for each pattern of text of which a single number differs."""

    def text(line: Line) -> str:
        config = _config(line)
        if key == "byzantine":
            # Which they are is on no axis.
            return str(byzantine_of(config)) if _byzantine_share(line) is not None else "unknown"
        if key == "f":
            return _TIMES.get(line.settings[key], line.settings[key])
        # A rule that is told nothing stands where it stands among those that are told something.
        told = plain(config.get("rule", "")) if key == "rule" else line.settings[key]
        return told.replace(_GAP, " ")

    patterns: dict[tuple[str, str], list[Line]] = {}
    for line in grid.lines:
        code = _config(line).get(RULE_CODE, "") if key == "rule" else ""
        patterns.setdefault((_NUMBER.sub(_GAP, text(line)), code), []).append(line)
    for (pattern, _), lines in patterns.items():
        rows = {line: [float(number) for number in _NUMBER.findall(text(line))] for line in lines}
        if not all(isfinite(number) for numbers in rows.values() for number in numbers):
            continue
        places = range(min(map(len, rows.values())))
        differing = [place for place in places if len({numbers[place] for numbers in rows.values()}) > 1]
        for place in differing:
            parameter = _parameter(pattern, place)
            title, share = _title(key, pattern, parameter)
            steps = []
            for line in lines:
                numbers = rows[line]
                x = (_byzantine_share(line) or 0.0) if key == "byzantine" else numbers[place]
                name = line.rule
                if key == "rule":
                    name = named_with_code(_held(pattern, numbers, place), _config(line), "rule")
                steps.append(OnAxis(x=x, line=line, name=name, others=_others(grid, lines, line, key, numbers, place)))
            full = f"{key}.{parameter}" if parameter else key
            truth = {"rule.f": _byzantine(lines), "f": 1.0}.get(full)
            yield Axis(key=full, title=title, share=share, steps=tuple(steps), truth=truth)


def _parameter(pattern: str, place: int) -> str:
    """The name before a number: ``s`` in ``s-fraction:s=0.3``."""
    before = pattern.split(_GAP)[place]
    found = re.search(r"(\w+)=\W*$", before)
    return found[1] if found else ""


def _held(pattern: str, numbers: Sequence[float], place: int) -> str:
    """The text of a rule with all its numbers but one: that is ``...``."""
    told = [f"{number:g}" for number in numbers]
    told[place] = "..."
    parts = pattern.split(_GAP)
    return "".join(part + number for part, number in zip(parts, [*told, ""], strict=True))


def _title(key: str, pattern: str, parameter: str) -> tuple[str, bool]:
    if key == "byzantine":
        return "byzantine clients", True
    if key == "rule":
        return f"{parameter or 'number'} that the rule is told", False
    if parameter:
        return f"{parameter} of {pattern.partition(':')[0]}", False
    return _WORDS.get(key, key.replace("_", " ")), key in _SHARES


def _byzantine(lines: Sequence[Line]) -> float | None:
    """How many clients are byzantine, where that is the same everywhere."""
    found = {byzantine_of(place.over.row.config) for line in lines for place in line.places.values()}
    return found.pop() if len(found) == 1 else None


def _byzantine_share(line: Line) -> float | None:
    """The share of its clients that are byzantine; None of a configuration that does not tell."""
    config = _config(line)
    many, clients = byzantine_of(config), config.get("clients")
    return None if many is None or not isinstance(clients, int) or clients < max(1, many) else many / clients


def _config(line: Line) -> Mapping[str, Any]:
    """Of one of its cells, for what they have in common."""
    return next(iter(line.places.values())).over.row.config


def byzantine_of(config: Mapping[str, Any]) -> int | None:
    """How many clients of a run are byzantine: a number, or which they are; None where neither stands there."""
    byzantine = config.get("byzantine")
    if isinstance(byzantine, list | tuple):
        return len(byzantine)
    names = str(byzantine).removesuffix(",").split(",")
    if not all(name.strip().isdecimal() and len(name) < 10 for name in names):
        return None
    return len(names) if "," in str(byzantine) else int(names[0])


def _others(
    grid: Grid, lines: Sequence[Line], line: Line, key: str, numbers: Sequence[float], place: int
) -> tuple[tuple[str, str], ...]:
    """Settings that stay the same along the axis; those that go together with it are none of them."""
    kept = []
    for other in grid.keys:
        if other != key and not _goes_with(lines, key, other):
            kept.append((other, line.settings[other]))
    if key != "rule":
        kept += [(f"{key} {index}", f"{number:g}") for index, number in enumerate(numbers) if index != place]
    return tuple(kept)


def _goes_with(lines: Sequence[Line], key: str, other: str) -> bool:
    """Whether a setting is told by the one of the axis: each value of that has one of this."""
    if key == "rule":
        return False
    pairs = {(line.settings[key], line.settings[other]) for line in lines}
    return len(pairs) == len({value for value, _ in pairs}) and len({value for _, value in pairs}) > 1


def axis_figure(
    axis: Axis, attack: str, others: tuple[tuple[str, str], ...], names: Sequence[str], key: str
) -> Figure | None:
    """Accuracy along an axis under one attack, a line a name, bars of one standard deviation; None of nothing."""
    data = []
    for name, points in axis.series(attack, others):
        number = names.index(name)
        data.append(
            {**_trace(axis, name, points), "meta": f"{key}={number}", "line": {**line_style(number), "width": 2}}
        )
    if not data:
        return None
    ticks = sorted({x for trace in data for x in trace["x"]})
    layout = base_layout(
        280,
        hovermode="closest",
        showlegend=False,
        margin=margins(10, 46, 8),
        xaxis=base_axis(
            safe_text(axis.title), tickvals=ticks, ticktext=[f"{x:.0%}" if axis.share else f"{x:g}" for x in ticks]
        ),
        yaxis=base_axis(tickformat=".0%", range=[0, 1]),
    )
    if axis.truth is not None:
        stroke = {"color": "#9aa5b1", "width": 1.5, "dash": "dot"}
        layout["shapes"] = [{"type": "line", "x0": axis.truth, "x1": axis.truth, "y0": 0, "y1": 1, "line": stroke}]
    return {"data": data, "layout": layout}


def _trace(axis: Axis, name: str, points: Sequence[tuple[float, Crossing]]) -> dict[str, Any]:
    spreads = [place.over.std for _, place in points]
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": safe_text(name),
        "x": [round(x, 6) for x, _ in points],
        "y": [round(place.over.mean or 0.0, 6) for _, place in points],
        "customdata": [_seeds_in_words(place) for _, place in points],
        "marker": {"size": 6},
        "hovertemplate": f"<b>{safe_text(name)}</b><br>{safe_text(axis.title)} %{{x{':.0%' if axis.share else ''}}}"
        "<br>accuracy %{y:.2%}%{customdata}<extra></extra>",
    }
    if any(spread is not None for spread in spreads):
        trace["error_y"] = {
            "type": "data",
            "array": [round(s or 0.0, 6) for s in spreads],
            "thickness": 1.2,
            "width": 3,
        }
    return trace


def _seeds_in_words(place: Crossing) -> str:
    spread = "" if place.over.std is None else f" ± {place.over.std:.2%}"
    cut = sum(row.status != "done" and row.best is not None for row in place.over.rows)
    rest = f", {cut} not finished" if cut else ""
    return f"{spread}, {len(place.over.values)} of {len(place.over.rows)} seeds{rest}"


def panel_title(attack: str, others: Mapping[str, str]) -> str:
    """The attack, and what else is the same in a figure."""
    more = [f"{key} {value}" for key, value in others.items() if value and " " not in key]
    return " · ".join([attack, *more])
