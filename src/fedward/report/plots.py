"""The figures as plain plotly.js specifications: runs in, ``{"data": [...], "layout": {...}}`` out."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..sim.record import Record, Shares
from .grid import Placed, unique
from .runs import RunData
from .style import (
    ABSENT,
    ACCEPTED,
    BETWEEN,
    BYZANTINE,
    DASHES,
    DROPPED,
    HONEST,
    INK,
    PALETTE,
    base_axis,
    base_layout,
    margins,
    note,
    safe_text,
)

Figure = dict[str, Any]
Floats = NDArray[np.float64]

MAX_COLUMNS = 400
"""Columns of the client map at most; rounds are binned beyond it."""
MAX_CELLS = 200_000
"""Cells of the client map, which makes the columns fewer (not below 50) with more than 500 clients."""
MAX_POINTS = 1500
"""Points of a line at most; every k-th round is drawn beyond it."""


def _listed(values: Floats) -> list[float | None]:
    """Numbers for JSON: four decimals, and null for what is not finite."""
    return [round(float(value), 4) if np.isfinite(value) else None for value in values]


def _column(values: Sequence[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def window_of(rounds: int) -> int:
    """Length of the trailing window: a twentieth of the run, at least 1 and at most 50 rounds."""
    return min(50, max(1, rounds // 20))


def trailing_mean(values: Floats, window: int) -> Floats:
    """Mean over each entry and the ``window - 1`` before it, of those that are known; NaN where none is."""
    known = np.isfinite(values)
    total = np.concatenate(([0.0], np.cumsum(np.where(known, values, 0.0))))
    count = np.concatenate(([0], np.cumsum(known)))
    end = np.arange(1, len(values) + 1)
    start = np.maximum(end - window, 0)
    held = count[end] - count[start]
    return np.where(held > 0, (total[end] - total[start]) / np.maximum(held, 1), np.nan)


def step_of(rounds: int) -> int:
    """Every ``step_of(rounds)``-th round is drawn."""
    return max(1, -(-rounds // MAX_POINTS))


# -------------------------------------------------------------------------------- accuracy


def panel_columns(panels: int) -> int:
    """Panels side by side."""
    return panels if panels <= 2 else 2 if panels == 4 else 3


def accuracy(placed: Sequence[Placed]) -> Figure | None:
    """Test accuracy over rounds, a panel an attack, a colour a rule; None if nothing was evaluated."""
    shown = [entry for entry in placed if entry.run.evaluated]
    if not shown:
        return None
    rows, panels = unique([entry.row for entry in placed]), unique([entry.column for entry in shown])
    across = panel_columns(len(panels))
    down = -(-len(panels) // across)
    above = 30 if len(panels) > 1 else 8  # the panel titles
    top_margin, bottom_margin = 42 + 20 * _legend_lines(rows) + above, 52  # 42: plotly's buttons
    height = top_margin + bottom_margin + (380 if down == 1 else 290 * down)
    gap_x, gap_y = 0.035, 84 / height
    width, tall = (1 - gap_x * (across - 1)) / across, (1 - gap_y * (down - 1)) / down
    span = [r.accuracy for entry in shown for r in entry.run.evaluated if r.accuracy is not None]
    latest = max(entry.run.evaluated[-1].round for entry in shown)
    pad = max(0.02, 0.05 * (max(span) - min(span)))
    layout = base_layout(height, hovermode="closest", annotations=[], margin=margins(top_margin, bottom_margin))
    # Just above the panel titles and growing upwards: plotly widens the margin for a legend of several lines.
    layout["legend"] |= {
        "y": 1 + above / (height - top_margin - bottom_margin),
        "yref": "paper",
        "yanchor": "bottom",
    }
    for index, panel in enumerate(panels):
        right, below = index % across, index // across
        left, top = right * (width + gap_x), 1 - below * (tall + gap_y)
        suffix = "" if index == 0 else str(index + 1)
        last = index + across >= len(panels)
        layout[f"xaxis{suffix}"] = base_axis(
            "round" if last else None,
            domain=[left, left + width],
            anchor=f"y{suffix}",
            range=[0, 1.02 * latest],
        )
        layout[f"yaxis{suffix}"] = base_axis(
            "test accuracy" if right == 0 else None,
            domain=[max(0.0, top - tall), top],
            anchor=f"x{suffix}",
            range=[max(0.0, min(span) - pad), min(1.0, max(span) + pad)],
            tickformat=".0%" if max(span) - min(span) > 0.08 else ".1%",
            showticklabels=right == 0,
        ) | ({"matches": "y"} if index else {})
        if len(panels) > 1:
            layout["annotations"].append(
                note(f"<b>{safe_text(_beginning(panel))}</b>", left, top, xanchor="left", yanchor="bottom", yshift=4)
            )
    named: set[str] = set()
    data = []
    for entry in sorted(shown, key=lambda entry: rows.index(entry.row)):
        index, style = panels.index(entry.column), rows.index(entry.row)
        suffix = "" if index == 0 else str(index + 1)
        points = entry.run.evaluated
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers" if len(points) <= 40 else "lines",
                "name": safe_text(entry.row),
                "legendgroup": entry.row,
                "showlegend": entry.row not in named,
                "xaxis": f"x{suffix}",
                "yaxis": f"y{suffix}",
                "x": [r.round for r in points],
                "y": _listed(_column([r.accuracy for r in points])),
                "customdata": _listed(_column([r.loss for r in points])),
                "line": {"color": PALETTE[style % 7], "dash": DASHES[style // 7 % 4], "width": 2},
                "marker": {"size": 5},
                "hovertemplate": f"<b>{safe_text(entry.label)}</b><br>round %{{x}}<br>accuracy %{{y:.2%}}"
                "<br>test loss %{customdata}<extra></extra>",
            }
        )
        named.add(entry.row)
    return {"data": data, "layout": layout}


def _beginning(text: str, most: int = 48) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}\u2026"


def _legend_lines(names: Sequence[str]) -> int:
    """About how many lines a horizontal legend takes on a page of 1280 pixels."""
    width = 52 + 7 * max(len(name) for name in names)
    return -(-len(names) // max(1, 1060 // width))


# ----------------------------------------------------------------------- acceptance, signs


def _line(
    run: RunData, values: Sequence[float | None], name: str, colour: str, axis: str = "", **more: Any
) -> dict[str, Any]:
    step = step_of(run.rounds)
    smooth = trailing_mean(_column(values), window_of(run.rounds))
    return {
        "type": "scatter",
        "mode": "lines" if run.rounds > 1 else "markers",
        "name": name,
        "x": [record.round for record in run.records[::step]],
        "y": _listed(smooth[::step]),
        "xaxis": f"x{axis}",
        "yaxis": f"y{axis}",
        "line": {"color": colour, "width": 2, "dash": "dash" if name == "byzantine" else "solid"},
        "hovertemplate": "%{y:.1%}",
    } | more


def success(run: RunData) -> Figure | None:
    """Accuracy, and how far an attack with a target got; None if there was no such attack."""
    points = [r for r in run.evaluated if r.confidence is not None]
    if not points:
        return None
    lines = (("accuracy", HONEST, [r.accuracy for r in points]), ("attack", BYZANTINE, [r.confidence for r in points]))
    data = [
        {
            "type": "scatter",
            "mode": "lines+markers" if len(points) <= 40 else "lines",
            "name": name,
            "x": [r.round for r in points],
            "y": _listed(_column(values)),
            "line": {"color": colour, "width": 2},
            "hovertemplate": "%{y:.1%}",
        }
        for name, colour, values in lines
    ]
    return {"data": data, "layout": _rates_layout("share")}


def acceptance(run: RunData) -> Figure | None:
    """Rates at which honest and byzantine clients were accepted; None if no rate was recorded."""
    data = [
        _line(run, values, name, colour)
        for name, colour, values in (
            ("honest", HONEST, [r.honest_accepted for r in run.records]),
            ("byzantine", BYZANTINE, [r.byzantine_accepted for r in run.records]),
        )
        if any(value is not None for value in values)
    ]
    return {"data": data, "layout": _rates_layout("accepted")} if data else None


def _rates_layout(title: str) -> dict[str, Any]:
    return base_layout(
        300,
        hovermode="x unified",
        showlegend=True,
        xaxis=base_axis("round", hoverformat=",d", unifiedhovertitle={"text": "round %{x}"}),
        yaxis=base_axis(title, range=[-0.03, 1.03], tickformat=".0%"),
    )


def shares_of(record: Record, side: str) -> Shares | None:
    """Shares of signs of the rows of one side, "honest" or "byzantine", where they were counted."""
    return None if record.signs is None else record.signs.get(side)


def with_signs(run: RunData) -> RunData:
    """The run as far as signs were counted in it, which is not in every round."""
    return replace(run, records=tuple(r for r in run.records if shares_of(r, "honest") or shares_of(r, "byzantine")))


def signs(run: RunData) -> Figure | None:
    """Shares of positive, zero and negative signs of honest and byzantine gradients, a panel a sign."""
    run = with_signs(run)
    sides: list[tuple[str, str, list[Shares | None]]] = [
        ("honest", HONEST, [shares_of(r, "honest") for r in run.records]),
        ("byzantine", BYZANTINE, [shares_of(r, "byzantine") for r in run.records]),
    ]
    sides = [side for side in sides if any(side[2])]
    if not sides:
        return None
    width, gap = 0.31, 0.035
    layout = base_layout(320, hovermode="x unified", annotations=[], margin=margins(64, 48))
    data = []
    for index, sign in enumerate(("positive", "zero", "negative")):
        axis = "" if index == 0 else str(index + 1)
        left = index * (width + gap)
        layout[f"xaxis{axis}"] = base_axis(
            "round",
            domain=[left, left + width],
            anchor=f"y{axis}",
            hoverformat=",d",
            unifiedhovertitle={"text": "round %{x}"},
        )
        layout[f"yaxis{axis}"] = base_axis(
            "share of coordinates" if index == 0 else None,
            tickformat=".0%",
            rangemode="tozero",
            anchor=f"x{axis}",
            showticklabels=index == 0,
        ) | ({"matches": "y"} if index else {})
        layout["annotations"].append(note(f"<b>{sign}</b>", left, 1, xanchor="left", yanchor="bottom", yshift=3))
        data += [
            _line(
                run,
                [s and s[index] for s in shares],
                name,
                colour,
                axis,
                legendgroup=name,
                showlegend=index == 0,
            )
            for name, colour, shares in sides
        ]
    return {"data": data, "layout": layout}


# ------------------------------------------------------------------------------ client map


@dataclass(frozen=True)
class ClientMap:
    """Who was accepted, clients by rounds, the rounds in bins of ``width``."""

    clients: list[int]
    """Client index of each row: honest ones first, byzantine ones last."""
    edges: list[float]
    """Where the columns begin, half a round early; as a last entry, where they end, half a round late."""
    width: int
    """Rounds in a bin; the last bin may hold fewer."""
    share: NDArray[np.int8]
    """Of the rounds of the bin that the client took part in, the per cent it was accepted in; -1 if none."""
    reason: NDArray[np.uint8]
    """Most frequent reason for not being accepted, as an index into ``reasons``; 0 if there is none."""
    reasons: list[str]


def client_map(run: RunData) -> ClientMap:
    """Bin the rounds into at most ``MAX_COLUMNS`` columns (fewer with thousands of clients)."""
    clients = order_of(run)
    width = -(-run.rounds // max(50, min(MAX_COLUMNS, MAX_CELLS // len(clients))))
    starts = np.arange(0, run.rounds, width)
    codes = np.array([np.frombuffer(r.marks.encode("ascii"), dtype=np.uint8) for r in run.records]).T[clients]
    kept = np.add.reduceat(codes == ord("1"), starts, axis=1, dtype=np.int64)
    present = np.add.reduceat(codes != ord("-"), starts, axis=1, dtype=np.int64)
    per_cent = np.rint(100 * kept / np.maximum(present, 1))
    # Rounding must not turn "nearly always" into "always", nor "hardly ever" into "never".
    per_cent = np.where((kept > 0) & (kept < present), np.clip(per_cent, 1, 99), per_cent)
    reasons = ["", *unique([reason for record in run.records for reason in record.reasons.values()])[:254]]
    return ClientMap(
        clients=clients,
        edges=[run.records[int(start)].round - 0.5 for start in starts] + [run.records[-1].round + 0.5],
        width=width,
        share=np.where(present > 0, per_cent, -1).astype(np.int8),
        reason=_main_reasons(run, clients, width, len(starts), reasons),
        reasons=reasons,
    )


def order_of(run: RunData) -> list[int]:
    """Clients from the top of the map to its bottom: the honest ones, then the byzantine ones."""
    byzantine = set(run.byzantine_ids)
    return sorted(range(run.clients), key=lambda client: (client in byzantine, client))


def _main_reasons(run: RunData, clients: list[int], width: int, columns: int, reasons: list[str]) -> NDArray[np.uint8]:
    row_of = {client: row for row, client in enumerate(clients)}
    code_of = {reason: code for code, reason in enumerate(reasons)}
    found: dict[tuple[int, int], Counter[int]] = {}
    for index, record in enumerate(run.records):
        for client, reason in record.reasons.items():
            if client in row_of and record.accepted[client] is False:
                found.setdefault((row_of[client], index // width), Counter())[code_of.get(reason, 0)] += 1
    out = np.zeros((len(clients), columns), dtype=np.uint8)
    for cell, counts in found.items():
        out[cell] = counts.most_common(1)[0][0]
    return out


def clients_by_round(run: RunData) -> Figure:
    """The client map as a heat map.

    The cells travel as bytes in base64 (``cells``), a fraction of their size as JSON; the page's script
    unpacks them and writes the text that shows on hovering.
    """
    cells = client_map(run)
    rows, byzantine = len(cells.clients), len(run.byzantine_ids)
    inner = min(620, max(150, rows * 11))
    every = max(1, -(-rows * 13 // inner))
    honest = rows - byzantine
    ticks = sorted({*range(0, honest, every), *range(honest, rows, every)})
    if (
        byzantine and len(ticks) > 1
    ):  # the first byzantine row is always labelled, the honest one above it may be too close
        ticks = [tick for tick in ticks if not honest - every < tick < honest or tick == 0]
    layout = base_layout(
        inner + 86,
        hovermode="closest",
        margin=margins(34, 52, right=104),
        xaxis=base_axis("round", range=[cells.edges[0], cells.edges[-1]], showgrid=False),
        yaxis=base_axis(
            "client",
            range=[rows - 0.5, -0.5],
            tickvals=ticks,
            ticktext=[str(cells.clients[tick]) for tick in ticks],
            tickfont={"size": 10},
            showgrid=False,
        ),
        annotations=[],
        shapes=[],
    )
    for count, middle, name, colour in (
        (honest, (honest - 1) / 2, "honest", HONEST),
        (byzantine, honest + (byzantine - 1) / 2, "byzantine", BYZANTINE),
    ):
        if count:
            label = f"<b>{name}</b><br>{count} client{'s' * (count > 1)}"
            font = {"size": 12, "color": colour}
            side = {"xref": "paper", "x0": 1.006, "x1": 1.006, "y0": middle - count / 2 + 0.5 - 0.4}
            side |= {
                "y1": middle + count / 2 - 0.5 + 0.4,
                "line": {"color": colour, "width": 3},
                "type": "line",
            }
            layout["shapes"].append(side)
            layout["annotations"].append(
                note(label, 1, middle, yref="y", xanchor="left", xshift=14, align="left", font=font)
            )
    if honest and byzantine:
        edge = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": honest - 0.5, "y1": honest - 0.5}
        layout["shapes"].append(edge | {"line": {"color": INK, "width": 1.5}})
    low = -20  # the scale runs from -20 to 100: absent cells are -1, everything else is a per cent
    absent = (-0.5 - low) / (100 - low)
    middle = (50 - low) / (100 - low)
    trace = {
        "type": "heatmap",
        "x": cells.edges,
        "zmin": low,
        "zmax": 100,
        "showscale": False,
        "colorscale": [[0, ABSENT], [absent, ABSENT], [absent, DROPPED], [middle, BETWEEN], [1, ACCEPTED]],
        "hovertemplate": "%{text}<extra></extra>",
    }
    packed = {
        "width": cells.width,
        "columns": len(cells.edges) - 1,
        "share": base64.b64encode(cells.share.tobytes()).decode(),
        "reason": base64.b64encode(cells.reason.tobytes()).decode(),
        "reasons": [safe_text(reason) for reason in cells.reasons],
        "clients": cells.clients,
        "honest": honest,
    }
    return {"data": [trace], "layout": layout, "cells": packed}
