"""What is measured of a cell besides its best and last accuracy: from its own records, and beside other cells."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, pstdev, stdev
from typing import Any

from ..core import BEYOND
from ..experiments.worth import none_finite
from ..sim import Record
from ..sim.record import beyond_theorem, mean_of_known, nobody_accepted, why_skipped
from .apart import ATTACK_CODE, RULE_CODE
from .rows import Row

TARGET = 0.85
"""The accuracy that rounds are counted to, where nothing else is said: SIREN's on Fashion-MNIST."""
LAST_TESTS = 5
"""Tests at the end of a run, over which its stability is taken."""

_SERVER = ("aggregate", "update")
_MEGABYTE = 1e6
_TOLD_ALONE = frozenset(
    {"rule", "attack", RULE_CODE, ATTACK_CODE, "seed", "f", "confidence", "forge", "data_path", "device"}
)
"""Keys that two cells of one setting may differ in: what is compared, and what Mean without attack knows nothing of."""


# --- of one run -----------------------------------------------------------------------------------------------


def of_run(records: Sequence[Record], *, target: float = TARGET, last: int = LAST_TESTS) -> dict[str, float | None]:
    """All that the records of a run tell, by name; None of what they do not.

    ``worst_class``, ``worst_client``, ``calibration_error``: as in `Record`, of the last test. ``attack_confidence``:
    the ``confidence`` of that record, by a name that no setting of a run has. ``stability``: `stability`.
    ``rounds_to_target``: `rounds_to`. ``honest_accepted``, ``byzantine_accepted``: means over rounds, SignGuard's
    selected rates H and M. ``seconds_rule``, ``seconds_server``, ``seconds_attacker``: of a round, in the mean; of the
    server for the decision and the step. ``memory_server``, ``memory_attacker``: megabytes that outlast a round at most
    (`Record.memory`); of the server with the rows of the round.
    """
    tested = [record for record in records if record.accuracy is not None]
    end = tested[-1] if tested else None
    return {
        "worst_class": end.worst_class if end else None,
        "worst_client": end.worst_client if end else None,
        "calibration_error": end.calibration_error if end else None,
        "attack_confidence": end.confidence if end else None,
        "stability": stability(records, last=last),
        "rounds_to_target": rounds_to(records, target),
        "honest_accepted": mean_of_known(record.honest_accepted for record in records),
        "byzantine_accepted": mean_of_known(record.byzantine_accepted for record in records),
        "seconds_rule": _seconds(records, ("aggregate",)),
        "seconds_server": _seconds(records, _SERVER),
        "seconds_attacker": _seconds(records, ("attack",)),
        "memory_server": _memory(records, ("rows", "server", "rule")),
        "memory_attacker": _memory(records, ("attacker",)),
    }


def decision_notes(records: Sequence[Record], byzantine: Collection[int]) -> Iterator[str]:
    """What figures do not show: rounds that changed nothing, were decided on too little, or accepted nobody.

    Args:
        records: of a run.
        byzantine: which clients are.
    """
    whole = f"of {len(records)} rounds"
    if skipped := sum(record.skipped is not None for record in records):
        yield f"{skipped} {whole} left the model as it was: {why_skipped(records)}"
    if beyond := beyond_theorem(records):
        yield f"{beyond} {whole} were decided {BEYOND}"
    if nobody := nobody_accepted(records):
        yield f"in {nobody} {whole} nobody was accepted"
    if lost := none_finite(records, byzantine):
        yield f"in {lost} {whole} no honest client sent finite numbers"


def tests_of(records: Iterable[Record]) -> dict[int, float]:
    """The accuracy of each test, by round."""
    return {record.round: record.accuracy for record in records if record.accuracy is not None}


def stability(records: Iterable[Record], *, last: int = LAST_TESTS) -> float | None:
    """Standard deviation of the last tests' accuracies, sqrt(mean((a - mean(a))^2)); None of fewer than two."""
    accuracies = list(tests_of(records).values())[-last:]
    return pstdev(accuracies) if len(accuracies) > 1 else None


def rounds_to(records: Iterable[Record], target: float) -> int | None:
    """The first round whose test reaches an accuracy; None if none does."""
    return next((number for number, accuracy in tests_of(records).items() if accuracy >= target), None)


def _seconds(records: Iterable[Record], phases: Sequence[str]) -> float | None:
    """Of a round, in the mean; a phase that a skipped round did not have took no time."""
    return mean_of_known(
        sum(record.seconds.get(phase, 0.0) for phase in phases) if record.seconds else None for record in records
    )


def _memory(records: Iterable[Record], parts: Sequence[str]) -> float | None:
    """The most of all rounds that were looked at, in megabytes."""
    sizes = [sum(record.memory.get(part, 0) for part in parts) for record in records if record.memory]
    return max(sizes) / _MEGABYTE if sizes else None


# --- beside other cells ---------------------------------------------------------------------------------------


