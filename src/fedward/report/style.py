"""The common look of the figures: colours, layout, axes, text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

# Okabe and Ito's palette, made for colour-blind readers, without its yellow (too pale on white).
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#444444")
DASHES = ("solid", "dash", "dot", "dashdot")
HONEST = PALETTE[0]
BYZANTINE = PALETTE[1]
ACCEPTED = "#8bb8dc"
BETWEEN = "#f6e6bd"
DROPPED = "#c8501e"
ABSENT = "#ececec"

INK = "#1f2933"
_GRID = "#e4e7eb"
_FEW_ROUNDS = 10
_FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'


def base_layout(height: int, **more: Any) -> dict[str, Any]:
    """Layout of a figure of ``height`` pixels; ``more`` adds to it or overrides."""
    return {
        "height": height,
        "font": {"family": _FONT, "size": 13, "color": INK},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "margin": margins(36, 48),
        "hoverlabel": {
            "bgcolor": "#ffffff",
            "bordercolor": "#9aa5b1",
            "font": {"family": _FONT, "size": 12, "color": INK},
        },
        "legend": {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1,
            "yanchor": "top",
            "yref": "container",
        },
    } | more


def margins(top: int, bottom: int, right: int = 16) -> dict[str, int]:
    """Margins in pixels."""
    return {"l": 64, "r": right, "t": top, "b": bottom}


def base_axis(title: str | None = None, **more: Any) -> dict[str, Any]:
    """An axis; ``more`` adds to it or overrides."""
    axis: dict[str, Any] = {
        "showline": True,
        "linecolor": "#9aa5b1",
        "gridcolor": _GRID,
        "zeroline": False,
        "ticks": "outside",
        "tickcolor": "#9aa5b1",
        "automargin": True,
    }
    if title is not None:
        axis["title"] = {"text": title, "standoff": 8, "font": {"size": 13}}
    return axis | more


def round_axis(rounds: Iterable[float], **more: Any) -> dict[str, Any]:
    """An axis of these rounds, with a tick at each of a few: left alone plotly marks halves between them."""
    known = list(rounds)
    few = {"tick0": 0, "dtick": 1} if known and max(known) - min(known) <= _FEW_ROUNDS else {}
    return base_axis("round", **{**few, **more})


def safe_text(value: str) -> str:
    """Text for plotly, which would read ``<b>`` and ``&lt;`` as markup and ``%{x}`` as a template."""
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("%{", "%\u200b{")


def note(text: str, x: float, y: float, **more: Any) -> dict[str, Any]:
    """An annotation without an arrow, placed in shares of the figure."""
    place = {"x": x, "y": y, "xref": "paper", "yref": "paper", "showarrow": False}
    return {"text": text, "font": {"size": 13}} | place | more


def shade(level: float) -> str:
    """Background from pale to deep blue for a level in [0, 1], with a text colour that stays readable."""
    pale = (239, 246, 252)
    deep = (8, 81, 140)
    colour = "".join(f"{round(a + (b - a) * level):02x}" for a, b in zip(pale, deep, strict=True))
    return f"background:#{colour};color:{'#ffffff' if level > 0.55 else '#1f2933'}"
