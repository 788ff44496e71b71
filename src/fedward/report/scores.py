"""Figures of what a rule had put on record: a score for each client and round, and how rounds were decided."""

from __future__ import annotations

from collections import Counter
from html import escape
from statistics import fmean

from ..core import BEYOND
from .clientmap import map_layout, order_of
from .runs import RunData
from .series import Figure, step_of
from .style import ABSENT, BYZANTINE, HONEST, base_axis, base_layout, round_axis, safe_text

MAX_CLIENTS = 200
"""Clients that have a line at most, the byzantine ones first."""
MAX_CELLS = 40_000
"""Cells of a map at most; rounds are left out beyond it."""
_LIGHT, _DARK = "#eef3f8", "#0b3d66"


def score_names(run: RunData) -> list[str]:
    """Names of the scores on record, in order of first appearance."""
    return list(dict.fromkeys(name for record in run.records for name in record.scores))


def score(run: RunData, name: str) -> Figure:
    """One score over rounds, a line a client; a client that took no part keeps what it had."""
    step = step_of(run.rounds)
    byzantine = set(run.byzantine_ids)
    order = sorted(range(run.clients), key=lambda client: (client not in byzantine, client))[:MAX_CLIENTS]
    named: set[str] = set()
    data = []
    for client in order:
        side, colour = ("byzantine", BYZANTINE) if client in byzantine else ("honest", HONEST)
        values = _last_known(run, name, client)
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": side,
                "legendgroup": side,
                "showlegend": side not in named,
                "x": [record.round for record in run.records[::step]],
                "y": values[::step],
                "line": {"color": colour, "width": 1.5, "dash": "dash" if client in byzantine else "solid"},
                "opacity": 0.75,
                "hovertemplate": f"client {client}: %{{y}}<extra>{side}</extra>",
            }
        )
        named.add(side)
    layout = base_layout(
        300,
        hovermode="closest",
        showlegend=True,
        xaxis=round_axis((record.round for record in run.records), hoverformat=",d"),
        yaxis=base_axis(safe_text(name), rangemode="tozero"),
    )
    return {"data": data, "layout": layout}


def score_map(run: RunData, name: str) -> Figure:
    """One score as a map, a row a client, the byzantine ones at the bottom: no client hides behind another."""
    clients = order_of(run)
    step = max(1, -(-run.rounds * len(clients) // MAX_CELLS))
    shown = run.records[::step]
    edges = [*(record.round - 0.5 for record in shown), shown[-1].round + step - 0.5]
    trace = {
        "type": "heatmap",
        "x": edges,
        "y": list(range(len(clients))),
        "z": [_last_known(run, name, client)[::step] for client in clients],
        "text": [[f"client {client}"] * len(shown) for client in clients],
        "colorscale": [[0, _LIGHT], [1, _DARK]],
        "hoverongaps": False,
        "hovertemplate": "%{text}: %{z}<extra></extra>",
        "colorbar": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom", "len": 0.5}
        | {"thickness": 8, "tickfont": {"size": 10}, "nticks": 5},
    }
    layout = map_layout(clients, edges, len(clients) - len(run.byzantine_ids))
    return {"data": [trace], "layout": layout | {"plot_bgcolor": ABSENT}}


def range_in_words(run: RunData, name: str) -> str:
    """One sentence: between what numbers a score was over all rounds, on each side."""
    byzantine = set(run.byzantine_ids)
    known: dict[str, list[float]] = {"honest": [], "byzantine": []}
    for record in run.records:
        for client, value in enumerate(record.scores.get(name, ())):
            if value is not None:
                known["byzantine" if client in byzantine else "honest"].append(value)
    sides = [
        f"{side if byzantine else 'all'} {min(values):.3g} to {max(values):.3g}, mean {fmean(values):.3g}"
        for side, values in known.items()
        if values
    ]
    return f"Over all rounds: {'; '.join(sides)}." if sides else ""


def _last_known(run: RunData, name: str, client: int) -> list[float | None]:
    """A client's score after each round; None until it has one."""
    values: list[float | None] = []
    last: float | None = None
    for record in run.records:
        told = record.scores.get(name)
        if told is not None and told[client] is not None:
            last = told[client]
        values.append(last)
    return values


def decisions(run: RunData) -> str:
    """One sentence of HTML: in how many rounds the rule decided how; nothing if it has only one way."""
    counts = Counter(record.note for record in run.records if record.note and record.note != BEYOND)
    told = ", ".join(f"{escape(note)} {count:,}" for note, count in counts.most_common())
    return f"Rounds by the way they were decided: {told}." if told else ""
