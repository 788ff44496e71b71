"""What the page says of one run: its figures with their captions, its times, its configuration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ..sim.record import mean_of_known
from . import rates, scores, style
from .clientmap import clients_by_round
from .grid import Placed, plain, unique
from .pieces import NOTHING_LEARNED, count, cut, figure, per_cent, table, three_digits
from .runs import NOT_JUDGED, RunData, not_judged
from .series import share_text, step_of, window_of


def clients_in_words(run: RunData) -> str:
    """How many clients a run has, and how many of them are byzantine."""
    return f"{count(run.clients, 'client')}, {len(run.byzantine_ids) or 'none'} byzantine"


def rounds_in_words(run: RunData) -> str:
    """How many rounds are on record, and of how many, where more are planned."""
    planned = run.config.get("rounds")
    if isinstance(planned, int) and planned > run.rounds:
        return f"{run.rounds:,} of {planned:,}"
    return f"{run.rounds:,}"


def run_section(number: int, entry: Placed, is_open: bool) -> str:
    """All that there is to say of a run, folded up unless it is open."""
    run = entry.run
    name = f"run-{number}"
    facts = []
    if run.finished and run.in_vain:
        facts.append(NOTHING_LEARNED)
    elif run.best is not None:
        facts.append(f"best {per_cent(run.best.accuracy, 2)}")
    rate = mean_of_known(r.byzantine_accepted for r in run.records)
    if rate is not None:
        facts.append(f"byzantine accepted {rate:.1%}")
    return (
        f'<details class="run" id="{name}"{" open" * is_open}>'
        f'<summary><span class="name">{cut(entry.label, 80)}</span>'
        f'<span class="facts">{" &middot; ".join(facts)}</span></summary>\n<div class="body">\n'
        f"<p>{escape(entry.row)} against {escape(entry.column)}; {clients_in_words(run)}; "
        f"rounds: {rounds_in_words(run)}.</p>\n"
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
    """What a point of a line is, and which rounds have one."""
    window = window_of(run.rounds)
    step = step_of(run.rounds)
    smooth = f"Each point is the mean of the last {window} {rounds}" if window > 1 else "Each point is one round"
    if step == 1:
        return f"{smooth}."
    if step <= 3:
        return f"{smooth}; one round in {step} is drawn."
    return f"{smooth}; every {step}th round is drawn."


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
        return f"{head}<p>{NOT_JUDGED if not_judged(run) else 'No accepted rates were recorded.'}</p>\n"
    if run.byzantine_ids:
        caption = (
            "Share of the honest and of the byzantine clients that the rule accepted. Best is honest (solid) at "
            "100% and byzantine (dashed) at 0%; where the two lines meet, the rule cannot tell them apart. "
        )
    else:
        caption = "Share of the clients that the rule accepted; there are no byzantine clients in this run. "
    return head + figure(f"{name}-accepted", drawn, caption + _smoothing(run), "Accepted rates over rounds")


def _scores(run: RunData, name: str) -> str:
    told = scores.decisions(run)
    parts = [f"<p>{told}</p>\n"] if told else []
    for number, score in enumerate(scores.score_names(run)):
        spoken = score[:1].upper() + score[1:]
        title = escape(spoken)
        caption = (
            f"{title} of each client after each round, byzantine clients dashed. {scores.range_in_words(run, score)}"
        )
        parts.append(
            f"<h3>{title}</h3>\n" + figure(f"{name}-score-{number}", scores.score(run, score), caption, spoken)
        )
        caption = "The same, a row a client and a column a round, so that equal lines do not hide each other."
        drawn = scores.score_map(run, score)
        parts.append(figure(f"{name}-score-{number}-map", drawn, caption, f"{spoken} of every client by round"))
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
        caption += f"Signs were counted in {counted.rounds} of {count(run.rounds, 'round')}. "
    return head + figure(f"{name}-signs", drawn, caption + _smoothing(counted, "counts"), "Shares of signs over rounds")


def _client_map(run: RunData, name: str) -> str:
    if not_judged(run) and not any(record.reasons for record in run.records):
        return f"<h3>Who was accepted, round by round</h3>\n<p>{NOT_JUDGED}</p>\n"
    drawn = clients_by_round(run)
    width = drawn["cells"]["width"]
    swatch = '<span><span class="swatch" style="background:{}"></span>{}</span>'
    blend = f"linear-gradient(90deg,{style.DROPPED},{style.BETWEEN},{style.ACCEPTED})"
    key = [
        swatch.format(style.ACCEPTED, "given to the rule" if not_judged(run) else "accepted"),
        swatch.format(style.DROPPED, "dropped"),
    ]
    key += [swatch.format(style.ABSENT, "did not take part")]
    if width > 1:
        key.append(swatch.replace("swatch", "swatch blend").format(blend, "in some rounds of the column"))
    if width == 1:
        caption = "Every client (row) in every round (column)"
    else:
        caption = (
            f"Every client (row); each column sums up {width} successive rounds and its colour is the share "
            "of them, of those the client took part in, in which the client was accepted"
        )
    if not_judged(run):
        caption += f". {NOT_JUDGED[:-1]} of those that it was given"
    elif run.byzantine_ids:
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
    parts = []
    for reason, struck in sorted(counts.items(), key=lambda item: -item[1].total()):
        sides = f"honest {struck[False]:,}, byzantine {struck[True]:,}" if byzantine else f"{struck[False]:,}"
        parts.append(f"{escape(reason)} ({sides})")
    return f" Reasons, with the times they led to a drop: {', '.join(parts)}."


def _time(run: RunData) -> str:
    phases = unique([phase for record in run.records for phase in record.seconds])
    total = sum(sum(record.seconds.values()) for record in run.records)
    if not phases or total <= 0:
        return ""
    rows = []
    for phase in phases:
        spent = sum(record.seconds.get(phase, 0.0) for record in run.records)
        rows.append([escape(phase), three_digits(1000 * spent / run.rounds), f"{spent:,.1f}", share_text(spent, total)])
    rows.append(["all", three_digits(1000 * total / run.rounds), f"{total:,.1f}", "100%"])
    return "<h3>Time</h3>\n" + table(["Phase", "ms per round", "Seconds", "Share"], rows, 1)


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
