"""The page about a sweep: the answer first, then curves, figures along its axes, and every cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape

from ..sim import Record
from .curves import Curve, Panel, legend, panel_box, panel_grid, panels_section
from .grid import unique
from .pieces import count, document, figure
from .sweep_axes import Axis, axes_of, axis_figure, panel_title
from .sweep_cells import cell_sections
from .sweep_heat import Marks, caption_of, heat_table, mark_text, verdicts_of
from .sweep_table import Crossing, Grid, SweepData, as_shown, grids

_FILTER_NAMES = {"grid": "table", "f": "f"}


def render_sweep(data: SweepData) -> str:
    """The page as a string.

    Raises:
        ReportError: plotly is not installed.
    """
    found = grids(data)
    marks = _marks(found)
    body = (
        _filters(marks),
        "".join(heat_table(grid, marks, len(found) > 1) for grid in found),
        f'<p class="caption">{caption_of(data, found)}</p>\n',
        "".join(f'<p class="note">{escape(note)}</p>\n' for note in _notes(data)),
        _curves(data, found, marks),
        _axes(found, marks),
        _cells(data, found, marks),
    )
    return document(data.title, _lead(data, found), "".join(body), "overview")


def _rules(found: Sequence[Grid]) -> list[str]:
    return unique([line.rule for grid in found for line in grid.lines])


def _marks(found: Sequence[Grid]) -> Marks:
    """What the filters of the page are about."""
    marks = {"grid": unique([grid.title for grid in found]), "rule": _rules(found)}
    marks["attack"] = unique([attack for grid in found for attack in grid.attacks])
    for grid in found:
        for key in grid.keys:
            there = [line.settings[key] for line in grid.lines]
            marks[key] = unique([*marks.get(key, []), *there])
    return marks


def _filters(marks: Marks) -> str:
    boxes = []
    for key, values in marks.items():
        if len(values) > 1:
            choices = "".join(f'<option value="{i}">{escape(value or "-")}</option>' for i, value in enumerate(values))
            name = escape(_FILTER_NAMES.get(key, key.replace("_", " ")))
            boxes.append(
                f'<label>{name} <select data-key="{key}"><option value="">all</option>{choices}</select></label>'
            )
    return f'<div class="filters">{"".join(boxes)}</div>\n' if boxes else ""


def _lead(data: SweepData, found: Sequence[Grid]) -> str:
    places = [place for grid in found for place in grid.places]
    states = Counter(row.status for row in data.rows)
    facts = [count(len(places), "cell")]
    seeds = max((len(place.over.rows) for place in places), default=0)
    if seeds > 1:
        facts.append(count(seeds, "seed"))
    if states.keys() != {"done"}:
        facts.append(", ".join(f"{number} {status}" for status, number in states.items()))
    for key, words in (("data", "{}"), ("model", "{}"), ("clients", "{} clients"), ("rounds", "{} rounds")):
        values = {as_shown(row.config, key) for row in data.rows}
        if len(values) == 1:
            [value] = values
            if value:
                facts.append(words.format(escape(value)))
    same, compared = verdicts_of(found)
    if compared:
        facts.append(f"{same} of {compared} published numbers reproduced")
    if data.profile is not None:
        facts.append(f"profile {escape(data.profile)}")
    return " &middot; ".join(facts)


def _notes(data: SweepData) -> list[str]:
    """What a reader of the figures should know: that code differed, and what the store says."""
    notes = list(data.notes)
    for what, versions in (("code", {row.code for row in data.rows}), ("PyTorch", {row.torch for row in data.rows})):
        known = sorted(version for version in versions if version)
        if len(known) > 1:
            notes.append(f"Not all cells were made by the same {what}: {', '.join(known)}.")
    return notes


# --- curves ---------------------------------------------------------------------------------------------------


def _curves(data: SweepData, found: Sequence[Grid], marks: Marks) -> str:
    panels = [panel for grid in found for panel in _panels(data, grid, marks, len(found) > 1)]
    drawn = panels_section("curves", panels, marks["rule"])
    if not drawn:
        return ""
    seeds = " The line is the mean over seeds and the band one standard deviation to both sides."
    several = any(len(curve.runs) > 1 for panel in panels for curve in panel.curves)
    caption = (
        "Test accuracy over rounds, all panels on the same scale."
        + seeds * several
        + " Click a rule to hide it everywhere, double-click to see it alone."
    )
    return f'<h2>Training</h2>\n{drawn}<p class="caption">{caption}</p>\n'


def _panels(data: SweepData, grid: Grid, marks: Marks, titled: bool) -> list[Panel]:
    """A panel an attack and setting, in which rules are compared."""
    found = []
    for attack in grid.attacks:
        together: dict[tuple[tuple[str, str], ...], list[Crossing]] = {}
        for line in grid.lines:
            if attack in line.places:
                together.setdefault(tuple(line.settings.items()), []).append(line.places[attack])
        for settings, places in together.items():
            title = panel_title(attack, dict(settings))
            title = f"{grid.title} · {title}" if titled else title
            curves = tuple(Curve(name=p.rule, label=p.title, runs=_records(data, p)) for p in places)
            of = mark_text(marks, {"grid": grid.title, "attack": attack, **dict(settings)})
            found.append(Panel(title=title, curves=curves, marks=of))
    return found


def _records(data: SweepData, place: Crossing) -> tuple[Sequence[Record], ...]:
    return tuple(data.records[row.cell] for row in place.over.rows if row.cell in data.records)


# --- along an axis --------------------------------------------------------------------------------------------


def _axes(found: Sequence[Grid], marks: Marks) -> str:
    axes = [(grid, axis) for grid in found for axis in axes_of(grid)]
    return "".join(_axis(f"axis-{number}", grid, axis, marks) for number, (grid, axis) in enumerate(axes, 1))


def _axis(prefix: str, grid: Grid, axis: Axis, marks: Marks) -> str:
    """The figures of one axis, one an attack and setting."""
    # Lines that stand for several rules, krum:f=..., have colours of their own.
    names, key = (axis.names, prefix) if axis.key.startswith("rule") else (marks["rule"], "rule")
    boxes: list[str] = []
    for attack in grid.attacks:
        for others in axis.settings:
            drawn = axis_figure(axis, attack, others, names, key)
            if drawn is not None:
                title = panel_title(attack, dict(others))
                of = mark_text(marks, {"grid": grid.title, "attack": attack, **dict(others)})
                spoken = f"{title}, by {axis.title}"
                boxes.append(panel_box(figure(f"{prefix}-{len(boxes) + 1}", drawn, "", spoken), title, of))
    heading = " · ".join((f"By {axis.title}", *(title for title in (grid.title,) if len(marks["grid"]) > 1)))
    told = "Best test accuracy, mean over seeds; bars are one standard deviation."
    truth = "" if axis.truth is None else f" The dotted line is what would be right, {axis.truth:g}."
    return (
        f'<section data-is="{mark_text(marks, {"grid": grid.title})}"><h2>{escape(heading)}</h2>\n'
        + legend(axis.names, names, key)
        + panel_grid(boxes)
        + f'<p class="caption">{told}{truth}</p></section>\n'
    )


# --- cells ----------------------------------------------------------------------------------------------------


def _cells(data: SweepData, found: Sequence[Grid], marks: Marks) -> str:
    buttons = '<p><button data-open="1">Open all</button><button data-open="0">Close all</button></p>\n'
    sections = "".join(cell_sections(data, grid.places, marks, grid.title) for grid in found)
    return f"<h2>Cell by cell</h2>\n{buttons}{sections}"
