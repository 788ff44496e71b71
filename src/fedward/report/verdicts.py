"""The page about clients' files: who is suspected by whom, how alike clients are, and what each changed where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import log, log2
from pathlib import Path
from typing import Any

import torch

from ..audit import Calibration, ClientAudit, Evidence
from ..core import Reason, Result
from ..failures import tamed
from .audit_words import (
    beside_panel,
    clients_caption,
    dropped_told,
    how_made,
    how_to_read,
    meanings,
    not_accepted,
    of_one_vote,
)
from .pieces import NONE, count, document, figure, per_cent, save_page, table
from .style import ABSENT, ACCEPTED, BETWEEN, DROPPED, base_axis, base_layout, margins, safe_text

TITLE = "Audit of clients"
_MOST_LAYERS = 300
_MOST_CLIENTS = 400
_ROUNDING = 1e-6
"""Of a client's length, below which what all changed in a layer is rounding."""
_REACH = 3.0
"""Colours end at norms that are eight times, or an eighth of, the usual one."""


def write_audit(audit: ClientAudit, output: Path, title: str = TITLE) -> Path:
    """Write the page about an audit as one HTML file, which needs no network to open; return its path.

    Raises:
        ReportError: plotly is not installed.
        OSError: the page cannot be written.
    """
    body = [how_to_read(audit), _clients(audit), _panel(audit)]
    if audit.evidence is not None:
        body += [_alike(audit, audit.evidence), _layers(audit, audit.evidence)]
    body.append(_scores(audit))
    if audit.calibration is not None:
        body.append(_calibration(audit, audit.calibration))
    if audit.made is not None:
        body.append(how_made(audit.made))
    return save_page(output, document(title, _lead(audit), "".join(body)))


def write_result(result: Result[Any], output: Path, title: str) -> Path:
    """Write the page about an aggregator's verdicts: one table, with everything the rule looked at.

    Raises:
        ReportError: plotly is not installed.
        OSError: the page cannot be written.
    """
    dropped = sum(not ok for ok in result.accepted)
    unjudged = sum(reason is Reason.NOT_JUDGED for reason in result.reasons)
    lead = f"{count(len(result.ids), 'client')} &middot; {dropped_told(dropped, unjudged)}"
    scores = list(result.scores)
    rows = []
    for i, name in enumerate(result.ids):
        weight = NONE if result.weights is None else f"{float(result.weights[i]):.4f}"
        numbers = [_number(float(result.scores[score][i])) for score in scores]
        detail = result.details.get(name, "")
        rows.append([_name(name), _verdict(str(result.reasons[i]), bool(result.accepted[i]), detail), weight, *numbers])
    note = f'<p class="note">{escape(tamed(result.note))}</p>\n' if result.note else ""
    body = "<h2>Verdicts</h2>\n" + table(["Client", "Verdict", "Weight", *map(escape, scores)], rows, 2, "wide") + note
    return save_page(output, document(title, lead, body))


def _lead(audit: ClientAudit) -> str:
    facts = [count(len(audit.names), "client"), not_accepted(audit)]
    facts.append(f"changes of {escape(audit.base)}" if audit.base else "updates as they were sent")
    facts += [f"aggregated by {escape(tamed(audit.rule))}"] if audit.rule else []
    facts.append(count(sum(opinion.member.votes for opinion in audit.opinions), "rule"))
    return " &middot; ".join(facts)


# --- clients ----------------------------------------------------------------------------------------------------


def _clients(audit: ClientAudit) -> str:
    head = ["Client", "Verdict", *["The panel"] * bool(audit.rule), "Suspected<br>by", "Norm"]
    head += ["Cosine to<br>median", "Cosine to<br>aggregate", "Positive<br>entries", "Nearest", "Cluster"]
    rows = []
    for i, name in enumerate(audit.names):
        suspected = f"{audit.votes[i]} of {audit.heard}" if audit.is_judged(i) else NONE
        verdict = _verdict(audit.reasons[i], audit.accepted[i], audit.details.get(name, ""))
        beside = [beside_panel(audit, i)] if audit.rule else []
        rows.append([_name(name), verdict, *beside, suspected, *_seen(audit.evidence, name)])
    notes = "".join(f'<p class="note">{escape(tamed(note, 1000))}</p>\n' for note in audit.notes)
    shown = table(head, rows, 3 if audit.rule else 2, "wide")
    return f'<h2>Clients</h2>\n{shown}<p class="caption">{clients_caption(audit)}</p>\n{notes}{meanings(audit)}'


