"""Figures of shares over rounds: who was accepted, how far an attack got, the signs of what clients sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..sim.record import Record, Shares
from .runs import RunData
from .series import Figure, as_floats, drawn_as, for_json, step_of, trailing_mean, window_of
from .style import BYZANTINE, HONEST, base_axis, base_layout, margins, note, round_axis

_SIDES = (("honest", HONEST), ("byzantine", BYZANTINE))
_WITH_SIGNS = (*_SIDES, ("virtual", BYZANTINE))
_DASHES = {"byzantine": "dash", "virtual": "dot"}


def success(run: RunData) -> Figure | None:
    """Accuracy, and how far an attack with a target got; None if there was no such attack."""
    points = [r for r in run.evaluated if r.confidence is not None]
    if not points:
        return None
    lines = (
        ("accuracy", HONEST, [r.accuracy for r in points]),
        ("attack", BYZANTINE, [r.confidence for r in points]),
    )
    data = [
        {
            "type": "scatter",
            "mode": drawn_as(points),
            "name": name,
            "x": [r.round for r in points],
            "y": for_json(as_floats(values)),
            "line": {"color": colour, "width": 2},
            "hovertemplate": "%{y:.1%}",
        }
        for name, colour, values in lines
    ]
    return {"data": data, "layout": _rates_layout([r.round for r in points], "share")}


def acceptance(run: RunData) -> Figure | None:
    """Rates at which honest and byzantine clients were accepted; None if no rate was recorded."""
    rates = {
        "honest": [r.honest_accepted for r in run.records],
        "byzantine": [r.byzantine_accepted for r in run.records],
    }
    data = [_line(run, rates[side], side, colour) for side, colour in _SIDES if _any_known(rates[side])]
    return {"data": data, "layout": _rates_layout(_rounds(run), "accepted")} if data else None


def with_signs(run: RunData) -> RunData:
    """The run as far as signs were counted in it, which is not in every round."""
    counted = [record for record in run.records if _has_signs(record)]
    return replace(run, records=tuple(counted))


def signs(run: RunData) -> Figure | None:
    """Shares of positive, zero and negative signs of honest, byzantine and virtual gradients, a panel a sign."""
    run = with_signs(run)
    shares = {side: [_shares_of(r, side) for r in run.records] for side, _ in _WITH_SIGNS}
    sides = [(side, colour) for side, colour in _WITH_SIGNS if _any_known(shares[side])]
    if not sides:
        return None
    # Shares of the figure's width.
    width = 0.31
    gap = 0.035
    layout = base_layout(320, hovermode="x unified", annotations=[], margin=margins(64, 48))
    data = []
    for index, sign in enumerate(("positive", "zero", "negative")):
        axis = "" if index == 0 else str(index + 1)
        left = index * (width + gap)
        layout[f"xaxis{axis}"] = round_axis(
            _rounds(run),
            domain=[left, left + width],
            anchor=f"y{axis}",
            hoverformat=",d",
            unifiedhovertitle={"text": "round %{x}"},
        )
        y = base_axis(
            "share of coordinates" if index == 0 else None,
            tickformat=".0%",
            rangemode="tozero",
            anchor=f"x{axis}",
            showticklabels=index == 0,
        )
        if index:
            y["matches"] = "y"
        layout[f"yaxis{axis}"] = y
        layout["annotations"].append(note(f"<b>{sign}</b>", left, 1, xanchor="left", yanchor="bottom", yshift=3))
        for side, colour in sides:
            values = [known and known[index] for known in shares[side]]
            data.append(_line(run, values, side, colour, axis=axis, legendgroup=side, showlegend=index == 0))
    return {"data": data, "layout": layout}


def _has_signs(record: Record) -> bool:
    return any(_shares_of(record, side) for side, _ in _SIDES)


def _shares_of(record: Record, side: str) -> Shares | None:
    """Shares of signs of the rows of one side, where they were counted."""
    return None if record.signs is None else record.signs.get(side)


def _any_known(values: Sequence[object]) -> bool:
    return any(value is not None for value in values)


def _line(
    run: RunData, values: Sequence[float | None], name: str, colour: str, *, axis: str = "", **more: Any
) -> dict[str, Any]:
    """A line of trailing means, dashed if it is about byzantine clients, dotted about rows that nobody sent."""
    step = step_of(run.rounds)
    smooth = trailing_mean(as_floats(values), window_of(run.rounds))
    line = {
        "type": "scatter",
        "mode": "lines" if run.rounds > 1 else "markers",
        "name": name,
        "x": [record.round for record in run.records[::step]],
        "y": for_json(smooth[::step]),
        "xaxis": f"x{axis}",
        "yaxis": f"y{axis}",
        "line": {"color": colour, "width": 2, "dash": _DASHES.get(name, "solid")},
        "hovertemplate": "%{y:.1%}",
    }
    return line | more


def _rounds(run: RunData) -> list[int]:
    return [record.round for record in run.records]


def _rates_layout(rounds: Sequence[int], title: str) -> dict[str, Any]:
    return base_layout(
        300,
        hovermode="x unified",
        showlegend=True,
        xaxis=round_axis(rounds, hoverformat=",d", unifiedhovertitle={"text": "round %{x}"}),
        yaxis=base_axis(title, range=[-0.03, 1.03], tickformat=".0%"),
    )
