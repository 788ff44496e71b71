"""Figures of a sweep for a paper, as SVG or PDF, drawn by matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from textwrap import fill
from typing import TYPE_CHECKING, Any

from ..failures import install
from ..registry.naming import unknown
from .curves import Curve, line_style
from .grid import unique
from .labels import labelled, short_labels
from .runs import ReportError
from .sweep_axes import Axis, axes_of, panel_title
from .sweep_finished import finished
from .sweep_panels import of_grid, trainings
from .sweep_table import Crossing, SweepData, grids

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

FIGURES = (".svg", ".pdf")
CURVES = "curves"
_DASHES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}
_WIDTH = 7.0
"""Inches: that of a page with two columns."""
_HEIGHT = 2.1
_ACROSS = 3
_TITLE = 33
"""Letters of a title in a line: as many as fit above a panel."""
_NAME = 90
"""Letters of a name in a line of the legend: as many as fit across the page."""

Along = tuple[Axis, list[tuple[str, list[tuple[float, Crossing]]]]]
Panels = list[tuple[str, "list[Curve] | Along"]]


def choices(data: SweepData) -> list[str]:
    """The figures that there are: one for each axis of the sweep, and the curves of the training."""
    return [*unique([axis.key for grid in grids(data) for axis in axes_of(grid)]), CURVES]


def draw(data: SweepData, ending: str, figure: str | None = None, *, titled: bool = False) -> bytes:
    """A figure as the content of a file.

    Args:
        data: the sweep.
        ending: ``.svg`` or ``.pdf``.
        figure: one of `choices`; the first if None.
        titled: whether the title stands above it.

    Raises:
        ReportError: no such figure, nothing to draw, or matplotlib is not installed.
    """
    data = finished(data)
    there = choices(data)
    chosen = there[0] if figure is None else figure
    if chosen not in there:
        raise ReportError(f"{unknown('figure', chosen, there)}; or leave --figure out, for {there[0]}")
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ReportError(f"figures need matplotlib: {install('figures')}") from error
    data = labelled(data)
    rules = unique([line.rule for grid in grids(data) for line in grid.lines])
    panels = _curve_panels(data) if chosen == CURVES else _axis_panels(data, chosen)
    if not panels:
        some = f"finished runs at two places along {chosen}, or take --figure {CURVES}"
        wait = "the first run to be finished" if chosen == CURVES else some
        raise ReportError(f"{data.title}: there is nothing to draw yet; wait for {wait}")
    # Text stays text, names with $ too, and the same sweep is the same file.
    look: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "fedward", "pdf.fonttype": 42, "font.size": 8}
    with matplotlib.rc_context({**look, "text.parse_math": False}):
        drawing = Figure(layout="constrained")
        FigureCanvasAgg(drawing)
        _drawn(drawing, panels, rules, data.labels)
        if titled:
            drawing.suptitle(data.title, fontsize=9)
        content = BytesIO()
        told = {"Title": data.title, "Date" if ending == ".svg" else "CreationDate": None}
        drawing.savefig(content, format=ending[1:], metadata=told)
    return content.getvalue()


def _curve_panels(data: SweepData) -> Panels:
    several = len(grids(data)) > 1
    drawn = [training for grid in grids(data) for training in trainings(data, grid, several)]
    tested = ((one.title, [curve for curve in one.curves if curve.points]) for one in drawn)
    return [(title, curves) for title, curves in tested if curves]


def _axis_panels(data: SweepData, key: str) -> Panels:
    found: Panels = []
    several = len(grids(data)) > 1
    for grid in grids(data):
        for axis in axes_of(grid):
            for attack in grid.attacks if axis.key == key else ():
                for others in axis.settings:
                    if series := list(axis.series(attack, others)):
                        found.append((of_grid(grid, several, panel_title(attack, dict(others))), (axis, series)))
    return found


def _drawn(drawing: Drawing, panels: Panels, rules: Sequence[str], labels: Mapping[str, str]) -> None:
    """All panels below one legend. Along an axis of rules lines have the texts of these, and get short names here."""
    across = min(_ACROSS, len(panels))
    down = -(-len(panels) // across)
    names = [name for _, content in panels for name in _names(content)]
    short = short_labels([name for name in names if name not in rules], labels)
    rules = unique([*rules, *names])
    drawing.set_size_inches(_WIDTH, _HEIGHT * down)
    boxes = drawing.subplots(down, across, squeeze=False, sharey=True)
    handles: dict[str, Any] = {}
    for number, box in enumerate(boxes.flat):
        if number >= len(panels):
            box.set_visible(False)
            continue
        title, content = panels[number]
        box.set_title(fill(title, _TITLE), fontsize=8)
        box.grid(color="#e4e7eb", linewidth=0.6)
        if isinstance(content, list):
            _draw_curves(box, content, rules, handles)
        else:
            axis, series = content
            _draw_axis(box, axis, series, rules, handles)
    drawing.supylabel("test accuracy (%)", fontsize=8)
    shown = [name for name in rules if name in handles]
    told = [short.get(name, name) for name in shown]
    height = legend_above(drawing, [handles[name] for name in shown], told, loc="outside upper center", frameon=False)
    drawing.set_size_inches(_WIDTH, _HEIGHT * down + height)


def legend_above(drawing: Drawing, handles: Sequence[Any], names: Sequence[str], most: int = 4, **look: Any) -> float:
    """A legend of as many columns as fit beside each other, `most` at most; its height in inches."""
    folded = [fill(name, _NAME) for name in names]
    for columns in range(min(most, len(names)), 0, -1):
        legend = drawing.legend(handles, folded, ncols=columns, **look)
        extent = legend.get_window_extent()
        if columns == 1 or extent.width <= drawing.bbox.width:
            break
        legend.remove()
    return float(extent.height / drawing.dpi)


def _names(content: list[Curve] | Along) -> list[str]:
    return [curve.name for curve in content] if isinstance(content, list) else [name for name, _ in content[1]]


def _look(name: str, rules: Sequence[str]) -> dict[str, Any]:
    style = line_style(rules.index(name))
    return {"color": style["color"], "linestyle": _DASHES[style["dash"]], "linewidth": 1.2}


def _draw_curves(box: Axes, curves: Sequence[Curve], rules: Sequence[str], handles: dict[str, Any]) -> None:
    for curve in curves:
        points = curve.points
        rounds = [point.round for point in points]
        means = [100 * point.mean for point in points]
        look = _look(curve.name, rules)
        [handles[curve.name]] = box.plot(rounds, means, **look)
        if any(point.spread is not None for point in points):
            spreads = [100 * (point.spread or 0.0) for point in points]
            lower = [mean - spread for mean, spread in zip(means, spreads, strict=True)]
            upper = [mean + spread for mean, spread in zip(means, spreads, strict=True)]
            box.fill_between(rounds, lower, upper, color=look["color"], alpha=0.18, linewidth=0)
    box.set_xlabel("round")


def _draw_axis(
    box: Axes,
    axis: Axis,
    series: Sequence[tuple[str, list[tuple[float, Crossing]]]],
    rules: Sequence[str],
    handles: Any,
) -> None:
    ticks: set[float] = set()
    for name, points in series:
        scale = 100 if axis.share else 1
        xs = [scale * x for x, _ in points]
        ticks |= set(xs)
        means = [100 * (place.over.mean or 0.0) for _, place in points]
        spreads = [100 * (place.over.std or 0.0) for _, place in points]
        handles[name] = box.errorbar(
            xs, means, yerr=spreads, marker="o", markersize=3, capsize=2, elinewidth=0.8, **_look(name, rules)
        )
    if axis.truth is not None:
        box.axvline(axis.truth, color="#9aa5b1", linestyle=":", linewidth=1)
    box.set_xticks(sorted(ticks))
    box.set_xlabel(f"{axis.title} (%)" if axis.share else axis.title)
    box.set_ylim(0, 100)