def _seen(evidence: Evidence | None, name: str) -> list[str]:
    if evidence is None or name not in evidence.ids:
        return [NONE] * 6
    row = evidence.ids.index(name)
    nearest = NONE
    if evidence.neighbours[row]:
        other = evidence.neighbours[row][0]
        nearest = f"{_name(evidence.ids[other])}<small>{float(evidence.cosines[row, other]):.2f}</small>"
    to_aggregate = NONE if evidence.to_aggregate is None else f"{float(evidence.to_aggregate[row]):.2f}"
    to_median = float(evidence.to_median[row])
    cosine = NONE if to_median != to_median else f"{to_median:.2f}"
    numbers = [_number(float(evidence.norms[row])), cosine, to_aggregate]
    return [*numbers, per_cent(float(evidence.signs[row, 0]), 1), nearest, str(evidence.clusters[row])]


def _verdict(reason: str, accepted: bool, detail: str) -> str:
    if accepted:
        return escape(reason)
    return f'<b style="color:{DROPPED}">{escape(reason)}</b><small>{escape(tamed(detail))}</small>'


# --- the panel --------------------------------------------------------------------------------------------------


def _panel(audit: ClientAudit) -> str:
    ideas = [opinion.member.idea for opinion in audit.opinions]
    # 0 accepted, 1 suspected, nothing where the client cannot be used or the rule could not decide.
    marks: list[list[int | None]] = []
    words = []
    for i, name in enumerate(audit.names):
        line: list[int | None] = []
        told = []
        for opinion in audit.opinions:
            known = opinion.verdict is not None and audit.is_judged(i)
            suspected = bool(opinion.suspects[i])
            line.append(int(suspected) if known else None)
            told.append(safe_text(f"{tamed(name)}: {_said(known, suspected)} by {opinion.name}"))
        marks.append(line)
        words.append(told)
    trace = _heat(ideas, list(audit.names), marks, words) | {
        "colorscale": [[0, ACCEPTED], [1, DROPPED]],
        "zmin": 0,
        "zmax": 1,
        "showscale": False,
    }
    rules = "; ".join(f"{escape(o.member.idea)}: <code>{escape(o.name)}</code>" for o in audit.opinions)
    caption = f"Red: suspected; blue: not; grey: not judged. Rules: {rules}."
    return "<h2>Who suspects whom</h2>\n" + figure(
        "panel", _drawn(trace, audit.names, 60), caption, "Votes of the panel"
    )


def _said(known: bool, suspected: bool) -> str:
    if not known:
        return "not judged"
    return "suspected" if suspected else "not suspected"


# --- how alike --------------------------------------------------------------------------------------------------


def _shown(audit: ClientAudit, evidence: Evidence) -> tuple[set[int], str]:
    """Rows of the evidence that maps have room for, and a sentence on the others.

    Who was not accepted and who is suspected is among them before all others, then who is longer or shorter than usual.
    """
    n = len(evidence.ids)
    if n <= _MOST_CLIENTS:
        return set(range(n)), ""
    row_of = {name: i for i, name in enumerate(audit.names)}
    norms = evidence.norms.double()
    usual = float(norms.quantile(0.5))
    far = norms.clamp_min(torch.finfo(torch.float64).tiny).log() - log(max(usual, torch.finfo(torch.float64).tiny))

    def less_telling(k: int) -> tuple[bool, int, float]:
        i = row_of[str(evidence.ids[k])]
        return audit.accepted[i], -audit.votes[i], -abs(float(far[k]))

    told = (
        f" {_MOST_CLIENTS:,} of {n:,} clients: who was not accepted, who is suspected by most rules, and then whose "
        "change is the longest or the shortest beside the median."
    )
    return set(sorted(range(n), key=less_telling)[:_MOST_CLIENTS]), told


