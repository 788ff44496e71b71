"""The figure of test accuracies: a panel an attack, a colour a rule, a line a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .grid import Placed, unique
from .series import Figure, as_floats, drawn_as, for_json
from .style import DASHES, PALETTE, base_axis, base_layout, margins, note, safe_text

# All in pixels.
_BUTTONS = 42  # plotly's own, above the figure
_LEGEND_LINE = 20
_BELOW = 52
_ONE_ROW = 380
_ROW = 290
_BETWEEN_ROWS = 84
_PAGE = 1060  # that a legend has, on a page of 1280

_BETWEEN_COLUMNS = 0.035  # of the width


def panel_columns(panels: int) -> int:
    """Panels side by side."""
    if panels <= 2:
        return panels
    return 2 if panels == 4 else 3


def accuracy(placed: Sequence[Placed]) -> Figure | None:
    """Test accuracy over rounds, a panel an attack, a colour a rule; None if nothing was evaluated."""
    shown = [entry for entry in placed if entry.run.evaluated]
    if not shown:
        return None
    rows = unique([entry.row for entry in placed])
    panels = unique([entry.column for entry in shown])
    layout = _layout(shown, panels, above=_legend_lines(rows) * _LEGEND_LINE)
    return {"data": _curves(shown, rows, panels), "layout": layout}


@dataclass(frozen=True, kw_only=True)
class _Grid:
    """Where the panels are, in shares of the figure."""

    across: int
    width: float
    tall: float
    between_rows: float

    def place(self, index: int) -> tuple[int, float, float]:
        """The column of a panel, its left edge and its upper edge."""
        right = index % self.across
        below = index // self.across
        return right, right * (self.width + _BETWEEN_COLUMNS), 1 - below * (self.tall + self.between_rows)


def _layout(shown: Sequence[Placed], panels: Sequence[str], above: int) -> dict[str, Any]:
    """Axes, titles and legend; ``above`` is how many pixels the legend takes."""
    across = panel_columns(len(panels))
    down = -(-len(panels) // across)
    titles = 30 if len(panels) > 1 else 8
    top = _BUTTONS + above + titles
    height = top + _BELOW + (_ONE_ROW if down == 1 else _ROW * down)
    between_rows = _BETWEEN_ROWS / height
    grid = _Grid(
        across=across,
        width=(1 - _BETWEEN_COLUMNS * (across - 1)) / across,
        tall=(1 - between_rows * (down - 1)) / down,
        between_rows=between_rows,
    )
    layout = base_layout(height, hovermode="closest", annotations=[], margin=margins(top, _BELOW))
    # Just above the panel titles and growing upwards: plotly widens the margin for a legend of several lines.
    layout["legend"] |= {"y": 1 + titles / (height - top - _BELOW), "yref": "paper", "yanchor": "bottom"}
    for index, panel in enumerate(panels):
        layout |= _axes(index, grid, shown, lowest=index + across >= len(panels))
        if len(panels) > 1:
            _, left, upper = grid.place(index)
            title = f"<b>{safe_text(_beginning(panel))}</b>"
            layout["annotations"].append(note(title, left, upper, xanchor="left", yanchor="bottom", yshift=4))
    return layout


def _axes(index: int, grid: _Grid, shown: Sequence[Placed], lowest: bool) -> dict[str, Any]:
    """The two axes of a panel: the same scale in all of them, so that panels can be compared."""
    measured = [r.accuracy for entry in shown for r in entry.run.evaluated if r.accuracy is not None]
    least = min(measured)
    most = max(measured)
    pad = max(0.02, 0.05 * (most - least))
    latest = max(entry.run.evaluated[-1].round for entry in shown)
    suffix = _suffix(index)
    right, left, upper = grid.place(index)
    x = base_axis(
        "round" if lowest else None,
        domain=[left, left + grid.width],
        anchor=f"y{suffix}",
        range=[0, 1.02 * latest],
    )
    y = base_axis(
        "test accuracy" if right == 0 else None,
        domain=[max(0.0, upper - grid.tall), upper],
        anchor=f"x{suffix}",
        range=[max(0.0, least - pad), min(1.0, most + pad)],
        tickformat=".0%" if most - least > 0.08 else ".1%",
        showticklabels=right == 0,
    )
    if index:
        y["matches"] = "y"
    return {f"xaxis{suffix}": x, f"yaxis{suffix}": y}


def _curves(shown: Sequence[Placed], rows: Sequence[str], panels: Sequence[str]) -> list[dict[str, Any]]:
    """A line a run, in the order of the rules; each rule is in the legend once."""
    named: set[str] = set()
    curves = []
    for entry in sorted(shown, key=lambda entry: rows.index(entry.row)):
        style = rows.index(entry.row)
        suffix = _suffix(panels.index(entry.column))
        points = entry.run.evaluated
        curves.append(
            {
                "type": "scatter",
                "mode": drawn_as(points),
                "name": safe_text(entry.row),
                "legendgroup": entry.row,
                "showlegend": entry.row not in named,
                "xaxis": f"x{suffix}",
                "yaxis": f"y{suffix}",
                "x": [r.round for r in points],
                "y": for_json(as_floats([r.accuracy for r in points])),
                "customdata": for_json(as_floats([r.loss for r in points])),
                "line": {"color": PALETTE[style % 7], "dash": DASHES[style // 7 % 4], "width": 2},
                "marker": {"size": 5},
                "hovertemplate": f"<b>{safe_text(entry.label)}</b><br>round %{{x}}<br>accuracy %{{y:.2%}}"
                "<br>test loss %{customdata}<extra></extra>",
            }
        )
        named.add(entry.row)
    return curves


def _suffix(index: int) -> str:
    """What plotly appends to the names of a panel's axes: nothing to those of the first."""
    return "" if index == 0 else str(index + 1)


def _beginning(text: str, most: int = 48) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}\u2026"


def _legend_lines(names: Sequence[str]) -> int:
    """About how many lines a horizontal legend takes."""
    width = 52 + 7 * max(len(name) for name in names)
    return -(-len(names) // max(1, _PAGE // width))
