"""The page about examinations: one table of rules, and for each rule every attack at every strength."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import log10
from pathlib import Path
from typing import Any

from ..redteam.arsenal import family, label
from ..redteam.findings import NEVER_DECIDED, WORST_BY, Examination
from ..redteam.play import Finding
from .pieces import NONE, count, document, figure, numbered, per_cent, save_page, table
from .runs import ReportError
from .series import share_text
from .style import BYZANTINE, HONEST, base_axis, base_layout, margins, safe_text

TITLE = "Red team: what each attack does to a rule"
_LEAST = 1e-6
"""Kappas below are drawn here: an output that is the honest mean has none."""

_EXPLAINED = (
    "Kappa is the squared distance of the rule's output from the honest mean, in units of the honest rows' mean "
    "squared distance from it: 0 is perfect, 1 as bad as one honest client taken at random. Progress is the output's "
    "share along the honest mean: 1 without harm, below 0 the model moves back."
)


def write_examinations(
    examinations: Sequence[Examination], refused: Mapping[str, str], output: Path, title: str = TITLE
) -> Path:
    """Write the page about examinations as one HTML file, which needs no network to open; return its path.

    Args:
        examinations: at least one.
        refused: rules that could not be examined, and why.
        output: the file.
        title: the page's heading.

    Raises:
        ReportError: no examination, or plotly is not installed.
    """
    if not examinations:
        raise ReportError("no examinations to show; run `fedward redteam --rule NAME` first")
    alone = len(examinations) == 1
    decided = [e for e in examinations if not e.undecided]
    body = "" if alone else _summary(examinations) + (_map(decided) if decided else "")
    body += "".join(_section(number, e, alone) for number, e in enumerate(examinations, 1))
    if refused:
        lines = "".join(f"<li>{escape(rule)}: {escape(why)}</li>" for rule, why in refused.items())
        body += f"<h2>Not examined</h2>\n<ul>{lines}</ul>\n"
    return save_page(output, document(title, _lead(examinations), body))


def _lead(examinations: Sequence[Examination]) -> str:
    s = examinations[0].settings
    facts = [count(len(examinations), "rule"), count(len(examinations[0].findings), "attack")]
    facts += [str(s["data"]), str(s["model"]), str(s["partition"])]
    facts += [f"{numbered(s['clients'], 'client')}, {s['byzantine']} byzantine"]
    facts += [f"trained for {numbered(s['rounds'], 'round')}"]
    made_by = {str((v or {}).get("code", "unknown")) for e in examinations for v in e.versions}
    if made_by:
        facts.append(f"code {', '.join(sorted(made_by))}")
    return " &middot; ".join(map(escape, facts))


def _number(value: float) -> str:
    return f"{value:.3g}"


def _summary(examinations: Sequence[Examination]) -> str:
    head = ["Rule", "Worst attack,<br>by kappa", "Kappa", "Kappa<br>without", "Progress", "Byzantine<br>accepted"]
    head += ["Accuracy<br>without", "Lowest<br>accuracy", "Under"]
    rows = []
    for number, e in enumerate(examinations, 1):
        _, worst = e.worst()[0]
        lowest = e.trained[0] if e.trained else None
        moved = [
            escape(label(worst.attack)),
            _number(worst.kappa),
            _number(e.baseline.kappa) if e.baseline else NONE,
            f"{worst.progress:.2f}",
            per_cent(worst.byzantine_accepted, 0),
        ]
        rows.append(
            [
                f'<a href="#run-{number}">{escape(e.rule)}</a>',
                *([NEVER_DECIDED, NONE, NONE, NONE, NONE] if e.undecided else moved),
                per_cent(e.untouched, 1),
                per_cent(lowest[1], 1) if lowest else NONE,
                escape(label(lowest[0])) if lowest else NONE,
            ]
        )
    caption = f"{WORST_BY} {_EXPLAINED} Accuracies are those of a short training run."
    caption += "".join(f" {escape(e.undecided_told())}" for e in examinations if e.undecided)
    heading = "<h2>Every rule and its worst attack, by kappa</h2>"
    return f'{heading}\n{table(head, rows, 2, "wide")}<p class="caption">{caption}</p>\n'


def _map(examinations: Sequence[Examination]) -> str:
    worst = [dict(e.worst()) for e in examinations]
    kinds = list(dict.fromkeys(kind for found in worst for kind in found))
    # One that ruins a single rule is none to overlook, whatever others make of it.
    kinds.sort(key=lambda kind: -max(_depth(found[kind]) for found in worst if kind in found))
    trace = {
        "type": "heatmap",
        "x": [safe_text(kind) for kind in kinds],
        "y": [safe_text(e.rule) for e in examinations],
        "z": [_depths(found, kinds) for found in worst],
        "text": [_words(found, kinds) for found in worst],
        "hovertemplate": "<b>%{y}</b><br>%{text}<extra></extra>",
        "colorscale": [[0, "#f7fbff"], [0.5, "#f6e6bd"], [1, "#c8501e"]],
        "zmin": -3,
        "zmax": 1,
        "xgap": 1,
        "ygap": 1,
        "colorbar": {"title": {"text": "kappa"}, "tickvals": [-3, -2, -1, 0, 1], "thickness": 12}
        | {"ticktext": ["0.001", "0.01", "0.1", "1", "10 and more"]},
    }
    layout = base_layout(max(300, 150 + 20 * len(examinations)), margin=margins(36, 110))
    layout |= {"xaxis": base_axis(tickangle=-45), "yaxis": base_axis(autorange="reversed", dtick=1)}
    drawn = {"data": [trace], "layout": layout}
    caption = (
        "Kappa of each kind of attack at its worst strength, by kappa; to the left those with the greatest kappa under "
        "any of the rules."
    )
    return "<h2>Rules against attacks</h2>\n" + figure("map", drawn, caption, "Kappa by rule and attack")


def _depths(found: Mapping[str, Finding], kinds: Sequence[str]) -> list[float | None]:
    """A row of the map; nothing where a kind was not played."""
    return [round(_depth(found[kind]), 3) if kind in found else None for kind in kinds]


def _words(found: Mapping[str, Finding], kinds: Sequence[str]) -> list[str]:
    """What a row of the map says under the mouse."""
    return [_spoken(found[kind]) if kind in found else "" for kind in kinds]


def _section(number: int, e: Examination, alone: bool) -> str:
    worst = e.worst()
    head = [
        "Attack",
        "Worst strength,<br>by kappa",
        "Kappa",
        "Progress",
        "Byzantine<br>accepted",
        "Honest<br>accepted",
        "Accuracy",
    ]
    normalised = e.astray() is not None
    head += ["Statistics"] if normalised else []
    rows = [
        [
            escape(kind),
            _strength(f),
            _number(f.kappa),
            f"{f.progress:.2f}",
            per_cent(f.byzantine_accepted, 0),
            per_cent(f.honest_accepted, 0),
            per_cent(f.accuracy, 1),
            *([NONE if f.statistics is None else _number(f.statistics)] if normalised else []),
        ]
        for kind, f in worst
    ]
    most = _worst_told(e) if worst else "no findings"
    return (
        f'<details class="run" id="run-{number}"{" open" * alone}><summary><span class="name">{escape(e.rule)}</span>'
        f'<span class="facts">{most}</span></summary>\n'
        f'<div class="body">\n{_undecided(e)}{_dots(number, e)}{table(head, rows, 2, "wide")}'
        f'<p class="caption">{_EXPLAINED} '
        "Accuracy is that after a short training run, where one was made; without attack it is "
        f"{per_cent(e.untouched, 1)}.{_statistics(e)} {_clients(e)}</p>\n</div></details>\n"
    )


def _worst_told(e: Examination) -> str:
    """The worst attack by each measure."""
    _, worst = e.worst()[0]
    told = f"worst by kappa: {escape(label(worst.attack))}, {_number(worst.kappa)}"
    if e.undecided:
        told = NEVER_DECIDED
    if not e.trained:
        return told
    attack, accuracy = e.trained[0]
    return f"{told}; by accuracy: {escape(label(attack))}, {per_cent(accuracy, 1)}"


def _undecided(e: Examination) -> str:
    """Above what was measured, that it says nothing of the rule, where that is so."""
    return f"<p><b>{escape(e.undecided_told())}</b></p>\n" if e.undecided else ""


def _clients(e: Examination) -> str:
    """What clients computed, which is not the same for all rules: some hear what others have no use for."""
    return f"Clients: {escape(str(e.settings.get('algorithm', 'unknown')))}; {count(len(e.findings), 'attack')}."


def _statistics(e: Examination) -> str:
    """What came of forged running statistics, where the model has any."""
    astray = e.astray()
    if astray is None:
        return ""
    told = (
        " Statistics is how far the server's running statistics end from the honest clients' mean if they are forged "
        f"beside the rows, in standard deviations of their layers; the farthest, {_number(astray.statistics or 0.0)}, "
        f"is by {escape(label(astray.attack))}."
    )
    if e.forged is None:
        return told
    attack, accuracy = e.forged
    return f"{told} Honest rows with statistics that {escape(label(attack))} forged: {per_cent(accuracy, 1)}."


def _strength(finding: Finding) -> str:
    refused = f"<small>refused in {count(finding.refused, 'round')}</small>" if finding.refused else ""
    return escape(label(finding.attack)) + refused


def _dots(number: int, e: Examination) -> str:
    """Every attack at every strength as a dot on the axis of kappa."""
    kinds = [kind for kind, _ in e.worst()]
    places = {kind: len(kinds) - k for k, kind in enumerate(kinds)}
    attacks = [f for f in e.findings if f is not e.baseline]
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": [max(f.kappa, _LEAST) for f in attacks],
        "y": [places[family(f.attack)] for f in attacks],
        "text": [_spoken(f) for f in attacks],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"size": 9, "color": BYZANTINE, "opacity": 0.75},
    }
    layout: dict[str, Any] = base_layout(90 + 20 * len(kinds), margin=margins(24, 48), showlegend=False)
    names = [safe_text(kind) for kind in places]
    layout["xaxis"] = base_axis("kappa", type="log", dtick=1)
    layout["yaxis"] = base_axis(tickvals=list(places.values()), ticktext=names)
    if e.baseline is not None:
        at = max(e.baseline.kappa, _LEAST)
        line = {"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "yref": "paper"}
        layout["shapes"] = [line | {"line": {"color": HONEST, "width": 1.5, "dash": "dash"}}]
    caption = "One dot for each strength of each attack; the dashed line is the rule without attack."
    return figure(f"run-{number}-dots", {"data": [trace], "layout": layout}, caption, "Kappa by attack and strength")


def _depth(finding: Finding) -> float:
    return log10(max(finding.kappa, _LEAST))


def _spoken(f: Finding) -> str:
    accepted = "" if f.byzantine_accepted is None else f", accepted {share_text(f.byzantine_accepted)}"
    return safe_text(f"{f.attack}: kappa {_number(f.kappa)}, progress {f.progress:.2f}{accepted}")
