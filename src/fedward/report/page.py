"""The page: runs in, one HTML string out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from statistics import fmean

from ..sim.record import mean_of_known
from .audit_page import audit_lead, audit_sections
from .audits import AuditData, find_audit, load_audit
from .curves import Curve, Panel, panels_section
from .grid import Placed, best_by_cell, is_grid, place, setting, unique
from .pieces import NONE, NOTHING_LEARNED, count, cut, document, per_cent, save_page, table, three_digits, whole
from .runs import ReportError, RunData, load_run
from .section import clients_in_words, rounds_in_words, run_section
from .style import shade

TITLE = "Byzantine-robust training: report"
OF_AUDITS = "Federated training: report"


def write_report(runs: Sequence[str | Path], output: str | Path, title: str | None = None) -> Path:
    """Write the report of run folders, or audits of Flower federations, as one HTML file; return its path.

    The page needs no network to open.

    Raises:
        ReportError: there is no run, a run cannot be read, or plotly is not installed.
    """
    if not runs:
        raise ReportError("no run folders given; name at least one folder that holds run.json and records.jsonl")
    output = Path(output)
    if output.is_dir():
        raise ReportError(f"{output}: is a folder; name a file to write, such as {output / 'report.html'}")
    found = [(Path(run), find_audit(Path(run))) for run in runs]
    audits = [load_audit(audit) for _, audit in found if audit is not None]
    others = [load_run(path) for path, audit in found if audit is None]
    page = _with_audits(others, audits, title or OF_AUDITS) if audits else render(others, title or TITLE)
    return save_page(output, page)


def _with_audits(runs: Sequence[RunData], audits: Sequence[AuditData], title: str) -> str:
    """Federations, of which nobody knows who is byzantine, and below them runs, of which that is known."""
    body = audit_sections(audits)
    if not runs:
        return document(title, audit_lead(audits), body)
    placed = place(runs)
    return document(title, f"{audit_lead(audits)} &middot; {_lead(placed)}", body + _body(placed))


def render(runs: Sequence[RunData], title: str = TITLE) -> str:
    """Return the page for the loaded runs."""
    placed = place(runs)
    return document(title, _lead(placed), _body(placed))


def _body(placed: Sequence[Placed]) -> str:
    parts = (
        _summary(placed),
        _heat_table(placed) if is_grid(placed) else "",
        _accuracy(placed),
        _run_sections(placed),
    )
    return "".join(parts)


def _lead(placed: Sequence[Placed]) -> str:
    runs = [entry.run for entry in placed]
    facts = [count(len(runs), "run")]
    for key in ("rule", "attack"):
        number = len({setting(run, key) for run in runs})
        if number > 1:
            facts.append(count(number, key))
    for key in ("data", "model", "partition"):
        values = unique([setting(run, key) for run in runs if key in run.config])
        if len(values) == 1:
            facts.append(escape(values[0]))
    clients = {clients_in_words(run) for run in runs}
    if len(clients) == 1:
        facts.append(clients.pop())
    return " &middot; ".join(facts)


# --------------------------------------------------------------------------------- summary


def _summary(placed: Sequence[Placed]) -> str:
    head = ["Run", "Rule", "Attack", "Best<br>accuracy", "Final<br>accuracy", "Honest<br>accepted"]
    head += ["Byzantine<br>accepted", "Rounds", "Seconds<br>per round"]
    rows = []
    for number, entry in enumerate(placed, 1):
        run = entry.run
        seconds = _seconds(run)
        rows.append(
            [
                f'<a href="#run-{number}">{cut(entry.label)}</a>',
                whole(entry.row),
                whole(entry.column),
                _best(run),
                _final(run),
                per_cent(mean_of_known(r.honest_accepted for r in run.records), 1),
                per_cent(mean_of_known(r.byzantine_accepted for r in run.records), 1),
                rounds_in_words(run),
                NONE if seconds is None else three_digits(seconds),
            ]
        )
    return (
        "<h2>Summary</h2>\n"
        + table(head, rows, 3, "wide")
        + '<p class="caption">Accuracy is measured on the test set. The accepted rates are means over all '
        "rounds: a good rule accepts honest clients and drops byzantine ones. Rules that work column by column accept "
        "all whose rows they are given; plain functions say nothing of single clients, and have no rates. Seconds per "
        "round include evaluation.</p>\n"
    )


def _final(run: RunData) -> str:
    counts = run.evaluated and not (run.finished and run.in_vain)
    return per_cent(run.evaluated[-1].accuracy if counts else None, 2)


def _best(run: RunData) -> str:
    if run.finished and run.in_vain:
        return NOTHING_LEARNED
    best = run.best
    return NONE if best is None else f"{per_cent(best.accuracy, 2)}<small>round {best.round:,}</small>"


def _seconds(run: RunData) -> float | None:
    return mean_of_known(sum(r.seconds.values()) if r.seconds else None for r in run.records)


def _heat_table(placed: Sequence[Placed]) -> str:
    cells = best_by_cell(placed)
    means = {key: fmean(values) for key, values in cells.items()}
    if not means:
        return ""
    rows = unique([entry.row for entry in placed])
    columns = unique([entry.column for entry in placed])
    begun = Counter((entry.row, entry.column) for entry in placed if not entry.run.finished)
    vain = Counter((entry.row, entry.column) for entry in placed if entry.run.finished and entry.run.in_vain)
    top = max(means.values())
    bottom = min(*means.values(), top - 0.1)  # so that a spread of a point does not look like a collapse
    best_of: dict[str, float] = {}
    for (_, column), value in means.items():
        best_of[column] = max(value, best_of.get(column, value))

    def cell(row: str, column: str) -> str:
        if (row, column) not in means:
            said = "not finished" if begun[row, column] else NOTHING_LEARNED if vain[row, column] else NONE
            return f'<td class="none">{said}</td>'
        value = means[row, column]
        values = cells[row, column]
        best = ' class="best"' if value == best_of[column] else ""
        blue = shade((value - bottom) / (top - bottom))
        several = f"<small>{len(values)} runs, {min(values):.1%} to {max(values):.1%}</small>"
        rest = f"<small>{count(begun[row, column], 'run')} not finished</small>" if begun[row, column] else ""
        rest += f"<small>{count(vain[row, column], 'run')} learned nothing</small>" if vain[row, column] else ""
        return f'<td{best} style="{blue}">{value:.2%}{several if len(values) > 1 else ""}{rest}</td>'

    def line(row: str) -> str:
        return f"<tr><th>{escape(row)}</th>{''.join(cell(row, column) for column in columns)}</tr>\n"

    head = "".join(f"<th>{cut(column)}</th>" for column in columns)
    body = "".join(map(line, rows))
    several = any(len(values) > 1 for values in cells.values())
    return (
        "<h2>Best accuracy by rule and attack</h2>\n"
        f'<div class="scroll"><table class="heat"><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>\n"
        '<p class="caption">Best test accuracy of the run of each rule (row) under each attack (column); the '
        "darker, the better; bold, the best rule under that attack. A row that stays dark is a rule that "
        f"holds.{' Where several runs share a cell it shows their mean and range.' * several}"
        f"{' Runs that are not finished are not counted.' * bool(begun)}"
        f"{' Runs that learned nothing are not counted; each says why.' * bool(vain)}</p>\n"
    )


def _accuracy(placed: Sequence[Placed]) -> str:
    head = "<h2>Test accuracy</h2>\n"
    rows = unique([entry.row for entry in placed])
    panels = [
        Panel(title=column, curves=tuple(_curves([entry for entry in placed if entry.column == column])))
        for column in unique([entry.column for entry in placed])
    ]
    drawn = panels_section("accuracy", panels, rows)
    if not drawn:
        return f"{head}<p>No run was evaluated on test data.</p>\n"
    silent = [entry.label for entry in placed if not entry.run.evaluated]
    missing = f"Never evaluated, so not shown: {escape(', '.join(silent))}." if silent else ""
    several = len({entry.column for entry in placed if entry.run.evaluated}) > 1
    seeds = any(len(curve.runs) > 1 for panel in panels for curve in panel.curves)
    caption = (
        "Test accuracy over rounds"
        + (", one panel for each attack, all on the same scale" if several else "")
        + ". Each rule keeps its colour. A curve that climbs and stays up withstands the attack; one that "
        "falls or stays low does not. "
        + "Where several runs differ in their seed alone, the line is their mean and the band one standard "
        "deviation to both sides. "
        * seeds
        + "Click a rule in the legend to hide it, double-click to see it alone. "
        + missing
    )
    return f'{head}{drawn}<p class="caption">{caption}</p>\n'


def _curves(placed: Sequence[Placed]) -> Iterator[Curve]:
    """A curve a row; runs of several seeds are one."""
    for row in unique([entry.row for entry in placed]):
        there = [entry for entry in placed if entry.row == row]
        label = there[0].label if len(there) == 1 else row
        yield Curve(name=row, label=label, runs=tuple(entry.run.records for entry in there))


# ------------------------------------------------------------------------------ run by run


def _run_sections(placed: Sequence[Placed]) -> str:
    alone = len(placed) == 1
    buttons = '<button data-open="1">Open all</button><button data-open="0">Close all</button>\n'
    return (
        "<h2>Run by run</h2>\n"
        + ("" if alone else f"<p>Who was accepted, and how the gradients differ.</p>\n<p>{buttons}</p>\n")
        + "".join(run_section(number, entry, alone) for number, entry in enumerate(placed, 1))
    )
