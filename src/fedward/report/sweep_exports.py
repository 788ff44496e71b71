"""A sweep in the formats of papers: a table for LaTeX or Markdown, every cell as CSV, figures, BibTeX."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..disk import check_folder, write_whole
from ..experiments.spec import RunSpec
from ..sweeps.rows import as_csv
from .bibliography import bibtex
from .grid import unique
from .labels import in_full, labelled
from .pieces import numbered
from .runs import ReportError
from .sweep_figures import FIGURES, draw
from .sweep_finished import finished, unfinished_told
from .sweep_measures import BEST, MINUS, OVER_SEEDS, Measure, measure_of, told_of
from .sweep_page import render_sweep
from .sweep_skips import DAGGER, has_dagger, no_step_told, skips_told
from .sweep_table import NEVER_SHOWN, Crossing, Grid, Line, SweepData, as_shown, attacked, grids

_PLUS_MINUS = "\u00b1"
_COMMON = {
    "data": "{}",
    "model": "{}",
    "partition": "partition {}",
    "clients": "client",
    "byzantine": "byzantine {}",
    "algorithm": "{}",
    "rounds": "round",
    "server": "server {}",
    "lr": "lr {}",
    "momentum": "momentum {}",
}
"""Keys of a setting that a caption tells in any case, and how: around the value, or as its noun."""
_SIGNS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    _PLUS_MINUS: r"$\pm$",
    DAGGER: r"$^\dagger$",
    MINUS: "$-$",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def write_sweep_as(data: SweepData, output: Path, figure: str | None = None, *, titled: bool = False) -> Path:
    """Write a sweep in the format that the ending of the file names; return its path.

    ``.html`` is the page, ``.csv`` a row a cell and seed, ``.tex`` and ``.md`` rules by attacks, ``.svg`` and ``.pdf``
    figures, ``.bib`` where the rules and attacks are from. Tables and figures have the names of
    `fedward.report.labels.short_labels`.

    Args:
        data: the sweep.
        output: the file.
        figure: which one, of `fedward.report.sweep_figures.choices`; if None the first of them.
        titled: whether a figure has the sweep's title above it; it is in the file's metadata in any case.

    Raises:
        ReportError: another ending, no such figure, or what a format needs is not installed.
        OSError: the file cannot be written.
    """
    ending = output.suffix.lower()
    if figure is not None and ending not in FIGURES:
        raise ReportError(f"--figure {figure}: {output.name} is no figure; name a file that ends in .svg or .pdf")
    if data.labels and ending not in _LABELLED:
        raise ReportError(
            f"--label: {output.name} has names as they are written; labels are for {', '.join(_LABELLED)}"
        )
    if data.measure != BEST.key and ending not in _MEASURED:
        raise ReportError(
            f"--measure {data.measure}: {output.name} has no cells to show it in; it is for {' and '.join(_MEASURED)}, "
            "and .csv and .html have all measures"
        )
    if ending in FIGURES:
        content = draw(data, ending, figure, titled=titled)
    elif ending in _TEXTS:
        content = _TEXTS[ending](data).encode(errors="replace")
    else:
        raise ReportError(f"{output}: no format ends in {ending or 'nothing'}; {endings_in_words()}")
    if output.is_dir():
        raise ReportError(f"{output}: is a folder; name a file to write, such as {output / f'table{ending}'}")
    check_folder(output)
    write_whole(output, content)
    return output


def endings_in_words() -> str:
    """What can be written, in words."""
    return f"files end in {', '.join([*_TEXTS, *FIGURES])}"


# --- tables ---------------------------------------------------------------------------------------------------


def markdown(data: SweepData) -> str:
    """Rules by attacks as Markdown: mean and deviation over seeds, the best of a column bold."""
    parts = []
    measure = measure_of(data.measure)
    told, data = _not_as_others(data), finished(data)
    caption = f"{_caption(data, measure, told)}{in_full(data)}"
    found = grids(labelled(data))
    for grid in found:
        heading = f"## {_in_markdown(grid.title)}\n\n" if len(found) > 1 else ""
        head = _head(grid, _in_markdown)
        lines = [_line(grid, line, measure, _in_markdown, lambda text: f"**{text}**") for line in grid.lines]
        sides = ["---"] * (1 + len(grid.keys)) + ["---:"] * (len(head) - 1 - len(grid.keys))
        parts.append(heading + "".join(f"| {' | '.join(cells)} |\n" for cells in (head, sides, *lines)))
    return f"# {_in_markdown(data.title)}\n\n" + "\n".join(parts) + f"\n{_in_markdown(caption)}\n"


def latex(data: SweepData) -> str:
    """The same for LaTeX with booktabs, a table a grid."""
    known = "".join(f"% {' '.join(note.split())}\n" for note in (*data.notes, *data.edited))
    parts = [f"% \\usepackage{{booktabs}}\n{known}"]
    measure = measure_of(data.measure)
    told, data = _not_as_others(data), finished(data)
    caption = f"{_caption(data, measure, told)}{in_full(data)}"
    found = grids(labelled(data))
    for number, grid in enumerate(found, 1):
        head = _head(grid, in_latex)
        lines = [_line(grid, line, measure, in_latex, lambda text: f"\\textbf{{{text}}}") for line in grid.lines]
        columns = "l" * (1 + len(grid.keys)) + "r" * (len(head) - 1 - len(grid.keys))
        title = f"{data.title}, {grid.title}" if len(found) > 1 else data.title
        told = title if measure is BEST else f"{title} {measure.key}"
        label = re.sub(r"[^a-z0-9]+", "-", told.lower()).strip("-") or f"sweep-{number}"
        body = "".join(f"    {' & '.join(cells)} \\\\\n" for cells in lines)
        parts.append(
            "\\begin{table}\n  \\centering\n"
            f"  \\caption{{{in_latex(title)}. {in_latex(caption)}}}\n"
            f"  \\label{{tab:{label}}}\n"
            f"  \\begin{{tabular}}{{{columns}}}\n    \\toprule\n    {' & '.join(head)} \\\\\n    \\midrule\n"
            f"{body}    \\bottomrule\n  \\end{{tabular}}\n\\end{{table}}\n"
        )
    return "\n".join(parts)


def in_latex(text: str) -> str:
    """Text whose signs mean nothing to LaTeX."""
    return "".join(_SIGNS.get(sign, sign) for sign in text)


def _in_markdown(text: str) -> str:
    return re.sub(r"([\\|*_`<>\[\]])", r"\\\1", text.replace("\n", " "))


def _head(grid: Grid, escaped: Callable[[str], str]) -> list[str]:
    worst = ["worst"] if _summed(grid) else []
    return [escaped(text) for text in ("rule", *grid.keys, *grid.attacks, *worst)]


def _line(
    grid: Grid, line: Line, measure: Measure, escaped: Callable[[str], str], bold: Callable[[str], str]
) -> list[str]:
    cells = [escaped(line.rule), *(escaped(value) for value in line.settings.values())]
    for attack in grid.attacks:
        place = line.places.get(attack)
        text = "" if place is None else escaped(measure.shown(place))
        if place is None or not text:
            cells.append("--")
        else:
            text += escaped(DAGGER) if has_dagger(place) else ""
            cells.append(bold(text) if measure.is_best(place, grid) else text)
    if _summed(grid):
        worst = [_worst(grid, one, measure) for one in grid.rivals_of(line)]
        best = measure.best_of([one for one in worst if one is not None] or [0.0])
        own = _worst(grid, line, measure)
        text = "--" if own is None else escaped(f"{own:.{measure.digits}f}".replace("-", MINUS))
        if any(has_dagger(place) and measure.mean(place) == own for place in _attacked(line)):
            text += escaped(DAGGER)
        cells.append(bold(text) if own == best else text)
    return cells


def _worst(grid: Grid, line: Line, measure: Measure) -> float | None:
    """The worst mean of a line under any attack; None where one is missing, since that of others says too much."""
    means = list(grid.by_attack(line, measure.mean).values())
    known = [mean for mean in means if mean is not None]
    return measure.worst_of(known) if known and known == means else None


def _attacked(line: Line) -> Iterator[Crossing]:
    return (place for attack, place in line.places.items() if attacked(attack))


def _summed(grid: Grid) -> bool:
    return sum(map(attacked, grid.attacks)) > 1


def _not_as_others(data: SweepData) -> str:
    """Which runs have no figure, and which figures are not what a reader would take them for, in sentences."""
    marked = skips_told(grids(labelled(data)))
    whole = (unfinished_told(data), no_step_told(data), f"{DAGGER} {marked}" if marked else "", *data.edited)
    return " ".join(filter(None, whole))


def _caption(data: SweepData, measure: Measure, told: str) -> str:
    """What is measured, over how many seeds, what is to be said of some runs, and in which setting."""
    places = [place for grid in grids(data) for place in grid.places]
    seeds = sorted({len(measure.over(place)) for place in places if measure.over(place)})
    many = "no runs yet" if not seeds else f"{seeds[0]} to {seeds[-1]} seeds" if len(seeds) > 1 else f"{seeds[0]} seeds"
    spread = "one seed" if seeds == [1] else f"mean {_PLUS_MINUS} {OVER_SEEDS.replace('seeds', many)}"
    more = f" {told}" if told else ""
    worst = ""
    if any(_summed(grid) for grid in grids(data)):
        worst = f" Worst: the {'least' if measure.higher else 'most'} of a row under any attack."
    what = told_of(measure, data.rows)
    return f"{what}, {spread}; bold, the best of a column in the same setting.{worst}{more} {_setting(data)}"


def _setting(data: SweepData) -> str:
    """What all cells have in common: what a reader asks for first, and what is not as it is if nobody says so.

    What differs has a column or a title of its own.
    """
    parts = []
    for key in unique([*_COMMON, *(key for row in data.rows for key in row.config)]):
        there = [row.config for row in data.rows if row.config.get(key) is not None]
        values = unique([as_shown(config, key) for config in there])
        if len(values) == 1 and (key in _COMMON or _is_told(key, there[0])):
            words = _COMMON.get(key, f"{key.replace('_', ' ')} {{}}")
            parts.append(words.format(values[0]) if "{}" in words else numbered(values[0], words))
    return f"Setting: {', '.join(parts)}." if parts else ""


def _is_told(key: str, config: Mapping[str, Any]) -> bool:
    """Whether a caption names a key of a run for its value: one that is not the usual, and that nothing else says."""
    if key in NEVER_SHOWN or key not in RunSpec.model_fields:
        return False
    if key == "batch_size" and f"batch_size={config[key]}" in str(config.get("algorithm")):
        return False
    return bool(config[key] != RunSpec.model_fields[key].default)


def _csv(data: SweepData) -> str:
    return as_csv(data.rows)


_TEXTS: Mapping[str, Callable[[SweepData], str]] = {
    ".html": render_sweep,
    ".csv": _csv,
    ".tex": latex,
    ".md": markdown,
    ".bib": bibtex,
}
"""What makes a text, by the ending of its file."""

_MEASURED = (".md", ".tex")
"""Formats whose cells show one measure."""
_LABELLED = (*_MEASURED, *FIGURES)
"""Formats that call rules and attacks as papers do."""
