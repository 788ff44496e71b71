"""A sweep as pages and tables show it: grids of rules and attacks, a place a setting, seeds taken together."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..published import Number, Published, Verdict, look_up, verdict_in_small, verdict_on
from ..sim import Record
from ..sweeps import Row, Sweep
from ..sweeps.apart import ATTACK_CODE, RULE_CODE, named_with_code
from ..sweeps.choices import Choice
from ..sweeps.measures import OverAttacks, OverSeeds, over_seeds, references, setting_of
from .grid import plain, unique

NO_ATTACK = "no-attack"
NO_ATTACK_LABEL = "No attack"
"""The same beside names of attacks as papers have them."""
NEVER_SHOWN = (
    *("rule", "attack", RULE_CODE, ATTACK_CODE),
    *("seed", "data_path", "device", "confidence", "evaluate_every"),
)
"""Keys that make no column: what the grid is about, and what changes no figure."""


@dataclass(frozen=True, kw_only=True)
class SweepData:
    """All that a page about a sweep is made of.

    Attributes:
        title: a heading.
        rows: one a cell and seed.
        records: of the cells that have any, by name.
        settings: of cells, what the grid has several values of as it was written, by name; where there is nothing,
            what is resolved counts.
        numbers: published ones, by name of the cell that they are about.
        source: where these are from.
        profile: of the settings that were run; None for those of the paper.
        notes: what a reader of the figures should know.
        edited: the same of runs that were made before files of the user's own were edited; captions say it, too.
        failures: tracebacks of cells that failed, by name.
        choices: hyper-parameters that were chosen before, and what that took.
        labels: what tables and figures for a paper call rules and attacks, by how they are written or by their names.
        measure: key of what a table for a paper has in its cells, of `fedward.report.sweep_measures.MEASURES`.
    """

    title: str
    rows: tuple[Row, ...]
    records: Mapping[str, Sequence[Record]] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    numbers: Mapping[str, tuple[Number, ...]] = field(default_factory=dict)
    source: Published | None = None
    profile: str | None = None
    notes: tuple[str, ...] = ()
    edited: tuple[str, ...] = ()
    failures: Mapping[str, str] = field(default_factory=dict)
    choices: tuple[Choice, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    measure: str = "best"


def attacked(attack: str) -> bool:
    """Whether anybody attacks in a column of this name."""
    return attack not in (NO_ATTACK, NO_ATTACK_LABEL)


def of_sweep(sweep: Sweep, rows: Sequence[Row], records: Mapping[str, Sequence[Record]], **more: Any) -> SweepData:
    """Rows and records of a sweep, with what is published of it."""
    source = None if sweep.published is None else look_up(sweep.published)
    return SweepData(
        title=sweep.title,
        rows=tuple(rows),
        records=records,
        settings={cell.name: cell.settings for cell in sweep.cells},
        numbers={} if source is None else {cell.name: source.numbers_of(cell) for cell in sweep.cells},
        source=source,
        profile=sweep.profile,
        **more,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Crossing:
    """Cells that differ in their seed alone.

    Attributes:
        number: of all places, from 1.
        over: the cells, with their best accuracies.
        rule, attack: as they are written, and of which code where there are several.
        settings: that differ in its grid, as text.
        published: the accuracy that a paper has for it.
        verdict: on ours beside that; None where one of the two is not there.
    """

    number: int
    over: OverSeeds
    rule: str
    attack: str
    settings: Mapping[str, str]
    published: Number | None = None
    verdict: Verdict | None = None

    @property
    def title(self) -> str:
        """Its rule, its attack, and what differs."""
        more = "".join(f", {key} {value}" for key, value in self.settings.items() if value)
        return f"{self.rule} under {self.attack}{more}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """A rule in one setting, under all attacks.

    Attributes:
        rule: as it is written.
        settings: that differ in its grid, as text.
        places: by attack.
    """

    rule: str
    settings: Mapping[str, str]
    places: Mapping[str, Crossing]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Rules by attacks, on one data set and of one group.

    Attributes:
        title: the group and the data set, where there are several.
        attacks: its columns.
        keys: settings that differ.
        lines: a rule each, or one in several settings.
    """

    title: str
    attacks: tuple[str, ...]
    keys: tuple[str, ...]
    lines: tuple[Line, ...]

    @property
    def places(self) -> list[Crossing]:
        """All of them, line by line."""
        return [line.places[attack] for line in self.lines for attack in self.attacks if attack in line.places]

    def by_attack(self, line: Line, figure: Callable[[Crossing], float | None]) -> dict[str, float | None]:
        """What a line reaches under every attack that a rival was tried under; None also where it was not itself.

        Where attacks go with a setting, such as how many are byzantine, those of another setting are not for it.
        """
        tried = {attack for rival in self.rivals_of(line) for attack in rival.places if attacked(attack)}
        there = {attack: line.places.get(attack) for attack in self.attacks if attack in tried}
        return {attack: None if place is None else figure(place) for attack, place in there.items()}

    def across(self, line: Line) -> OverAttacks:
        """The means of a line under all attacks of its setting."""
        clean = line.places.get(NO_ATTACK)
        return OverAttacks(
            rule=line.rule,
            group=next(iter(line.places.values())).over.row.group,
            setting=(),
            by_attack=self.by_attack(line, lambda place: place.over.mean),
            clean=None if clean is None else clean.over.mean,
        )

    def rivals(self, place: Crossing) -> list[Crossing]:
        """What a place is held against under the same attack, itself included."""
        lines = self._lines_of(place.settings)
        return [line.places[place.attack] for line in lines if place.attack in line.places]

    def rivals_of(self, line: Line) -> list[Line]:
        """What a line is held against, itself included."""
        return self._lines_of(line.settings)

    def _lines_of(self, settings: Mapping[str, str]) -> list[Line]:
        """Rules are compared in the same setting; where each has its own, all are."""
        alike = len({line.rule for line in self.lines}) < len(self.lines)
        return [line for line in self.lines if line.settings == settings] if alike else list(self.lines)


