"""The table of a sweep with other measures in its cells, which the page shows in place of the best accuracy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from statistics import fmean, stdev

from ..sweeps import Row
from .pieces import NONE
from .style import shade
from .sweep_heat import Marks, framed, mark
from .sweep_table import Crossing, Grid


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A figure of a cell.

    Attributes:
        key: its column in the table of a sweep.
        name: in the choice that the page offers.
        told: what it is, in a sentence.
        higher: whether more of it is better.
        scale: what it is multiplied with to be shown.
        digits: behind the point.
    """

    key: str
    name: str
    told: str
    higher: bool
    scale: float = 100.0
    digits: int = 2

    def of(self, row: Row) -> float | None:
        """Of a cell, as it is shown; None where it is not known."""
        value = row.last if self.key == "last" else row.measures.get(self.key)
        return None if value is None or isinstance(value, str) else self.scale * value

    def over(self, place: Crossing) -> list[float]:
        """Of all seeds that have one."""
        return [value for row in place.over.rows if (value := self.of(row)) is not None]


MEASURES = (
    Measure(key="last", name="last accuracy", told="Accuracy in the last test, in per cent", higher=True),
    Measure(
        key="attack_impact",
        name="attack impact",
        told="What Mean reaches without attack in the same setting less what the cell reaches, in points",
        higher=False,
    ),
    Measure(
        key="worst_client",
        name="worst client",
        told="Accuracy of the last test, weighted as the client has the classes for which it is least, in per cent",
        higher=True,
    ),
    Measure(
        key="worst_class",
        name="worst class",
        told="Accuracy of the last test on the class for which it is least, in per cent",
        higher=True,
    ),
    Measure(
        key="calibration_error",
        name="calibration error",
        told="Expected calibration error in the last test, in points",
        higher=False,
    ),
    Measure(
        key="stability",
        name="stability",
        told="Standard deviation of the accuracy over the last five tests, in points",
        higher=False,
    ),
    Measure(
        key="rounds_to_target",
        name="rounds to 85 %",
        told="Rounds until a test has reached 85 %",
        higher=False,
        scale=1.0,
        digits=0,
    ),
    Measure(
        key="byzantine_accepted",
        name="byzantine accepted",
        told="Share of byzantine clients that were accepted, in the mean over rounds, in per cent",
        higher=False,
    ),
    Measure(
        key="honest_accepted",
        name="honest accepted",
        told="Share of honest clients that were accepted, in the mean over rounds, in per cent",
        higher=True,
    ),
    Measure(
        key="seconds_server",
        name="time of the server",
        told="Milliseconds a round of the server, for the decision and the step",
        higher=False,
        scale=1000.0,
        digits=1,
    ),
)


def known_measures(found: Sequence[Grid]) -> list[Measure]:
    """The measures that some cell has."""
    places = [place for grid in found for place in grid.places]
    return [measure for measure in MEASURES if any(measure.over(place) for place in places)]


def measure_table(grid: Grid, measure: Measure, marks: Marks, titled: bool) -> str:
    """A grid as HTML with this measure in its cells."""
    means = [fmean(values) for place in grid.places if (values := measure.over(place))]
    limits = min(means, default=0.0), max(means, default=0.0)

    def cells(line: dict[str, Crossing]) -> Iterator[str]:
        for attack in grid.attacks:
            yield _cell(measure, line.get(attack), mark(marks, {"attack": attack}), limits)

    return framed(grid, marks, titled, [list(cells(dict(line.places))) for line in grid.lines])


def measure_caption(measure: Measure) -> str:
    """What the table shows, in sentences."""
    better = "more" if measure.higher else "less"
    return escape(f"{measure.told}: mean ± standard deviation over seeds; the darker, the {better}, which is better.")


def _cell(measure: Measure, place: Crossing | None, of: str, limits: tuple[float, float]) -> str:
    values = [] if place is None else measure.over(place)
    if place is None or not values:
        return f'<td{of} class="none">{NONE}</td>'
    mean, (least, most) = fmean(values), limits
    level = (mean - least) / (most - least) if most > least else 0.5
    spread = f' <span class="spread">±{stdev(values):.{measure.digits}f}</span>' if len(values) > 1 else ""
    shown = f"{mean + 0.0:.{measure.digits}f}".replace("-", "&minus;")
    return (
        f'<td{of} style="{shade(level if measure.higher else 1 - level)}">'
        f'<a href="#run-{place.number}" title="{escape(place.title)}">{shown}{spread}</a></td>'
    )