def _alike(audit: ClientAudit, evidence: Evidence) -> str:
    shown, few = _shown(audit, evidence)
    order = [k for k in evidence.order if k in shown]
    names = [str(evidence.ids[k]) for k in order]
    values = evidence.cosines[order][:, order].tolist()
    z: list[list[float | None]] = [[round(value, 4) for value in line] for line in values]
    words = [
        [safe_text(f"{tamed(a)} and {tamed(b)}: cosine {value:.3f}") for b, value in zip(names, line, strict=True)]
        for a, line in zip(names, values, strict=True)
    ]
    trace = _heat(names, names, z, words) | {
        "colorscale": [[0, DROPPED], [0.5, "#ffffff"], [1, "#0072b2"]],
        "zmin": -1,
        "zmax": 1,
        "colorbar": {"title": {"text": "cosine"}, "thickness": 12},
    }
    groups = []
    for number in sorted(set(evidence.clusters)):
        members = [str(evidence.ids[k]) for k, cluster in enumerate(evidence.clusters) if cluster == number]
        listed = ", ".join(_name(name) for name in members[:20]) + (" ..." if len(members) > 20 else "")
        groups.append(
            f"<li>cluster {number}, {count(len(members), 'client')}, {not_accepted(audit, members)}: {listed}</li>"
        )
    caption = "Cosines between what clients changed, those that are alike side by side (average linkage on 1 - cos)."
    caption += few
    head = "<h2>How alike clients are</h2>\n"
    return (
        head
        + figure("alike", _drawn(trace, names, 110), caption, "Cosines between clients")
        + f"<ul>{''.join(groups)}</ul>\n"
    )


# --- layers -----------------------------------------------------------------------------------------------------


def _layers(audit: ClientAudit, evidence: Evidence) -> str:
    rows, left_out = _shown(audit, evidence)
    shown = min(len(evidence.layers), _MOST_LAYERS)
    norms = evidence.layer_norms[:, :shown]
    usual = norms.quantile(0.5, dim=0).tolist()
    # What nobody changed but by rounding has norms whose ratios say nothing.
    noise = (norms <= _ROUNDING * evidence.norms[:, None]).all(0).tolist()
    names = [str(name) for k, name in enumerate(evidence.ids) if k in rows]
    layers = list(evidence.layers[:shown])
    z: list[list[float | None]] = []
    words = []
    for name, row in zip(names, norms[sorted(rows)].tolist(), strict=True):
        line: list[float | None] = []
        told = []
        for layer, norm, middle, unchanged in zip(layers, row, usual, noise, strict=True):
            ratio = norm / middle if middle > 0 and not unchanged else None
            line.append(None if ratio is None else round(max(-_REACH, min(_REACH, log2(max(ratio, 2**-_REACH)))), 3))
            times = "" if ratio is None else f", {ratio:.3g} times the usual"
            times = ", rounding alone, as everybody's" if unchanged else times
            told.append(safe_text(f"{tamed(name)}, {tamed(layer)}: norm {norm:.3g}{times}"))
        z.append(line)
        words.append(told)
    trace = _heat(layers, names, z, words) | {
        "colorscale": [[0, "#0072b2"], [0.5, "#ffffff"], [1, DROPPED]],
        "zmin": -_REACH,
        "zmax": _REACH,
        "colorbar": {
            "title": {"text": "norm"},
            "thickness": 12,
            "tickvals": [-3, -1, 0, 1, 3],
            "ticktext": ["1/8", "1/2", "usual", "2x", "8x"],
        },
    }
    few = " Grey: layers in which nobody changed anything but by rounding." if any(noise) else ""
    more = f" The first {shown} of {len(evidence.layers)} layers." if len(evidence.layers) > shown else ""
    caption = f"The norm of each client's change in each layer, beside the median over clients.{few}{more}{left_out}"
    return "<h2>Where clients differ</h2>\n" + figure("layers", _drawn(trace, names, 150), caption, "Norms by layer")


# --- scores -----------------------------------------------------------------------------------------------------


