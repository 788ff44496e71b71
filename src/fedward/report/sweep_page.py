"""The page about a sweep: the answer first, then curves, figures along its axes, and every cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape

from ..sweeps.choices import Choice
from ..sweeps.trials import values_told
from .curves import Panel, legend, panel_box, panel_grid, panels_section
from .grid import unique
from .pieces import breakable, count, document, figure, numbered, table
from .sweep_axes import Axis, axes_of, axis_figure, panel_title
from .sweep_cells import cell_sections
from .sweep_finished import in_vain_told
from .sweep_heat import Marks, caption_of, heat_table, mark_text, measure_table, verdicts_of
from .sweep_measures import Measure, known_measures, measure_caption
from .sweep_panels import trainings
from .sweep_skips import skips_told
from .sweep_table import Grid, SweepData, as_shown, grids

_FILTER_NAMES = {"grid": "table", "f": "f"}


def render_sweep(data: SweepData) -> str:
    """The page as a string.

    Raises:
        ReportError: plotly is not installed.
    """
    found = grids(data)
    marks = _marks(found)
    others = known_measures(found)
    body = (
        _filters(marks, others),
        _answer(data, found, marks, others),
        "".join(f'<p class="note">{escape(note)}</p>\n' for note in _notes(data)),
        _curves(data, found, marks),
        _axes(found, marks),
        _tuning(data.choices),
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


def _answer(data: SweepData, found: Sequence[Grid], marks: Marks, others: Sequence[Measure]) -> str:
    """The tables with accuracies, and those with other measures, of which the page shows one kind at a time."""
    several = len(found) > 1
    accuracies = "".join(heat_table(grid, marks, several) for grid in found)
    parts = [f'<div data-measure="best">{accuracies}<p class="caption">{caption_of(data, found)}</p>\n</div>']
    for measure in others:
        tables = "".join(measure_table(grid, measure, marks, several) for grid in found)
        told = f'<p class="caption">{measure_caption(measure)}</p>\n'
        parts.append(f'<div data-measure="{measure.key}" hidden>{tables}{told}</div>')
    return "".join(parts)


def _filters(marks: Marks, others: Sequence[Measure]) -> str:
    boxes = []
    if others:
        choices = "".join(f'<option value="{one.key}">{escape(one.name)}</option>' for one in others)
        shown = f'<select id="measure"><option value="best">best accuracy</option>{choices}</select>'
        boxes.append(f"<label>show {shown}</label>")
    for key, values in marks.items():
        if len(values) > 1:
            choices = "".join(f'<option value="{i}">{escape(value or "-")}</option>' for i, value in enumerate(values))
            name = escape(_FILTER_NAMES.get(key, key.replace("_", " ")))
            shown = f'<select data-key="{escape(key)}"><option value="">all</option>{choices}</select>'
            boxes.append(f"<label>{name} {shown}</label>")
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
    for key, noun in (("data", ""), ("model", ""), ("clients", "client"), ("rounds", "round")):
        values = {as_shown(row.config, key) for row in data.rows}
        if len(values) == 1:
            [value] = values
            if value:
                facts.append(escape(numbered(value, noun) if noun else value))
    same, compared = verdicts_of(found)
    if compared:
        small = "" if data.profile is None else " in small"
        facts.append(f"{same} of {compared} published numbers reproduced{small}")
    if data.profile is not None:
        facts.append(f"profile {escape(data.profile)}")
    return " &middot; ".join(facts)


def _notes(data: SweepData) -> list[str]:
    """What a reader of the figures should know: that code differed, and what the store says."""
    notes = [*data.notes, *data.edited, *in_vain_told(data), *filter(None, [skips_told(grids(data))])]
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
    seeds = " The line is the mean over seeds and the band one standard deviation, with n - 1, to both sides."
    several = any(len(curve.runs) > 1 for panel in panels for curve in panel.curves)
    caption = (
        "Test accuracy over rounds, all panels on the same scale."
        + seeds * several
        + " Click a rule to hide it everywhere, double-click to see it alone."
    )
    return f'<h2>Training</h2>\n{drawn}<p class="caption">{caption}</p>\n'


def _panels(data: SweepData, grid: Grid, marks: Marks, titled: bool) -> Iterator[Panel]:
    """A panel an attack and setting, in which rules are compared."""
    for training in trainings(data, grid, titled):
        of = mark_text(marks, {"grid": grid.title, "attack": training.attack, **training.settings})
        yield Panel(title=training.title, curves=training.curves, marks=of)


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
    if not boxes:
        return ""  # no two runs along it have come far enough
    heading = " · ".join((f"By {axis.title}", *(title for title in (grid.title,) if len(marks["grid"]) > 1)))
    told = "Best test accuracy, mean over seeds; bars are one standard deviation, with n - 1."
    truth = "" if axis.truth is None else f" The dotted line is what would be right, {axis.truth:g}."
    return (
        f'<section data-is="{mark_text(marks, {"grid": grid.title})}"><h2>{escape(heading)}</h2>\n'
        + legend(axis.names, names, key)
        + panel_grid(boxes)
        + f'<p class="caption">{told}{truth}</p></section>\n'
    )


# --- tuning ---------------------------------------------------------------------------------------------------


def _tuning(choices: Sequence[Choice]) -> str:
    """What was chosen on the validation split, and the budget of that: what the trials of all contests took."""
    if not choices:
        return ""
    lines = []
    for choice in choices:
        aim = "without attack" if choice.purpose == "clean" else f"worst attack: {choice.attack}"
        reached = f"{100 * choice.score:.2f}"
        figures = f"{choice.candidates:,}", f"{choice.trials:,}", f"{choice.rounds:,}"
        words = (choice.contest, aim, values_told(choice.values) or "the only candidate")
        lines.append([*map(breakable, words), reached, *figures])
    contests = {choice.contest: choice for choice in choices}.values()
    seconds = [choice.seconds for choice in contests if choice.seconds is not None]
    trials, rounds = sum(one.trials for one in contests), sum(one.rounds for one in contests)
    took = f", {sum(seconds) / 60:,.0f} minutes of a core" if seconds else ""
    head = ("rule and setting", "best", "chosen", "accuracy (%)", "candidates", "trials", "rounds")
    return (
        f"<h2>Tuning</h2>\n{table(head, lines, 3)}"
        f'<p class="caption">Chosen on a validation split, accuracy there; nothing by the test set. The budget of the '
        f"whole: {count(trials, 'trial')}, {count(rounds, 'round')}{took}.</p>\n"
    )


# --- cells ----------------------------------------------------------------------------------------------------


def _cells(data: SweepData, found: Sequence[Grid], marks: Marks) -> str:
    buttons = '<p><button data-open="1">Open all</button><button data-open="0">Close all</button></p>\n'
    sections = "".join(cell_sections(data, grid.places, marks, grid.title) for grid in found)
    return f"<h2>Cell by cell</h2>\n{buttons}{sections}"
