"""A sweep in the formats of papers: a table for LaTeX or Markdown, every cell as CSV, figures, BibTeX."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from ..disk import check_folder, write_whole
from ..sweeps.rows import as_csv
from .bibliography import bibtex
from .labels import in_full, labelled
from .runs import ReportError
from .sweep_figures import FIGURES, draw
from .sweep_page import render_sweep
from .sweep_table import NO_ATTACK, Grid, Line, SweepData, grids

_PLUS_MINUS = "\u00b1"
_SIGNS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    _PLUS_MINUS: r"$\pm$",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def write_sweep_as(data: SweepData, output: Path, figure: str | None = None) -> Path:
    """Write a sweep in the format that the ending of the file names; return its path.

    ``.html`` is the page, ``.csv`` a row a cell and seed, ``.tex`` and ``.md`` rules by attacks, ``.svg`` and ``.pdf``
    figures, ``.bib`` where the rules and attacks are from. Tables and figures have the names of
    `fedward.report.labels.short_labels`.

    Args:
        data: the sweep.
        output: the file.
        figure: which one, of `fedward.report.sweep_figures.choices`; if None the first of them.

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
    if ending in FIGURES:
        content = draw(data, ending, figure)
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
    """Rules by attacks as Markdown: mean and deviation over seeds in per cent, the best of a column bold."""
    parts = []
    caption = f"{_caption(data)}{in_full(data)}"
    found = grids(labelled(data))
    for grid in found:
        heading = f"## {_in_markdown(grid.title)}\n\n" if len(found) > 1 else ""
        head = _head(grid, _in_markdown)
        lines = [_line(grid, line, _in_markdown, lambda text: f"**{text}**") for line in grid.lines]
        sides = ["---"] * (1 + len(grid.keys)) + ["---:"] * (len(head) - 1 - len(grid.keys))
        parts.append(heading + "".join(f"| {' | '.join(cells)} |\n" for cells in (head, sides, *lines)))
    return f"# {_in_markdown(data.title)}\n\n" + "\n".join(parts) + f"\n{_in_markdown(caption)}\n"


def latex(data: SweepData) -> str:
    """The same for LaTeX with booktabs, a table a grid."""
    parts = ["% \\usepackage{booktabs}\n"]
    caption = f"{_caption(data)}{in_full(data)}"
    found = grids(labelled(data))
    for number, grid in enumerate(found, 1):
        head = _head(grid, in_latex)
        lines = [_line(grid, line, in_latex, lambda text: f"\\textbf{{{text}}}") for line in grid.lines]
        columns = "l" * (1 + len(grid.keys)) + "r" * (len(head) - 1 - len(grid.keys))
        title = f"{data.title}, {grid.title}" if len(found) > 1 else data.title
        label = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or f"sweep-{number}"
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


def _line(grid: Grid, line: Line, escaped: Callable[[str], str], bold: Callable[[str], str]) -> list[str]:
    cells = [escaped(line.rule), *(escaped(value) for value in line.settings.values())]
    for attack in grid.attacks:
        place = line.places.get(attack)
        if place is None or place.over.mean is None:
            cells.append("--")
            continue
        spread = "" if place.over.std is None else f" {_PLUS_MINUS} {100 * place.over.std:.2f}"
        text = escaped(f"{100 * place.over.mean:.2f}{spread}")
        cells.append(bold(text) if grid.is_best(place) else text)
    if _summed(grid):
        across = line.across
        known = across.worst is not None and not across.missing  # of some attacks alone it would say too much
        cells.append(f"{100 * (across.worst or 0.0):.2f}" if known else "--")
    return cells


def _summed(grid: Grid) -> bool:
    return sum(attack != NO_ATTACK for attack in grid.attacks) > 1


def _caption(data: SweepData) -> str:
    seeds = sorted({len(place.over.values) for grid in grids(data) for place in grid.places if place.over.values})
    many = "no runs yet" if not seeds else f"{seeds[0]} to {seeds[-1]} seeds" if len(seeds) > 1 else f"{seeds[0]} seeds"
    if seeds == [1]:
        return "Best test accuracy in per cent, one seed; bold, the best of a column in the same setting."
    spread = f"mean {_PLUS_MINUS} standard deviation over {many}"
    return f"Best test accuracy in per cent, {spread}; bold, the best of a column in the same setting."


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

_LABELLED = (".md", ".tex", *FIGURES)
"""Formats that call rules and attacks as papers do."""
