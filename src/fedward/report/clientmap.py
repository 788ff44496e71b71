"""The client map: who was accepted, every client in every round, as a heat map."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .grid import unique
from .runs import RunData
from .series import Figure, whole_per_cent
from .style import (
    ABSENT,
    ACCEPTED,
    BETWEEN,
    BYZANTINE,
    DROPPED,
    HONEST,
    INK,
    base_axis,
    base_layout,
    margins,
    note,
    round_axis,
    safe_text,
)

MAX_COLUMNS = 400
"""Columns of the client map at most; rounds are binned beyond it."""
MAX_CELLS = 200_000
"""Cells of the client map, which makes the columns fewer (not below 50) with more than 500 clients."""

_ROW = 13
"""Pixels that the name of a row takes."""
_LOW = -20
"""Where the scale of colours begins, which ends at 100: absent cells are -1, everything else is a per cent."""


@dataclass(frozen=True, kw_only=True)
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
    columns = max(50, min(MAX_COLUMNS, MAX_CELLS // len(clients)))
    width = -(-run.rounds // columns)
    starts = np.arange(0, run.rounds, width)
    marks = np.array([np.frombuffer(r.marks.encode("ascii"), dtype=np.uint8) for r in run.records]).T[clients]
    kept = np.add.reduceat(marks == ord("1"), starts, axis=1, dtype=np.int64)
    present = np.add.reduceat(marks != ord("-"), starts, axis=1, dtype=np.int64)
    per_cent = whole_per_cent(kept, np.maximum(present, 1))
    # The first one means that there is none, and a byte has room for 255.
    reasons = ["", *unique([reason for record in run.records for reason in record.reasons.values()])[:254]]
    return ClientMap(
        clients=clients,
        edges=[run.records[int(start)].round - 0.5 for start in starts] + [run.records[-1].round + 0.5],
        width=width,
        share=np.where(present > 0, per_cent, -1).astype(np.int8),
        reason=_main_reasons(run, clients, reasons, width=width, columns=len(starts)),
        reasons=reasons,
    )


def order_of(run: RunData) -> list[int]:
    """Clients from the top of the map to its bottom: the honest ones, then the byzantine ones."""
    byzantine = set(run.byzantine_ids)
    return sorted(range(run.clients), key=lambda client: (client in byzantine, client))


def _main_reasons(
    run: RunData, clients: list[int], reasons: list[str], *, width: int, columns: int
) -> NDArray[np.uint8]:
    row_of = {client: row for row, client in enumerate(clients)}
    code_of = {reason: code for code, reason in enumerate(reasons)}
    found: dict[tuple[int, int], Counter[int]] = {}
    for index, record in enumerate(run.records):
        for client, reason in record.reasons.items():
            if client in row_of and record.accepted[client] is False:
                cell = (row_of[client], index // width)
                found.setdefault(cell, Counter())[code_of.get(reason, 0)] += 1
    out = np.zeros((len(clients), columns), dtype=np.uint8)
    for cell, counts in found.items():
        out[cell] = counts.most_common(1)[0][0]
    return out


def clients_by_round(run: RunData) -> Figure:
    """The client map as a heat map, honest clients above the byzantine ones."""
    cells = client_map(run)
    honest = len(cells.clients) - len(run.byzantine_ids)
    sides = ["honest"] * honest + ["byzantine"] * len(run.byzantine_ids)
    called = [f"<b>client {client}</b>, {side}" for client, side in zip(cells.clients, sides, strict=True)]
    return _heat_map(cells, called) | {"layout": map_layout(cells.clients, cells.edges, honest)}


def nodes_by_round(run: RunData, names: Sequence[str]) -> Figure:
    """The client map of a federation, of which nobody knows who is byzantine: a row a node, by name."""
    cells = client_map(run)
    shown = [safe_text(names[client]) for client in cells.clients]
    layout = _plain_layout([name if len(name) <= 22 else f"{name[:14]}...{name[-5:]}" for name in shown], cells.edges)
    return _heat_map(cells, [f"<b>{name}</b>" for name in shown]) | {"layout": layout}


def _heat_map(cells: ClientMap, called: Sequence[str]) -> Figure:
    """The cells travel as bytes in base64 (``cells``), a fraction of their size as JSON.

    The page's script unpacks them and writes the text that shows on hovering.
    """
    absent = (-0.5 - _LOW) / (100 - _LOW)
    middle = (50 - _LOW) / (100 - _LOW)
    trace = {
        "type": "heatmap",
        "x": cells.edges,
        "zmin": _LOW,
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
        "called": list(called),
    }
    return {"data": [trace], "cells": packed}


def map_layout(clients: Sequence[int], edges: Sequence[float], honest: int) -> dict[str, Any]:
    """Axes of a map of clients by rounds, and beside them which rows are honest and which are byzantine."""
    rows = len(clients)
    byzantine = rows - honest
    layout = _plain_layout([str(client) for client in clients], edges, honest, title="client", right=104)
    if honest:
        _bracket(layout, "honest", HONEST, first=0, count=honest)
    if byzantine:
        _bracket(layout, "byzantine", BYZANTINE, first=honest, count=byzantine)
    if honest and byzantine:
        edge = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": honest - 0.5, "y1": honest - 0.5}
        layout["shapes"].append(edge | {"line": {"color": INK, "width": 1.5}})
    return layout


def _plain_layout(
    names: Sequence[str],
    edges: Sequence[float],
    honest: int | None = None,
    *,
    title: str | None = None,
    right: int = 16,
) -> dict[str, Any]:
    """Axes of a map of clients by rounds."""
    rows = len(names)
    inner = min(620, max(150, rows * _ROW))  # pixels
    ticks = _ticks(rows, rows if honest is None else honest, inner)
    return base_layout(
        inner + 86,
        hovermode="closest",
        margin=margins(34, 52, right=right),
        xaxis=round_axis(edges, range=[edges[0], edges[-1]], showgrid=False),
        yaxis=base_axis(
            title,
            range=[rows - 0.5, -0.5],
            tickvals=ticks,
            ticktext=[names[tick] for tick in ticks],
            tickfont={"size": 10},
            showgrid=False,
        ),
        annotations=[],
        shapes=[],
    )


def _ticks(rows: int, honest: int, inner: int) -> Sequence[int]:
    """The rows whose clients are named: as many as there is room for."""
    every = max(1, -(-rows * _ROW // inner))
    ticks = sorted({*range(0, honest, every), *range(honest, rows, every)})
    if honest == rows or len(ticks) <= 1:
        return ticks
    # The first byzantine row is always labelled; the honest one above it may be too close.
    return [tick for tick in ticks if not honest - every < tick < honest or tick == 0]


def _bracket(layout: dict[str, Any], name: str, colour: str, *, first: int, count: int) -> None:
    """A line to the right of ``count`` rows from the first one on, with their name."""
    middle = first + (count - 1) / 2
    label = f"<b>{name}</b><br>{count} client{'s' * (count > 1)}"
    font = {"size": 12, "color": colour}
    # Rows have their number in the middle, and half a row to each side. A gap of a tenth keeps two brackets apart.
    side = {
        "type": "line",
        "xref": "paper",
        "x0": 1.006,
        "x1": 1.006,
        "y0": middle - count / 2 + 0.5 - 0.4,
        "y1": middle + count / 2 - 0.5 + 0.4,
        "line": {"color": colour, "width": 3},
    }
    layout["shapes"].append(side)
    layout["annotations"].append(note(label, 1, middle, yref="y", xanchor="left", xshift=14, align="left", font=font))