def grids(data: SweepData) -> list[Grid]:
    """The grids of a sweep in the order of its cells, one a group and data set."""
    apart: dict[tuple[str, str], list[OverSeeds]] = {}
    for over in over_seeds(data.rows):
        apart.setdefault((over.row.group, plain(over.row.config.get("data", ""))), []).append(over)
    named = len({name for _, name in apart}) > 1
    found: list[Grid] = []
    number = 1
    for (group, name), cells in apart.items():
        title = " · ".join(dict.fromkeys(filter(None, (group, name if named or not group else ""))))
        grid = _grid(data, title, cells, number)
        found.append(grid)
        number += len(cells)
    return found


def _grid(data: SweepData, title: str, cells: Sequence[OverSeeds], first: int) -> Grid:
    keys = _differing([over.row.config for over in cells])
    clean = references(data.rows)
    lines: dict[tuple[str, ...], dict[str, Crossing]] = {}
    for number, over in enumerate(cells, first):
        rule, attack = (
            named_with_code(as_written(data, over.row, key), over.row.config, key) for key in ("rule", "attack")
        )
        settings = {key: as_shown(over.row.config, key) for key in keys}
        if attack in lines.get((rule, *settings.values()), {}):  # told apart by what is not written
            rule = named_with_code(plain(over.row.config["rule"]), over.row.config, "rule")
        numbers = data.numbers.get(over.row.cell, ())
        published = next((one for one in numbers if one.figure == "best" and one.relation == "="), None)
        place = Crossing(
            number=number,
            over=over,
            rule=rule,
            attack=attack,
            settings=settings,
            published=published,
            verdict=_verdict(data, published, over, clean.get(setting_of(over.row))),
        )
        lines.setdefault((rule, *settings.values()), {})[attack] = place
    return Grid(
        title=title,
        attacks=tuple(_without_first(place.attack for line in lines.values() for place in line.values())),
        keys=keys,
        lines=tuple(
            Line(rule=rule, settings=dict(zip(keys, values, strict=True)), places=places)
            for (rule, *values), places in lines.items()
        ),
    )


def _verdict(data: SweepData, number: Number | None, over: OverSeeds, clean: float | None) -> Verdict | None:
    """On the digits in the paper's setting, on what is lost against the mean without attack in another."""
    if number is None or over.mean is None:
        return None
    if data.profile is None:
        return verdict_on(number, 100 * over.mean)
    return verdict_in_small(number, 100 * over.mean, None if clean is None else 100 * clean)


def _without_first(attacks: Iterable[str]) -> list[str]:
    """The attacks in their order, none before all others."""
    return sorted(unique(list(attacks)), key=attacked)


def _differing(configs: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    keys = dict.fromkeys(key for config in configs for key in config if key not in NEVER_SHOWN)
    return tuple(key for key in keys if len({_beside_others(config, key) for config in configs}) > 1)


def _beside_others(config: Mapping[str, Any], key: str) -> str:
    """A value as text, without what another key says of it already."""
    text = as_shown(config, key)
    return text.replace(f"batch_size={config.get('batch_size')}", "batch_size") if key == "algorithm" else text


def as_shown(config: Mapping[str, Any], key: str) -> str:
    """A value of a configuration as text; nothing where it has none."""
    value = config.get(key)
    return "" if value is None else plain(value)


def as_written(data: SweepData, row: Row, key: str) -> str:
    """The rule or the attack of a cell as it was written; without an f that only repeats how many are byzantine.

    No attack has one name however it was spelled, or its label: tables know it by these.
    """
    value = data.settings.get(row.cell, {}).get(key)
    if key == "attack" and row.config.get(key) == NO_ATTACK:
        return NO_ATTACK_LABEL if value == NO_ATTACK_LABEL else NO_ATTACK
    if isinstance(value, str):
        return value
    text = plain(row.config.get(key) or (NO_ATTACK if key == "attack" else "unknown rule"))
    return _told_nothing(text, row.config.get("byzantine")) if key == "rule" else text


def _told_nothing(rule: str, byzantine: Any) -> str:
    said = f"f={re.escape(str(byzantine))}"
    among_others = re.sub(rf"(?<=:){said},", "", rule)
    return re.sub(rf"[:,]{said}(?=[,)\s]|$)", "", among_others)
