"""The page about a federation: which node was accepted or dropped, why, by what scores, and how its model did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from statistics import fmean
from typing import Any

from ..failures import tamed
from . import style
from .audit_lines import NO_ANSWER, UNUSED, NodeEntry, RoundEntry, absent, shown_name
from .audits import AuditData
from .clientmap import nodes_by_round
from .curves import panel_box, panel_grid
from .pieces import NONE, count, cut, figure, per_cent, table, three_digits
from .runs import NOT_JUDGED, not_judged
from .series import Figure, share_text
from .style import ACCEPTED, DROPPED, PALETTE, base_axis, base_layout, margins, round_axis, safe_text

_MOST_POINTS = 12_000
"""Of a figure: rounds are left out beyond it."""
_MOST_FIGURES = 8
_MOST_NODES = 1000
_TRIMMED = "trimmed"
_LOGARITHMIC = 50.0
"""The largest number over the smallest, from which on an axis is logarithmic."""
_NOT_SHOWN = ("num-examples", "partition-id")


def audit_lead(audits: Sequence[AuditData]) -> str:
    """The line below the heading of a page."""
    if len(audits) > 1:
        return count(len(audits), "federation")
    (audit,) = audits
    facts = [escape(tamed(audit.rule)), count(len(audit.who), "node"), count(len(audit.rounds), "round")]
    return " &middot; ".join(facts)


def audit_sections(audits: Sequence[AuditData]) -> str:
    """All that there is to say of federations."""
    return "".join(_section(number, audit, len(audits) > 1) for number, audit in enumerate(audits, 1))


def _section(number: int, audit: AuditData, several: bool) -> str:
    name = f"audit-{number}"
    head = f"{audit.run.folder}/{audit.name}" if several else ""
    title = f'<h2 id="{name}">{cut(tamed(head), 80)}: {escape(tamed(audit.rule))}</h2>\n' if several else ""
    tally = _tally(audit)
    return (
        title
        + "".join(f'<p class="note">{escape(tamed(note, 1000))}</p>\n' for note in audit.notes)
        + _nodes(audit, tally)
        + _map(audit, name)
        + _found(audit, name)
        + _scores(audit, name)
        + _said(audit, name)
        + _rounds(audit)
    )


# --- nodes ------------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class _Tally:
    """What became of a node over all rounds."""

    kept: int = 0
    given: int = 0
    """To a rule that says nothing of single nodes."""
    dropped: int = 0
    absent: int = 0
    unused: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    detail: str = ""
    weights: list[float] = field(default_factory=list)
    trimmed: list[float] = field(default_factory=list)

    def add(self, node: NodeEntry) -> None:
        """One more round."""
        if node.kept:
            self.kept += node.judged
            self.given += not node.judged
        elif node.reason in NO_ANSWER:
            self.absent += 1
        elif node.reason == UNUSED:
            self.unused += 1
        else:
            self.dropped += 1
            self.reasons[node.reason] += 1
            self.detail = node.detail or self.detail
        if node.weight is not None:
            self.weights.append(node.weight)
        trimmed = node.scores.get(_TRIMMED)
        if trimmed is not None:
            self.trimmed.append(trimmed)


def _tally(audit: AuditData) -> dict[str, _Tally]:
    found = {name: _Tally() for name in audit.who}
    for _, name, node in audit.entries():
        found[name].add(node)
    return found


def _nodes(audit: AuditData, tally: Mapping[str, _Tally]) -> str:
    weighed = any(each.weights for each in tally.values())
    trimmed = any(each.trimmed for each in tally.values())
    unknown = not_judged(audit.run)
    head = ["Node", "Why it was dropped", _taken_in(audit).capitalize(), "Dropped", "No answer"]
    head += ["Mean<br>weight"] * weighed + ["Trimmed"] * trimmed
    rows = []
    for name in audit.who[:_MOST_NODES]:
        each = tally[name]
        judged = each.kept + each.dropped
        share = f"<small>{share_text(each.kept, judged)}</small>" if judged and not each.given else ""
        kept = f"{each.kept + each.given:,}{share}"
        cells = [_name(audit, name), _why(each), kept, f"{each.dropped:,}", f"{each.absent:,}"]
        if weighed:
            cells.append(f"{fmean(each.weights):.3f}" if each.weights else NONE)
        if trimmed:
            cells.append(per_cent(fmean(each.trimmed) if each.trimmed else None, 0))
        rows.append(cells)
    caption = "Rounds in which each node was accepted or dropped, and in which it was asked and did not answer. "
    caption += "Most rules drop some in every round; a node that is dropped nearly always is worth a look. "
    if unknown:
        caption = f"{NOT_JUDGED} Dropped are replies that could not be used. "
    caption += "Weights are those of the node's update in the aggregate. " * weighed
    caption += (
        "Trimmed is the share of the model's entries in which the node's had no part in the aggregate. " * trimmed
    )
    if unused := sum(each.unused for each in tally.values()):
        caption += f"{count(unused, 'sound update')} came in rounds in which the model stayed as it was. "
    more = len(audit.who) - _MOST_NODES
    caption += f"The first {_MOST_NODES:,} nodes; {more:,} more are in the file. " if more > 0 else ""
    return f'<h2>Nodes</h2>\n{table(head, rows, 2, "wide")}<p class="caption">{caption}</p>\n'


def _taken_in(audit: AuditData) -> str:
    """What pages say of nodes that were not dropped."""
    return "given to the rule" if not_judged(audit.run) else "accepted"


def _name(audit: AuditData, name: str) -> str:
    ids = audit.ids[name]
    if ids == (name,):
        return escape(shown_name(name))
    more = f" and {len(ids) - 2} more" if len(ids) > 2 else ""
    return f"{escape(shown_name(name))}<small>{escape(', '.join(map(shown_name, ids[:2])))}{more}</small>"


def _why(each: _Tally) -> str:
    told = ", ".join(f"{escape(tamed(reason, 40))} {times:,}" for reason, times in each.reasons.most_common(4))
    detail = f"<small>{escape(tamed(each.detail, 300))}</small>" if each.detail else ""
    return f'<div style="color:{DROPPED};min-width:130px">{told}</div>{detail}' if told else NONE


def _map(audit: AuditData, name: str) -> str:
    drawn = nodes_by_round(audit.run, [shown_name(each) for each in audit.who])
    swatch = '<span><span class="swatch" style="background:{}"></span>{}</span>'
    key = [swatch.format(style.ACCEPTED, _taken_in(audit)), swatch.format(style.DROPPED, "dropped")]
    key.append(swatch.format(style.ABSENT, "no answer, not asked, or nobody decided"))
    width = drawn["cells"]["width"]
    if width > 1:
        blend = f"linear-gradient(90deg,{style.DROPPED},{style.BETWEEN},{style.ACCEPTED})"
        key.append(swatch.replace("swatch", "swatch blend").format(blend, f"in some of {width} rounds"))
    keys = f'<div class="key">{"".join(key)}</div>\n'
    caption = "Every node (row) in every round" if width == 1 else f"Every node (row); a column is {width} rounds"
    return f"<h2>Round by round</h2>\n{keys}" + figure(f"{name}-map", drawn, f"{caption}.", "Accepted nodes by round")


# --- over rounds ------------------------------------------------------------------------------------------------


def _found(audit: AuditData, name: str) -> str:
    """What the model was found to be: by the server on data of its own, by the nodes together."""
    metrics = dict.fromkeys(m for e in audit.evaluations for m in e.metrics if m not in _NOT_SHOWN)
    ordered = sorted(metrics, key=lambda metric: "acc" not in metric.lower())  # accuracies first
    boxes = []
    for number, metric in enumerate(ordered[:_MOST_FIGURES]):
        lines = []
        for by, title, colour in (("server", "server", PALETTE[0]), ("clients", "nodes together", PALETTE[2])):
            told = [(e.round, e.metrics.get(metric)) for e in audit.evaluations if e.evaluated == by]
            known = [(x, y) for x, y in told if y is not None]
            if known:
                lines.append(_line(title, known, colour))
        if lines:
            layout = _layout(metric, [x for line in lines for x in line["x"]], [y for line in lines for y in line["y"]])
            boxes.append(_box(f"{name}-found-{number}", metric, {"data": lines, "layout": layout}))
    if not boxes:
        return ""
    last = next((e for e in reversed(audit.evaluations) if e.evaluated == "server"), audit.evaluations[-1])
    values = ", ".join(f"{escape(tamed(k, 40))} {v:.4g}" for k, v in [*last.metrics.items()][:6] if v is not None)
    by = "by the server" if last.evaluated == "server" else "by the nodes together"
    colours = "Blue: found by the server; green: by the nodes together."
    caption = f'<p class="caption">{colours} Last, after round {last.round:,}, {by}: {values}.</p>\n'
    return f"<h2>What the model was found to be</h2>\n{panel_grid(boxes)}{caption}"


Points = dict[str, list[tuple[int, str, float, NodeEntry]]]
"""Of each score or metric: round, name of the node, value and verdict."""


def _scores(audit: AuditData, name: str) -> str:
    points: Points = {}
    for entry, who, node in audit.entries():
        for score, value in node.scores.items():
            if value is not None:
                points.setdefault(score, []).append((entry.round, who, value, node))
    if not points:
        return ""
    boxes = [
        _box(f"{name}-score-{number}", score, _dots(score, told))
        for number, (score, told) in enumerate([*points.items()][:_MOST_FIGURES])
    ]
    caption = (
        "What the rule looked at. Blue points: nodes that were accepted; red crosses: nodes that were dropped. The "
        "band goes from the least to the greatest among the accepted nodes of each round: the threshold lies beyond it."
    )
    return f'<h2>Scores</h2>\n{panel_grid(boxes)}<p class="caption">{caption}</p>\n'


def _said(audit: AuditData, name: str) -> str:
    """What nodes say of themselves in training."""
    points: Points = {}
    for entry, who, node in audit.entries():
        for metric, value in node.metrics.items():
            if value is not None and metric not in _NOT_SHOWN:
                points.setdefault(metric, []).append((entry.round, who, value, node))
    if not points:
        return ""
    boxes = [
        _box(f"{name}-said-{number}", metric, _dots(metric, told))
        for number, (metric, told) in enumerate([*points.items()][:_MOST_FIGURES])
    ]
    caption = (
        "Metrics of training as the nodes report them, which may be anything. Red crosses: nodes that were dropped."
    )
    return f'<h2>What nodes say</h2>\n{panel_grid(boxes)}<p class="caption">{caption}</p>\n'


def _dots(name: str, told: Sequence[tuple[int, str, float, NodeEntry]]) -> Figure:
    step = max(1, -(-len(told) // _MOST_POINTS))
    shown = set(sorted({number for number, *_ in told})[::step])
    points = [point for point in told if point[0] in shown]
    kept = [point for point in points if point[3].kept]
    dropped = [point for point in points if not point[3].kept]
    data = _band(kept)
    for title, chosen, marker in (
        ("accepted", kept, {"color": ACCEPTED, "size": 5}),
        ("dropped", dropped, {"color": DROPPED, "size": 7, "symbol": "x-thin", "line": {"width": 2, "color": DROPPED}}),
    ):
        if chosen:
            data.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": title,
                    "x": [number for number, *_ in chosen],
                    "y": [float(f"{value:.6g}") for _, _, value, _ in chosen],
                    "text": [safe_text(_pointed(who, node)) for _, who, _, node in chosen],
                    "marker": marker,
                    "hovertemplate": "<b>%{text}</b><br>round %{x}: %{y}<extra></extra>",
                }
            )
    return {
        "data": data,
        "layout": _layout(name, [number for number, *_ in points], [value for _, _, value, _ in points]),
    }


def _pointed(who: str, node: NodeEntry) -> str:
    return shown_name(who) if node.kept else f"{shown_name(who)}, {tamed(node.reason, 40)}"


def _band(kept: Iterable[tuple[int, str, float, NodeEntry]]) -> list[dict[str, Any]]:
    """From the least to the greatest of the accepted, round by round."""
    limits: dict[int, tuple[float, float]] = {}
    for number, _, value, _ in kept:
        low, high = limits.get(number, (value, value))
        limits[number] = (min(low, value), max(high, value))
    if len(limits) < 2:
        return []
    rounds = sorted(limits)
    upper = [limits[number][1] for number in rounds]
    lower = [limits[number][0] for number in rounds]
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": rounds + rounds[::-1],
            "y": [float(f"{value:.6g}") for value in upper + lower[::-1]],
            "fill": "toself",
            "fillcolor": "rgba(139,184,220,0.25)",
            "line": {"width": 0},
            "hoverinfo": "skip",
            "showlegend": False,
        }
    ]


def _line(title: str, known: Sequence[tuple[int, float]], colour: str) -> dict[str, Any]:
    step = max(1, -(-len(known) // 1500))
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(known) <= 40 else "lines",
        "name": title,
        "x": [x for x, _ in known[::step]],
        "y": [float(f"{y:.6g}") for _, y in known[::step]],
        "line": {"color": colour, "width": 2},
        "marker": {"size": 5},
        "hovertemplate": f"{title}, round %{{x}}: %{{y}}<extra></extra>",
    }


def _layout(name: str, rounds: Sequence[int], values: Sequence[float]) -> dict[str, Any]:
    """Axes; logarithmic where some values would hide the others."""
    positive = bool(values) and min(values) > 0
    wide = positive and max(values) > _LOGARITHMIC * min(values)
    share = bool(values) and min(values) >= 0 and max(values) <= 1 and ("acc" in name.lower() or name == _TRIMMED)
    axis: dict[str, Any] = {"type": "log", "exponentformat": "power"} if wide else {}
    if share and not wide:
        axis = {"tickformat": ".0%"}
    return base_layout(
        280,
        hovermode="closest",
        showlegend=False,
        margin=margins(10, 46, 8),
        xaxis=round_axis(rounds, hoverformat=",d"),
        yaxis=base_axis(**axis),
    )


def _box(name: str, title: str, drawn: Figure) -> str:
    shown = tamed(title, 60)
    return panel_box(figure(name, drawn, "", f"{shown} over rounds"), shown)


# --- rounds -----------------------------------------------------------------------------------------------------


def _rounds(audit: AuditData) -> str:
    """How rounds went: how many were decided, how long that took, and the last ones by themselves."""
    head = ["Round", "What happened", _taken_in(audit).capitalize(), "Dropped", "No answer", "Seconds"]
    rows = [_round(entry) for entry in audit.rounds[-20:][::-1]]
    shown = table(head, rows, 2, "wide")
    seconds = [entry.seconds for entry in audit.rounds]
    mean = sum(seconds) / len(seconds)
    caption = f"The last {len(rows)} of {len(audit.rounds):,}; a decision took {three_digits(mean)} s on average."
    return f'<h2>Last rounds</h2>\n{shown}<p class="caption">{caption}</p>\n'


def _round(entry: RoundEntry) -> list[str]:
    kept = sum(node.kept for node in entry.nodes)
    unanswered = sum(node.reason in NO_ANSWER for node in entry.nodes)
    dropped = [node for node in entry.nodes if not node.kept and not absent(node)]
    if entry.skipped:
        why = f"<small>{escape(tamed(entry.skipped, 300))}</small>"
        told = f'<b style="color:{DROPPED}">the model stays as it was</b>{why}'
    else:
        reasons = Counter(node.reason for node in dropped).most_common(3)
        told = ", ".join(f"{escape(tamed(reason, 40))} {times}" for reason, times in reasons)
        told = told or ("nobody dropped" if all(node.judged for node in entry.nodes) else "not judged")
        told += f"<small>{escape(tamed(entry.note))}</small>" if entry.note else ""
    return [
        f"{entry.round:,}",
        f'<div style="min-width:150px">{told}</div>',
        f"{kept:,}",
        f"{len(dropped):,}",
        f"{unanswered:,}",
        three_digits(entry.seconds),
    ]
