"""The page: runs in, one HTML string out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from statistics import fmean
from typing import Any

from ..sim.record import mean_of_known
from . import rates, scores, style
from .accuracy import accuracy
from .audits import find_audit, load_audit
from .clientmap import clients_by_round
from .grid import Placed, best_by_cell, is_grid, place, plain, setting, unique
from .pieces import NONE, count, cut, document, figure, per_cent, table, whole
from .runs import ReportError, RunData, load_run
from .series import step_of, window_of

TITLE = "Byzantine-robust training: report"


def write_report(runs: Sequence[str | Path], output: str | Path, title: str = TITLE) -> Path:
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
    page = render([_load(Path(run)) for run in runs], title)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(page, encoding="utf-8", errors="replace")  # names of files may hold what is no letter
    return output


def _load(path: Path) -> RunData:
    audit = find_audit(path)
    return load_run(path) if audit is None else load_audit(audit)


def render(runs: Sequence[RunData], title: str = TITLE) -> str:
    """Return the page for the loaded runs."""
    placed = place(runs)
    body = (
        _summary(placed),
        _heat_table(placed) if is_grid(placed) else "",
        _accuracy(placed),
        _run_sections(placed),
    )
    return document(title, _lead(placed), "".join(body))


def _clients(run: RunData) -> str:
    byzantine = f", {len(run.byzantine_ids) or 'none'} byzantine" if run.byzantine_known else ""
    return f"{count(run.clients, 'client')}{byzantine}"


def _lead(placed: Sequence[Placed]) -> str:
    runs = [entry.run for entry in placed]
    facts = [count(len(runs), "run")]
    for key in ("rule", "attack"):
        number = len({setting(run, key) for run in runs})
        facts += [count(number, key)] * (number > 1)
    for key in ("data", "model", "partition"):
        values = unique([setting(run, key) for run in runs if key in run.config])
        if len(values) == 1:
            facts.append(escape(values[0]))
    clients = {_clients(run) for run in runs}
    if len(clients) == 1:
        facts.append(clients.pop())
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
                f'<a href="#run-{number}">{cut(entry.label)}</a>',
                whole(entry.row),
                whole(entry.column),
                f"{per_cent(best.accuracy, 2)}<small>round {best.round:,}</small>" if (best := run.best) else NONE,
                per_cent(last[0].accuracy if last else None, 2),
                per_cent(mean_of_known(r.honest_accepted for r in run.records), 1),
                per_cent(mean_of_known(r.byzantine_accepted for r in run.records), 1),
                _rounds(run),
                NONE if (seconds := _seconds(run)) is None else f"{seconds:.3g}",
            ]
        )
    return (
        "<h2>Summary</h2>\n"
        + table(head, rows, 3, "wide")
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
    return mean_of_known(sum(r.seconds.values()) if r.seconds else None for r in run.records)


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
            return f'<td class="none">{NONE}</td>'
        value, values = means[row, column], cells[row, column]
        several = f"<small>{len(values)} runs, {min(values):.1%} to {max(values):.1%}</small>"
        best = ' class="best"' if value == lead[column] else ""
        shade = _shade((value - bottom) / (top - bottom))
        return f'<td{best} style="{shade}">{value:.2%}{several * (len(values) > 1)}</td>'

    head = "".join(f"<th>{cut(column)}</th>" for column in columns)
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
    drawn = accuracy(placed)
    if drawn is None:
        return f"{head}<p>No run was evaluated on test data.</p>\n"
    several = len({entry.column for entry in placed if entry.run.evaluated}) > 1
    caption = (
        "Test accuracy over rounds"
        + (", one panel for each attack, all on the same scale" if several else "")
        + ". Each rule keeps its colour. A curve that climbs and stays up withstands the attack; one that "
        "falls or stays low does not. Click a rule in the legend to hide it, double-click to see it alone. " + missing
    )
    return head + figure("accuracy", drawn, caption, "Test accuracy over rounds")


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
    facts = [f"best {per_cent(best.accuracy, 2)}"] if best else []
    rate = mean_of_known(r.byzantine_accepted for r in run.records)
    facts += [f"byzantine accepted {rate:.1%}"] if rate is not None else []
    return (
        f'<details class="run" id="{name}"{" open" * is_open}>'
        f'<summary><span class="name">{cut(entry.label, 80)}</span>'
        f'<span class="facts">{" &middot; ".join(facts)}</span></summary>\n<div class="body">\n'
        f"<p>{escape(entry.row)} against {escape(entry.column)}; {_clients(run)}; rounds: {_rounds(run)}.</p>\n"
        + "".join(f'<p class="note">{escape(note)}</p>\n' for note in run.notes)
        + _success(run, name)
        + _acceptance(run, name)
        + _scores(run, name)
        + _signs(run, name)
        + _client_map(run, name)
        + _time(run)
        + _configuration(run)
        + "</div></details>\n"
    )


def _smoothing(run: RunData, rounds: str = "rounds") -> str:
    window, step = window_of(run.rounds), step_of(run.rounds)
    smooth = f"Each point is the mean of the last {window} {rounds}" if window > 1 else "Each point is one round"
    return smooth + (
        f"; every {step}th round is drawn." if step > 3 else f"; one round in {step} is drawn." * (step > 1) or "."
    )


def _success(run: RunData, name: str) -> str:
    drawn = rates.success(run)
    if drawn is None:
        return ""
    caption = (
        "The attack is after some samples alone. Its line is the mean confidence with which the model takes them for "
        "what the attack wants; the other is the accuracy on all samples, which need not suffer."
    )
    return "<h3>Success of the attack</h3>\n" + figure(f"{name}-success", drawn, caption, "Attack success over rounds")


def _acceptance(run: RunData, name: str) -> str:
    head = "<h3>Accepted clients</h3>\n"
    drawn = rates.acceptance(run)
    if drawn is None:
        return f"{head}<p>No accepted rates were recorded.</p>\n"
    caption = (
        "Share of the honest and of the byzantine clients that the rule accepted. Best is honest (solid) at "
        "100% and byzantine (dashed) at 0%; where the two lines meet, the rule cannot tell them apart. "
        if run.byzantine_ids
        else "Share of the clients that the rule accepted"
        + ("; there are no byzantine clients in this run. " if run.byzantine_known else ". ")
    )
    return head + figure(f"{name}-accepted", drawn, caption + _smoothing(run), "Accepted rates over rounds")


def _scores(run: RunData, name: str) -> str:
    told = scores.decisions(run)
    parts = [f"<p>{told}</p>\n"] if told else []
    for number, score in enumerate(scores.score_names(run)):
        title = escape(score[:1].upper() + score[1:])
        caption = f"{title} of each client after each round, byzantine clients dashed."
        parts.append(f"<h3>{title}</h3>\n" + figure(f"{name}-score-{number}", scores.score(run, score), caption, title))
    return "".join(parts)


def _signs(run: RunData, name: str) -> str:
    head = "<h3>Signs of the gradients</h3>\n"
    drawn = rates.signs(run)
    if drawn is None:
        return f"{head}<p>No sign shares were recorded.</p>\n"
    caption = "Mean share of positive, zero and negative coordinates in the gradients that the clients sent. "
    if len(drawn["data"]) > 3:
        caption += "Where honest and byzantine lines part, the signs alone betray the attack. "
    counted = rates.with_signs(run)
    if counted.rounds < run.rounds:
        caption += f"Signs were counted in {counted.rounds} of {run.rounds} rounds. "
    return head + figure(f"{name}-signs", drawn, caption + _smoothing(counted, "counts"), "Shares of signs over rounds")


def _client_map(run: RunData, name: str) -> str:
    drawn = clients_by_round(run)
    width = drawn["cells"]["width"]
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
    return f'<h3>Who was accepted, round by round</h3>\n<div class="key">{"".join(key)}</div>\n' + figure(
        f"{name}-clients",
        drawn,
        f"{caption}.{_reasons(run)}",
        "Accepted clients by round",
    )


def _reasons(run: RunData) -> str:
    """One sentence: how often each reason struck honest and byzantine clients."""
    byzantine = set(run.byzantine_ids)
    counts: dict[str, Counter[bool]] = {}
    for record in run.records:
        for client, reason in record.reasons.items():
            if 0 <= client < run.clients and record.accepted[client] is False:
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
    return "<h3>Time</h3>\n" + table(["Phase", "ms per round", "Seconds", "Share"], rows, 1)


def _configuration(run: RunData) -> str:
    def block(title: str, entries: Mapping[str, Any]) -> str:
        rows = "".join(f"<tr><th>{escape(k)}</th><td>{escape(plain(v))}</td></tr>\n" for k, v in entries.items())
        return f'<h3>{title}</h3>\n<table class="config">{rows}</table>\n' if rows else ""

    nobody = "none" if run.byzantine_known else "unknown"
    who = {"byzantine clients": _ranges(run.byzantine_ids) or nobody, "folder": run.folder}
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