def _scores(audit: ClientAudit) -> str:
    head = ["Client"]
    columns = []
    for opinion in audit.opinions:
        for name, score in opinion.scores.items():
            low, high = opinion.limits.get(name, (None, None))
            known = "" if low is None or high is None else f"<br><small>{_number(low)} to {_number(high)}</small>"
            head.append(f"{escape(opinion.member.idea)}<br>{escape(name)}{known}")
            columns.append((score, low, high))
    if not columns:
        return ""
    rows = []
    for i, name in enumerate(audit.names):
        cells = [_beyond(float(score[i]), low, high) for score, low, high in columns]
        rows.append([_name(name), *cells])
    caption = (
        "What each rule looked at. Below its name: from the least to the greatest among the clients that it does not "
        "suspect; what is beyond is bold."
    )
    return f'<h2>Scores</h2>\n{table(head, rows, 1, "wide")}<p class="caption">{caption}</p>\n'


def _beyond(value: float, low: float | None, high: float | None) -> str:
    outside = low is not None and high is not None and (value < low or value > high)
    text = _number(value)
    return f'<b style="color:{DROPPED}">{text}</b>' if outside else text


# --- calibration ------------------------------------------------------------------------------------------------


def _calibration(audit: ClientAudit, found: Calibration) -> str:
    head = ["Attack", "Caught<br>together", "Wrongly<br>suspected"]
    head += [escape(opinion.member.idea) for opinion in audit.opinions]
    rows = []
    for caught in found.attacks:
        shares = [_shaded(share) for share in caught.by_rule]
        rows.append([escape(caught.attack), _shaded(caught.together), per_cent(caught.wrongly_together, 0), *shares])
    caption = (
        f"Known attacks, played on these very files: {found.forgers} of the accepted clients forged what they sent, "
        f"from what they and the {found.honest} others had sent. The share of forged changes that each rule "
        "suspects, and the panel together. The first line, no-attack, measures false alarms: nobody forges, so that "
        f"who is caught there is caught wrongly, too. {escape(of_one_vote(found))}"
    )
    shown = table(head, rows, 1, "wide")
    return f'<h2>What this panel would have caught here</h2>\n{shown}<p class="caption">{caption}</p>\n'


def _shaded(share: float | None) -> str:
    if share is None:
        return NONE
    colour = ACCEPTED if share >= 0.5 else BETWEEN if share > 0 else ABSENT
    return f'<span style="background:{colour};padding:1px 8px;border-radius:3px">{per_cent(share, 0)}</span>'


# --- pieces -----------------------------------------------------------------------------------------------------


def _heat(
    x: Sequence[str], y: Sequence[str], z: Sequence[Sequence[float | None]], words: Sequence[Sequence[str]]
) -> dict[str, Any]:
    return {
        "type": "heatmap",
        "x": list(range(len(x))),
        "y": list(range(len(y))),
        "z": [list(line) for line in z],
        "text": [list(line) for line in words],
        "hovertemplate": "%{text}<extra></extra>",
        "xgap": 1,
        "ygap": 1,
        "hoverongaps": False,
        "names": [[_short(name) for name in x], [_short(name) for name in y]],
    }


def _drawn(trace: Mapping[str, Any], rows: Sequence[str], below: int) -> dict[str, Any]:
    """A map of named rows and columns: positions have numbers, so that two that are called alike stay two."""
    across, down = trace["names"]
    layout = base_layout(min(110 + below + 22 * len(rows), 1200), margin=margins(16, below), plot_bgcolor=ABSENT)
    layout["xaxis"] = base_axis(tickvals=list(range(len(across))), ticktext=across, showgrid=False, tickangle=-45)
    layout["yaxis"] = base_axis(tickvals=list(range(len(down))), ticktext=down, autorange="reversed", showgrid=False)
    if len(across) > 40:
        layout["xaxis"] |= {"tickmode": "auto", "nticks": 2, "showticklabels": False}
    return {"data": [{key: value for key, value in trace.items() if key != "names"}], "layout": layout}


def _short(name: str) -> str:
    text = tamed(name)
    return safe_text(text if len(text) <= 24 else f"{text[:11]}...{text[-10:]}")


def _name(name: object) -> str:
    text = tamed(name)
    return f'<span class="whole">{escape(text)}</span>' if len(text) <= 40 else escape(text)


def _number(value: float) -> str:
    return NONE if value != value else f"{value:.4g}"
