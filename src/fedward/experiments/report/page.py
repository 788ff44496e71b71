"""The page: runs in, one HTML string out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from statistics import fmean
from typing import Any

from . import assets, plots, scores, style
from .grid import Placed, best_by_cell, is_grid, place, plain, setting, unique
from .plots import Figure
from .runs import ReportError, RunData, load_run

TITLE = "Byzantine-robust training: report"
_NONE = '<span title="not recorded">&ndash;</span>'


def write_report(runs: Sequence[str | Path], output: str | Path, title: str = TITLE) -> Path:
    """Write the report of the run folders as one HTML file, which needs no network to open; return its path.

    Raises:
        ReportError: there is no run, a run cannot be read, or plotly is not installed.
    """
    if not runs:
        raise ReportError("no run folders given; name at least one folder that holds run.json and records.jsonl")
    output = Path(output)
    if output.is_dir():
        raise ReportError(f"{output}: is a folder; name a file to write, such as {output / 'report.html'}")
    page = render([load_run(folder) for folder in runs], title)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(page, encoding="utf-8")
    return output


def render(runs: Sequence[RunData], title: str = TITLE) -> str:
    """Return the page for the loaded runs."""
    placed = place(runs)
    return "".join(
        (
            '<!DOCTYPE html>\n<html lang="en-GB">\n<head>\n<meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{assets.POLICY}">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            f"<title>{escape(title)}</title>\n<style>{assets.STYLE}</style>\n</head>\n<body>\n<main>\n",
            f'<h1>{escape(title)}</h1>\n<p class="lead">{_lead(placed)}</p>\n',
            "<noscript><p>The charts need JavaScript; the tables do not.</p></noscript>\n",
            _summary(placed),
            _heat_table(placed) if is_grid(placed) else "",
            _accuracy(placed),
            _run_sections(placed),
            f"</main>\n<script>{_plotly_js()}</script>\n<script>{assets.SCRIPT}</script>\n</body>\n</html>\n",
        )
    )


def _plotly_js() -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ModuleNotFoundError as error:
        raise ReportError("the report needs plotly; install it with: pip install 'fedward[cli]'") from error
    return str(get_plotlyjs())


# ---------------------------------------------------------------------------- small pieces


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _per_cent(value: float | None, digits: int) -> str:
    return _NONE if value is None else f"{value:.{digits}%}"


def _whole(text: str) -> str:
    """Text that stays on one line unless it is long."""
    return f'<span class="whole">{escape(text)}</span>' if len(text) <= 24 else escape(text)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: int, kind: str = "") -> str:
    """A table of ready HTML cells; the columns from ``numbers`` on are right-aligned."""

    def line(tag: str, cells: Sequence[str]) -> str:
        sides = (f'<{tag} class="number">' if i >= numbers else f"<{tag}>" for i in range(len(cells)))
        return "<tr>" + "".join(f"{o}{c}</{tag}>" for o, c in zip(sides, cells, strict=True)) + "</tr>\n"

    body = "".join(line("td", cells) for cells in rows)
    return (
        f'<div class="scroll"><table class="{kind}"><thead>{line("th", head)}</thead>'
        f"<tbody>{body}</tbody></table></div>\n"
    )


def _figure(name: str, figure: Figure, caption: str, spoken: str) -> str:
    """A figure: an empty box that the script fills, its specification, a caption of ready HTML."""
    # "<" only ever occurs inside JSON strings, where the escape means the same and cannot end the script.
    data = json.dumps(figure, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return (
        f'<figure><div class="plot" id="{name}" style="min-height:{figure["layout"]["height"]}px" role="img" '
        f'aria-label="{escape(spoken)}"></div>\n'
        f'<script type="application/json" id="{name}-data">{data}</script>\n'
        f"<figcaption>{caption}</figcaption></figure>\n"
    )


def _lead(placed: Sequence[Placed]) -> str:
    runs = [entry.run for entry in placed]
    facts = [_count(len(runs), "run")]
    for key in ("rule", "attack"):
        number = len({setting(run, key) for run in runs})
        facts += [_count(number, key)] * (number > 1)
    for key in ("data", "model", "partition"):
        values = unique([setting(run, key) for run in runs if key in run.config])
        if len(values) == 1:
            facts.append(escape(values[0]))
    clients = {(run.clients, len(run.byzantine_ids)) for run in runs}
    if len(clients) == 1:
        (n, byzantine) = clients.pop()
        facts.append(f"{_count(n, 'client')}, {byzantine or 'none'} byzantine")
    return " &middot; ".join(facts)


# --------------------------------------------------------------------------------- summary


def _summary(placed: Sequence[Placed]) -> str:
    head = ["Run", "Rule", "Attack", "Best<br>accuracy", "Final<br>accuracy", "Honest<br>accepted"]
    head += ["Byzantine<br>accepted", "Rounds", "Seconds<br>per round"]
    rows = []
    for number, entry in enumerate(placed, 1):
        run, last = entry.run, entry.run.evaluated[-1:]
        rows.append(
            [
                f'<a href="#run-{number}">{escape(entry.label)}</a>',
                _whole(entry.row),
                _whole(entry.column),
                f"{_per_cent(best.accuracy, 2)}<small>round {best.round:,}</small>" if (best := run.best) else _NONE,
                _per_cent(last[0].accuracy if last else None, 2),
                _per_cent(_mean(r.honest_accepted for r in run.records), 1),
                _per_cent(_mean(r.byzantine_accepted for r in run.records), 1),
                _rounds(run),
                _NONE if (seconds := _seconds(run)) is None else f"{seconds:.3g}",
            ]
        )
    return (
        "<h2>Summary</h2>\n"
        + _table(head, rows, 3, "wide")
        + '<p class="caption">Accuracy is measured on the test set. The accepted rates are means over all '
        "rounds: a good rule accepts honest clients and drops byzantine ones. Seconds per round include "
        "evaluation.</p>\n"
    )


def _rounds(run: RunData) -> str:
    planned = run.config.get("rounds")
    if isinstance(planned, int) and planned > run.rounds:
        return f"{run.rounds:,} of {planned:,}"
    return f"{run.rounds:,}"


def _seconds(run: RunData) -> float | None:
    return _mean(sum(r.seconds.values()) if r.seconds else None for r in run.records)


def _heat_table(placed: Sequence[Placed]) -> str:
    cells = best_by_cell(placed)
    means = {key: fmean(values) for key, values in cells.items()}
    if not means:
        return ""
    rows, columns = unique([entry.row for entry in placed]), unique([entry.column for entry in placed])
    top = max(means.values())
    bottom = min(*means.values(), top - 0.1)  # so that a spread of a point does not look like a collapse
    lead = {column: max((means[r, c] for r, c in means if c == column), default=2.0) for column in columns}

    def cell(row: str, column: str) -> str:
        if (row, column) not in means:
            return f'<td class="none">{_NONE}</td>'
        value, values = means[row, column], cells[row, column]
        several = f"<small>{len(values)} runs, {min(values):.1%} to {max(values):.1%}</small>"
        best = ' class="best"' if value == lead[column] else ""
        shade = _shade((value - bottom) / (top - bottom))
        return f'<td{best} style="{shade}">{value:.2%}{several * (len(values) > 1)}</td>'

    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(
        f"<tr><th>{escape(row)}</th>{''.join(cell(row, column) for column in columns)}</tr>\n" for row in rows
    )
    several = any(len(values) > 1 for values in cells.values())
    return (
        "<h2>Best accuracy by rule and attack</h2>\n"
        f'<div class="scroll"><table class="heat"><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>\n"
        '<p class="caption">Best test accuracy of the run of each rule (row) under each attack (column); the '
        "darker, the better; bold, the best rule under that attack. A row that stays dark is a rule that "
        f"holds.{' Where several runs share a cell it shows their mean and range.' * several}</p>\n"
    )


def _shade(level: float) -> str:
    """Background from pale to deep blue for a level in [0, 1], with a text colour that stays readable."""
    pale, deep = (239, 246, 252), (8, 81, 140)
    colour = "".join(f"{round(a + (b - a) * level):02x}" for a, b in zip(pale, deep, strict=True))
    return f"background:#{colour};color:{'#ffffff' if level > 0.55 else '#1f2933'}"


def _accuracy(placed: Sequence[Placed]) -> str:
    head = "<h2>Test accuracy</h2>\n"
    silent = [entry.label for entry in placed if not entry.run.evaluated]
    missing = f"Never evaluated, so not shown: {escape(', '.join(silent))}." if silent else ""
    figure = plots.accuracy(placed)
    if figure is None:
        return f"{head}<p>No run was evaluated on test data.</p>\n"
    several = len({entry.column for entry in placed if entry.run.evaluated}) > 1
    caption = (
        "Test accuracy over rounds"
        + (", one panel for each attack, all on the same scale" if several else "")
        + ". Each rule keeps its colour. A curve that climbs and stays up withstands the attack; one that "
        "falls or stays low does not. Click a rule in the legend to hide it, double-click to see it alone. " + missing
    )
    return head + _figure("accuracy", figure, caption, "Test accuracy over rounds")


# ------------------------------------------------------------------------------ run by run


def _run_sections(placed: Sequence[Placed]) -> str:
    alone = len(placed) == 1
    buttons = '<button data-open="1">Open all</button><button data-open="0">Close all</button>\n'
    return (
        "<h2>Run by run</h2>\n"
        + ("" if alone else f"<p>Who was accepted, and how the gradients differ.</p>\n<p>{buttons}</p>\n")
        + "".join(_run_section(number, entry, alone) for number, entry in enumerate(placed, 1))
    )


def _run_section(number: int, entry: Placed, is_open: bool) -> str:
    run, name = entry.run, f"run-{number}"
    best = run.best
    facts = [f"best {_per_cent(best.accuracy, 2)}"] if best else []
    rate = _mean(r.byzantine_accepted for r in run.records)
    facts += [f"byzantine accepted {rate:.1%}"] if rate is not None else []
    return (
        f'<details class="run" id="{name}"{" open" * is_open}>'
        f'<summary><span class="name">{escape(entry.label)}</span>'
        f'<span class="facts">{" &middot; ".join(facts)}</span></summary>\n<div class="body">\n'
        f"<p>{escape(entry.row)} against {escape(entry.column)}; {_count(run.clients, 'client')}, "
        f"{len(run.byzantine_ids) or 'none'} byzantine; rounds: {_rounds(run)}.</p>\n"
        + "".join(f'<p class="note">{escape(note)}</p>\n' for note in run.notes)
        + _acceptance(run, name)
        + _scores(run, name)
        + _signs(run, name)
        + _client_map(run, name)
        + _time(run)
        + _configuration(run)
        + "</div></details>\n"
    )


def _smoothing(run: RunData, rounds: str = "rounds") -> str:
    window, step = plots.window_of(run.rounds), plots.step_of(run.rounds)
    smooth = f"Each point is the mean of the last {window} {rounds}" if window > 1 else "Each point is one round"
    return smooth + (
        f"; every {step}th round is drawn." if step > 3 else f"; one round in {step} is drawn." * (step > 1) or "."
    )


def _acceptance(run: RunData, name: str) -> str:
    head = "<h3>Accepted clients</h3>\n"
    figure = plots.acceptance(run)
    if figure is None:
        return f"{head}<p>No accepted rates were recorded.</p>\n"
    caption = (
        "Share of the honest and of the byzantine clients that the rule accepted. Best is honest (solid) at "
        "100% and byzantine (dashed) at 0%; where the two lines meet, the rule cannot tell them apart. "
        if run.byzantine_ids
        else "Share of the clients that the rule accepted; there are no byzantine clients in this run. "
    )
    return head + _figure(f"{name}-accepted", figure, caption + _smoothing(run), "Accepted rates over rounds")


def _scores(run: RunData, name: str) -> str:
    told = scores.decisions(run)
    parts = [f"<p>{told}</p>\n"] if told else []
    for number, score in enumerate(scores.score_names(run)):
        title = escape(score[:1].upper() + score[1:])
        caption = f"{title} of each client after each round, byzantine clients dashed."
        parts.append(
            f"<h3>{title}</h3>\n" + _figure(f"{name}-score-{number}", scores.score(run, score), caption, title)
        )
    return "".join(parts)


def _signs(run: RunData, name: str) -> str:
    head = "<h3>Signs of the gradients</h3>\n"
    figure = plots.signs(run)
    if figure is None:
        return f"{head}<p>No sign shares were recorded.</p>\n"
    caption = "Mean share of positive, zero and negative coordinates in the gradients that the clients sent. "
    if len(figure["data"]) > 3:
        caption += "Where honest and byzantine lines part, the signs alone betray the attack. "
    counted = plots.with_signs(run)
    if counted.rounds < run.rounds:
        caption += f"Signs were counted in {counted.rounds} of {run.rounds} rounds. "
    return head + _figure(
        f"{name}-signs", figure, caption + _smoothing(counted, "counts"), "Shares of signs over rounds"
    )


def _client_map(run: RunData, name: str) -> str:
    figure = plots.clients_by_round(run)
    width = figure["cells"]["width"]
    swatch = '<span><span class="swatch" style="background:{}"></span>{}</span>'
    blend = f"linear-gradient(90deg,{style.DROPPED},{style.BETWEEN},{style.ACCEPTED})"
    key = [swatch.format(style.ACCEPTED, "accepted"), swatch.format(style.DROPPED, "dropped")]
    key += [swatch.format(style.ABSENT, "did not take part")]
    if width > 1:
        key.append(swatch.replace("swatch", "swatch blend").format(blend, "in some rounds of the column"))
    caption = (
        "Every client (row) in every round (column)"
        if width == 1
        else f"Every client (row); each column sums up {width} successive rounds and its colour is the share "
        "of them, of those the client took part in, in which the client was accepted"
    )
    if run.byzantine_ids:
        caption += (
            ". The byzantine clients are at the bottom, below the line: a rule that works leaves them in the "
            "colour of dropped and the rest in the colour of accepted. A row that differs from its group is "
            "worth a look"
        )
    return f'<h3>Who was accepted, round by round</h3>\n<div class="key">{"".join(key)}</div>\n' + _figure(
        f"{name}-clients",
        figure,
        f"{caption}.{_reasons(run)}",
        "Accepted clients by round",
    )


def _reasons(run: RunData) -> str:
    """One sentence: how often each reason struck honest and byzantine clients."""
    byzantine = set(run.byzantine_ids)
    counts: dict[str, Counter[bool]] = {}
    for record in run.records:
        for client, reason in record.reasons.items():
            if 0 <= client < run.clients and record.accepted[client] == "0":
                counts.setdefault(reason, Counter())[client in byzantine] += 1
    if not counts:
        return ""
    ordered = sorted(counts.items(), key=lambda item: -item[1].total())
    parts = [
        f"{escape(reason)} (honest {count[False]:,}, byzantine {count[True]:,})"
        if byzantine
        else f"{escape(reason)} ({count[False]:,})"
        for reason, count in ordered
    ]
    return f" Reasons, with the times they led to a drop: {', '.join(parts)}."


def _time(run: RunData) -> str:
    phases = unique([phase for record in run.records for phase in record.seconds])
    total = sum(sum(record.seconds.values()) for record in run.records)
    if not phases or total <= 0:
        return ""
    rows = []
    for phase in phases:
        spent = sum(record.seconds.get(phase, 0.0) for record in run.records)
        rows.append([escape(phase), f"{1000 * spent / run.rounds:,.3g}", f"{spent:,.1f}", f"{spent / total:.0%}"])
    rows.append(["all", f"{1000 * total / run.rounds:,.3g}", f"{total:,.1f}", "100%"])
    return "<h3>Time</h3>\n" + _table(["Phase", "ms per round", "Seconds", "Share"], rows, 1)


def _configuration(run: RunData) -> str:
    def block(title: str, entries: Mapping[str, Any]) -> str:
        rows = "".join(f"<tr><th>{escape(k)}</th><td>{escape(plain(v))}</td></tr>\n" for k, v in entries.items())
        return f'<h3>{title}</h3>\n<table class="config">{rows}</table>\n' if rows else ""

    who = {"byzantine clients": _ranges(run.byzantine_ids) or "none", "folder": run.folder}
    return (
        '<details class="config"><summary>Configuration</summary>\n'
        + block("Settings", {**run.config, **who})
        + block("Versions", run.versions)
        + "</details>\n"
    )


def _ranges(ids: Sequence[int]) -> str:
    """Sorted indices with runs of neighbours written as ranges: 0-3, 7."""
    parts: list[list[int]] = []
    for index in ids:
        if parts and index == parts[-1][1] + 1:
            parts[-1][1] = index
        else:
            parts.append([index, index])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)
