"""What the cells of a sweep's table may say: the best accuracy, and measures that a reader chooses in its place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from statistics import fmean, stdev

from ..registry.naming import unknown
from ..sweeps import Row
from .runs import ReportError
from .sweep_table import Crossing, Grid

MINUS = "\u2212"
OVER_SEEDS = "standard deviation (with n - 1) over seeds"
"""What stands after a plus-minus sign."""


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
        value = getattr(row, self.key) if self.key in ("best", "last") else row.measures.get(self.key)
        return None if value is None or isinstance(value, str) else self.scale * value

    def over(self, place: Crossing) -> list[float]:
        """Of all seeds that count (`Row.counts`) and have one: of others nobody knows what they will reach."""
        counted = (row for row in place.over.rows if row.counts)
        return [value for row in counted if (value := self.of(row)) is not None]

    def mean(self, place: Crossing) -> float | None:
        """Over seeds, in the digits that are shown; None where no seed has one."""
        values = self.over(place)
        return round(fmean(values), self.digits) + 0.0 if values else None

    def shown(self, place: Crossing) -> str:
        """The mean, and the deviation over seeds where there are several; empty where no seed has one."""
        values, mean = self.over(place), self.mean(place)
        if mean is None:
            return ""
        spread = f" \u00b1 {stdev(values):.{self.digits}f}" if len(values) > 1 else ""
        return f"{mean:.{self.digits}f}{spread}".replace("-", MINUS)

    def is_best(self, place: Crossing, grid: Grid) -> bool:
        """Whether no rival has a better mean, in the digits that are shown."""
        there = [mean for rival in grid.rivals(place) if (mean := self.mean(rival)) is not None]
        return bool(there) and self.mean(place) == self.best_of(there)

    def best_of(self, values: Sequence[float]) -> float:
        """The best of some figures, one at least."""
        return max(values) if self.higher else min(values)

    def worst_of(self, values: Sequence[float]) -> float:
        """The worst of some figures, one at least."""
        return min(values) if self.higher else max(values)


BEST = Measure(key="best", name="best accuracy", told="Best test accuracy in per cent", higher=True)
MEASURES = (
    BEST,
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
        told="Share of byzantine clients that were accepted (rules by columns: all; functions: unknown), in per cent",
        higher=False,
    ),
    Measure(
        key="honest_accepted",
        name="honest accepted",
        told="Share of honest clients that were accepted (rules by columns: all; functions: unknown), in per cent",
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


def best_of_tests(rows: Iterable[Row]) -> str:
    """Among what the best accuracy of a run was chosen: there is no set apart from that of the tests."""
    every = sorted({value for row in rows if isinstance(value := row.config.get("evaluate_every"), int)})
    times = "round" if every == [1] else f"{' or '.join(map(str, every))} rounds"
    often = f", one every {times}" if every else ""
    return f"the best of a run's tests{often}, chosen on the test set itself"


def told_of(measure: Measure, rows: Iterable[Row]) -> str:
    """What a measure is, in a sentence about these cells."""
    return f"{measure.told} ({best_of_tests(rows)})" if measure is BEST else measure.told


def known_measures(found: Sequence[Grid]) -> list[Measure]:
    """The measures that some cell has, but for the best accuracy."""
    places = [place for grid in found for place in grid.places]
    return [measure for measure in MEASURES if measure is not BEST and any(measure.over(place) for place in places)]


def measure_of(key: str) -> Measure:
    """The measure that a key names, with dashes or underscores.

    Raises:
        ReportError: there is none.
    """
    for measure in MEASURES:
        if measure.key == key.replace("-", "_"):
            return measure
    raise ReportError(unknown("measure", key, [measure.key for measure in MEASURES]))


def measure_caption(measure: Measure) -> str:
    """What the table shows, in sentences."""
    better = "more" if measure.higher else "less"
    return escape(f"{measure.told}: mean ± {OVER_SEEDS}; the darker, the {better}, which is better.")