def best(row: Row) -> float | None:
    """The figure that papers report: the best accuracy of a run's tests."""
    return row.best


def _finished(row: Row, figure: Callable[[Row], float | None]) -> float | None:
    """A figure that counts beside others."""
    return figure(row) if row.counts else None


def setting_of(row: Row) -> tuple[tuple[str, str], ...]:
    """What two cells must have in common to be compared: everything but the rule, the attack and the seed."""
    return tuple((key, repr(value)) for key, value in sorted(row.config.items()) if key not in _TOLD_ALONE)


@dataclass(frozen=True, kw_only=True)
class OverSeeds:
    """Cells that differ in their seed alone.

    Attributes:
        rows: the cells, those that do not count included.
        values: of those that count (`Row.counts`) and have one, in the order of the rows.
    """

    rows: tuple[Row, ...]
    values: tuple[float, ...]

    @property
    def row(self) -> Row:
        """One of them, for what they have in common."""
        return self.rows[0]

    @property
    def mean(self) -> float | None:
        """None where no cell has a value."""
        return fmean(self.values) if self.values else None

    @property
    def std(self) -> float | None:
        """Standard deviation over seeds, with n - 1; None of fewer than two."""
        return stdev(self.values) if len(self.values) > 1 else None


def over_seeds(rows: Iterable[Row], figure: Callable[[Row], float | None] = best) -> list[OverSeeds]:
    """Cells by everything but their seed, in the order in which they first appear; a run that is there twice is one.

    Only cells that count have a value: of those that are not done nobody knows what they will reach.
    """
    groups: dict[Any, dict[str, Row]] = {}
    for row in rows:
        same = tuple((key, repr(value)) for key, value in sorted(row.config.items()) if key != "seed")
        by_seed = groups.setdefault((row.group, same), {})
        seed = repr(row.config.get("seed"))
        if seed not in by_seed or (_finished(by_seed[seed], figure) is None and _finished(row, figure) is not None):
            by_seed[seed] = row
    found = []
    for by_seed in groups.values():
        members = tuple(by_seed.values())
        values = tuple(value for row in members if (value := _finished(row, figure)) is not None)
        found.append(OverSeeds(rows=members, values=values))
    return found


def references(rows: Iterable[Row], figure: Callable[[Row], float | None] = best) -> dict[Any, float]:
    """Of each setting, what Mean reaches without attack: the mean over seeds that are done, where there are such.

    Where code of the user's own was edited between these, as of a model, that makes two settings.
    """
    clean: dict[Any, dict[str, float]] = {}
    for row in rows:
        value = _finished(row, figure)
        if value is not None and (row.config.get("rule"), row.config.get("attack")) == ("mean", "no-attack"):
            clean.setdefault(setting_of(row), {})[repr(row.config.get("seed"))] = value
    return {setting: fmean(by_seed.values()) for setting, by_seed in clean.items()}


def impact(row: Row, references: Mapping[Any, float], figure: Callable[[Row], float | None] = best) -> float | None:
    """Attack impact: what Mean reaches without attack in the same setting, less what the cell reaches.

    Xu, Huang, Song & Lan, ICDCS 2022, section V. None where one of the two is not there or not done.
    """
    clean, reached = references.get(setting_of(row)), _finished(row, figure)
    return None if clean is None or reached is None else clean - reached


def with_impacts(rows: Sequence[Row]) -> list[Row]:
    """The rows with ``attack_impact`` among their measures."""
    clean = references(rows)
    return [replace(row, measures={**row.measures, "attack_impact": impact(row, clean)}) for row in rows]


@dataclass(frozen=True, kw_only=True)
class OverAttacks:
    """What a rule reaches in one setting, under all attacks that there are; means over seeds.

    Attributes:
        rule: as text.
        group: of the cells.
        setting: as `setting_of` has it.
        by_attack: figures by attack, that without attack left out; None where no cell is done.
        clean: without attack; None where that was not run.
    """

    rule: str
    group: str
    setting: tuple[tuple[str, str], ...]
    by_attack: Mapping[str, float | None]
    clean: float | None

    @property
    def _known(self) -> dict[str, float]:
        return {attack: value for attack, value in self.by_attack.items() if value is not None}

    @property
    def worst_attack(self) -> str | None:
        """The attack under which it reaches least; of several, the first."""
        return min(self._known, key=self._known.__getitem__, default=None)

    @property
    def worst(self) -> float | None:
        """What it reaches under that; no more than a bound while `missing` is not empty."""
        return min(self._known.values(), default=None)

    @property
    def mean(self) -> float | None:
        """Mean over attacks; None while one of them is missing, since the mean of others says nothing of it."""
        return fmean(self._known.values()) if self.by_attack and not self.missing else None

    @property
    def missing(self) -> tuple[str, ...]:
        """Attacks of which no cell is done."""
        return tuple(attack for attack, value in self.by_attack.items() if value is None)
