"""The answer of a sweep as one table: rules by attacks, mean and deviation over seeds, the paper's number beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from statistics import fmean, stdev

from ..published.compare import WITHIN, WITHIN_IN_SMALL
from ..sweeps import Row
from ..sweeps.measures import OverAttacks
from .pieces import NONE, NOTHING_LEARNED, breakable
from .style import shade
from .sweep_measures import BEST, OVER_SEEDS, Measure, told_of
from .sweep_skips import rounds_skipped
from .sweep_table import Crossing, Grid, SweepData, attacked

Marks = Mapping[str, Sequence[str]]
"""Of each filter, its values: a value goes by its number."""


def mark(marks: Marks, values: Mapping[str, str]) -> str:
    """What something is of, as the filters of the page read it: ``data-is="rule=0 attack=3"``."""
    text = mark_text(marks, values)
    return f' data-is="{escape(text)}"' if text else ""


def mark_text(marks: Marks, values: Mapping[str, str]) -> str:
    """The same without the name of the attribute; keys that no filter is about are left out."""
    found = {key: value for key, value in values.items() if len(marks.get(key, ())) > 1 and value in marks[key]}
    return " ".join(f"{key}={marks[key].index(value)}" for key, value in found.items())


def heat_table(grid: Grid, marks: Marks, titled: bool) -> str:
    """A grid as HTML, with its title where it is one of several."""
    means = [place.over.mean for place in grid.places if place.over.mean is not None]
    top = max(means, default=1.0)
    bottom = min([*means, top - 0.1])  # so that a spread of a point does not look like a collapse
    summed = sum(map(attacked, grid.attacks)) > 1
    body = []
    for line in grid.lines:
        cells = [_cell(grid, line.places.get(attack), attack, bottom, top, marks) for attack in grid.attacks]
        body.append(cells + (_across(grid.across(line), bottom, top) if summed else []))
    more = ('<th class="across">worst</th>', '<th title="over all attacks">mean</th>')
    return framed(grid, marks, titled, body, more if summed else ())


def measure_table(grid: Grid, measure: Measure, marks: Marks, titled: bool) -> str:
    """A grid as HTML with this measure in its cells."""
    means = [fmean(values) for place in grid.places if (values := measure.over(place))]
    limits = min(means, default=0.0), max(means, default=0.0)

    def cells(line: dict[str, Crossing]) -> Iterator[str]:
        for attack in grid.attacks:
            yield _measured(measure, line.get(attack), mark(marks, {"attack": attack}), limits)

    return framed(grid, marks, titled, [list(cells(dict(line.places))) for line in grid.lines])


def framed(grid: Grid, marks: Marks, titled: bool, body: Sequence[Sequence[str]], more: Sequence[str] = ()) -> str:
    """A table of a grid: its cells, a list a line, with heads and what stands before each line.

    Args:
        grid: the grid.
        marks: what the filters of the page are about.
        titled: whether it is one of several.
        body: HTML of the cells.
        more: heads of the columns beyond the attacks.
    """
    head = ['<th class="rule">Rule</th>', *(f'<th class="setting">{escape(key)}</th>' for key in grid.keys)]
    head += [f"<th{mark(marks, {'attack': attack})}>{breakable(attack)}</th>" for attack in grid.attacks]
    rows = []
    for line, its in zip(grid.lines, body, strict=True):
        told = " · ".join(f"{key} {value}" for key, value in line.settings.items() if value)
        small = f'<small class="narrow">{breakable(told)}</small>' if told else ""
        cells = [f'<th class="rule">{breakable(line.rule)}{small}</th>']
        cells += [f'<th class="setting">{breakable(value)}</th>' for value in line.settings.values()]
        is_of = mark(marks, {"rule": line.rule, **line.settings})
        rows.append(f"<tr{is_of}>{''.join([*cells, *its])}</tr>\n")
    of = mark(marks, {"grid": grid.title})
    title = f"<h3>{escape(grid.title)}</h3>\n" if titled else ""
    return (
        f'<section{of}>{title}<div class="scroll"><table class="heat answer">'
        f"<thead><tr>{''.join([*head, *more])}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div></section>\n"
    )


def caption_of(data: SweepData, found: Sequence[Grid]) -> str:
    """What the table shows, in sentences."""
    told = [
        f"{escape(told_of(BEST, data.rows))}, mean ± {OVER_SEEDS}; the darker, the better; bold, the best "
        "of a column in the same setting. Worst is the least of a line under any attack, with the attack; mean is that "
        "over all attacks. A cell leads to its runs."
    ]
    if any(place.published for grid in found for place in grid.places) and data.source is not None:
        alike = f"within {WITHIN} points, or a collapse for a collapse"
        if data.profile is not None:
            alike = (
                f"as far below the mean without attack as there, within {WITHIN_IN_SMALL:.0f} points, or a collapse "
                "for a collapse"
            )
        told.append(
            f"Below: the published number ({escape(data.source.paper)}, {escape(data.source.place)}) and how far ours "
            f'is from it, <span class="beside same">{alike}</span> or <span class="beside other">not</span>.'
        )
        if data.profile is not None:
            told.append(
                f"<b>These runs have the settings of the profile {escape(data.profile)}, not those of the paper</b>, "
                "so that the differences say what is to be expected of it, and nothing of the paper."
            )
    return " ".join(told)


def verdicts_of(found: Sequence[Grid]) -> tuple[int, int]:
    """How many published accuracies are reproduced, and how many there are beside a figure of ours."""
    told = [place.verdict for grid in found for place in grid.places]
    return told.count("reproduced"), told.count("reproduced") + told.count("differs")


def _cell(grid: Grid, place: Crossing | None, attack: str, bottom: float, top: float, marks: Marks) -> str:
    of = mark(marks, {"attack": attack})
    if place is None:
        return f'<td{of} class="none">{NONE}</td>'
    over = place.over
    seeds = [f"seed {row.config.get('seed', 0)}: {_said(row)}" for row in over.rows]
    title = escape(f"{place.title}\n" + "\n".join(seeds))
    link = f'href="#run-{place.number}" title="{title}"'
    if over.mean is None:
        state = _state(over.rows)
        return f'<td{of} class="none"><a {link}>{escape(state)}</a></td>'
    best = ' class="best"' if BEST.is_best(place, grid) else ""
    spread = "" if over.std is None else f' <span class="spread">±{100 * over.std:.2f}</span>'
    few = _few(over.rows, [row.best for row in over.rows]) + _skipped(place)
    return (
        f'<td{of}{best} style="{shade((over.mean - bottom) / (top - bottom))}"><a {link}>{100 * over.mean:.2f}{spread}'
        f"</a>{few}{_beside(place, over.mean)}</td>"
    )


def _measured(measure: Measure, place: Crossing | None, of: str, limits: tuple[float, float]) -> str:
    values = [] if place is None else measure.over(place)
    if place is None or not values:
        return f'<td{of} class="none">{NONE}</td>'
    mean, (least, most) = fmean(values), limits
    level = (mean - least) / (most - least) if most > least else 0.5
    spread = f' <span class="spread">±{stdev(values):.{measure.digits}f}</span>' if len(values) > 1 else ""
    shown = f"{mean + 0.0:.{measure.digits}f}".replace("-", "&minus;")
    few = _few(place.over.rows, [measure.of(row) for row in place.over.rows]) + _skipped(place)
    return (
        f'<td{of} style="{shade(level if measure.higher else 1 - level)}">'
        f'<a href="#run-{place.number}" title="{escape(place.title)}">{shown}{spread}</a>{few}</td>'
    )


def _state(rows: Sequence[Row]) -> str:
    """What is to be said of seeds none of which has a figure."""
    if any(row.status == "failed" for row in rows):
        return "failed"
    return NOTHING_LEARNED if any(row.in_vain for row in rows) else rows[0].status


def _few(rows: Sequence[Row], values: Sequence[float | None]) -> str:
    """That a figure is not of all seeds, and what is to be said of others that have come far enough to have one."""
    known = [row for row, value in zip(rows, values, strict=True) if value is not None]
    counted = sum(row.counts for row in known)
    if counted == len(rows):
        return ""
    cut = sum(row.status != "done" for row in known)
    vain = len(known) - counted - cut
    more = f", {cut} not finished" * bool(cut) + f", {vain} learned nothing" * bool(vain)
    return f"<small>{counted} of {len(rows)} seeds{more}</small>"


def _skipped(place: Crossing) -> str:
    """In how many rounds behind a figure no step was taken."""
    skipped, rounds = rounds_skipped(place.over.rows)
    return f"<small>no step in {skipped:,} of {rounds:,} rounds</small>" if skipped else ""


def _said(row: Row) -> str:
    told = NOTHING_LEARNED if row.in_vain else row.status
    return told if row.best is None else f"{row.best:.2%}" + (f" ({told})" if told != "done" else "")


def _beside(place: Crossing, mean: float) -> str:
    """The published number, and how far ours is from it."""
    number = place.published
    if number is None:
        return ""
    ours = 100 * mean
    kind = {"reproduced": " same", "differs": " other"}.get(place.verdict or "", "")
    note = f"{number.row}, {number.column}. {number.note}".strip()
    off = round(ours - number.value, 2) + 0.0  # no -0.00
    return f'<small class="beside{kind}" title="{escape(note)}">{escape(number.text)} {_signed(off)}</small>'


def _signed(points: float) -> str:
    return f"{points:+.2f}".replace("-", "&minus;")


def _across(across: OverAttacks, bottom: float, top: float) -> list[str]:
    if across.worst is None:
        return [f'<td class="none">{NONE}</td>'] * 2
    missing = f"<small>{len(across.missing)} missing</small>" if across.missing else ""
    least = "&le; " if across.missing else ""
    worst = (
        f'<td class="across" style="{shade((across.worst - bottom) / (top - bottom))}">{least}{100 * across.worst:.2f}'
        f"<small>{breakable(across.worst_attack or '')}</small>{missing}</td>"
    )
    if across.mean is None:
        return [worst, f'<td class="none">{NONE}{missing}</td>']
    mean = f'<td style="{shade((across.mean - bottom) / (top - bottom))}">{100 * across.mean:.2f}</td>'
    return [worst, mean]
