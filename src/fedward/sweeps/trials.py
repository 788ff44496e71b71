"""Tuning: hyper-parameters of every rule, chosen on a validation split, without attack and against the worst attack.

``[tune]`` of a sweep says what is tried::

    [tune]
    lr = [0.05, 0.1, 0.2]               # keys of a run
    rule.iterations = [1, 3]            # a parameter of the rules that have it
    validation = 0.1                    # share of the training data to test on, 0.1 if nothing is said
    rounds = 300                        # of a trial; those of its cell if nothing is said

Every combination is a candidate of every rule, as far as the rule itself (not one inside it) has the parameters. A
trial is a run of a candidate under one attack of the sweep, with the first seed that its rule and setting have under
it, that is tested on the validation split: nothing is chosen by the test set. Two candidates win for each rule and
setting: the one that is best without attack, and the one whose worst attack leaves most. Then the sweep is run with
both, on all training data and the test set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from ..experiments.spec import RunSpec, SpecError, make_spec
from ..registry.naming import unknown
from ..registry.notation import describe
from ..registry.parameters import parameters_of
from .grid import Cell, Sweep

VALIDATION = 0.1
"""The share of the training data that is held out where nothing is said."""
CLEAN = "no-attack"
"""The attack that is none."""

_FIXED = frozenset({"seed", "rule", "attack", "validation", "rounds", "data", "data_path", "device"})
"""Keys of a run that are no hyper-parameters."""


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What is tried.

    Attributes:
        keys: of a run, each with its values.
        parameters: of rules, by name, each with its values.
        validation: share of the training data to test on.
        rounds: of a trial; None for those of its cell.
    """

    keys: Mapping[str, tuple[Any, ...]]
    parameters: Mapping[str, tuple[Any, ...]]
    validation: float = VALIDATION
    rounds: int | None = None

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Tuning:
        """Of the table ``[tune]``.

        Raises:
            SpecError: an unknown key, one that is no hyper-parameter, or no list of values.
        """
        settings = dict(table)
        validation = settings.pop("validation", VALIDATION)
        rounds = settings.pop("rounds", None)
        parameters = settings.pop("rule", {})
        if isinstance(validation, bool) or not isinstance(validation, int | float) or not 0 < validation < 1:
            raise SpecError(f"tune: validation is a share above 0 and below 1, got {validation!r}")
        if rounds is not None and (type(rounds) is not int or rounds < 1):
            raise SpecError(f"tune: rounds are a number of at least 1, got {rounds!r}")
        if not isinstance(parameters, Mapping):
            raise SpecError(f"tune: write parameters of rules as rule.f = [5, 10], got rule = {parameters!r}")
        for key in settings:
            if key not in RunSpec.model_fields:
                raise SpecError(f"tune: {unknown('key', key, RunSpec.model_fields, 'fedward run --help')}")
            if key in _FIXED:
                raise SpecError(f"tune: {key} is no hyper-parameter; make it an axis of the sweep")
        if not settings and not parameters:
            raise SpecError("tune: nothing to choose from; give a key or rule.PARAMETER with a list of values")
        return cls(
            keys={key: _values(key, value) for key, value in settings.items()},
            parameters={key: _values(f"rule.{key}", value) for key, value in parameters.items()},
            validation=float(validation),
            rounds=rounds,
        )


def _values(key: str, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list) or not value:
        raise SpecError(f"tune: {key} takes a list of values to choose from, got {value!r}")
    return tuple(value)


# --- trials ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class TrialRun:
    """A cell with a candidate's values, as it is tried.

    Attributes:
        cell: what is run.
        of: the name of the cell of the sweep that it is a trial of.
        contest: which candidates it is compared with: those of the same group, rule and setting.
        values: the candidate's, by key; of the rule's parameters ``rule.NAME``.
        attack: that it is tried under.
    """

    cell: Cell
    of: str
    contest: str
    values: Mapping[str, Any]
    attack: str


def trials(sweep: Sweep) -> list[TrialRun]:
    """All trials of a sweep: of each contest and attack with its first seed, since groups may have seeds of their own.

    Each candidate is tried without attack, too, where the sweep has attacks alone.

    Raises:
        SpecError: as `Tuning.of`; a parameter that no rule has; a candidate that cannot be run.
    """
    tuning = Tuning.of(sweep.tune)
    contests: dict[str, list[Cell]] = {}
    for cell in sweep.cells:
        contests.setdefault(contest_of(cell), []).append(cell)
    tried = {contest: _first_seeds(members) for contest, members in contests.items()}
    _check_parameters(tuning, [cell for members in tried.values() for cell in members])
    found = []
    for contest, members in tried.items():
        for values in _candidates(tuning, members[0].spec):
            found += [_trial(cell, contest, values, tuning) for cell in _with_clean(members)]
    return found


def _first_seeds(cells: Sequence[Cell]) -> list[Cell]:
    """Of the cells of a contest those that have the first seed under their attack."""
    first: dict[str, int] = {}
    for cell in cells:
        attack, seed = _attack_of(cell), cell.spec.seed
        first[attack] = min(seed, first.get(attack, seed))
    return [cell for cell in cells if cell.spec.seed == first[_attack_of(cell)]]


def contest_of(cell: Cell) -> str:
    """The group, the rule and whatever else a cell has besides its attack and seed, in words."""
    others = [f"{key}={value}" for key, value in cell.settings.items() if key not in ("rule", "attack", "seed")]
    rule = str(cell.settings["rule"])
    return ", ".join([f"{cell.group}/{rule}" if cell.group else rule, *others])


def _with_clean(cells: Sequence[Cell]) -> list[Cell]:
    """The cells, and one without attack if none is."""
    if any(_attack_of(cell) == CLEAN for cell in cells):
        return list(cells)
    clean = replace(
        cells[0],
        name=f"{contest_of(cells[0])} under {CLEAN}",
        spec=cells[0].spec.model_copy(update={"attack": CLEAN}),
        settings={**cells[0].settings, "attack": CLEAN},
    )
    return [clean, *cells]


def _check_parameters(tuning: Tuning, cells: Iterable[Cell]) -> None:
    """That every parameter is one of some rule."""
    there = {name for cell in cells for name in parameters_of(type(cell.spec.make_rule()))}
    for name in tuning.parameters:
        if name not in there:
            known = ", ".join(sorted(there))
            raise SpecError(f"tune: no rule of the sweep has a parameter {name!r}; they have {known}")


def _candidates(tuning: Tuning, spec: RunSpec) -> list[dict[str, Any]]:
    """All combinations of values that a cell can have, by key."""
    own = parameters_of(type(spec.make_rule()))
    axes = {**tuning.keys, **{f"rule.{key}": values for key, values in tuning.parameters.items() if key in own}}
    return [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]


def _trial(cell: Cell, contest: str, values: Mapping[str, Any], tuning: Tuning) -> TrialRun:
    rounds = tuning.rounds or cell.spec.rounds
    tried = values_told(values)
    name = f"{cell.name}, {tried}" if tried else cell.name
    trial = replace(
        cell,
        name=name,
        spec=with_values(cell.spec, {**values, "validation": tuning.validation, "rounds": rounds}, name),
        settings={**cell.settings, **values},
    )
    return TrialRun(cell=trial, of=cell.name, contest=contest, values=values, attack=_attack_of(cell))


def _attack_of(cell: Cell) -> str:
    """The attack as it is written; `CLEAN` however that is spelled."""
    return CLEAN if describe(cell.spec.make_attack()) == CLEAN else cell.spec.attack


def with_values(spec: RunSpec, values: Mapping[str, Any], name: str) -> RunSpec:
    """The run with a candidate's values.

    Raises:
        SpecError: it cannot be run; the message begins with the name.
    """
    keys = {key: value for key, value in values.items() if not key.startswith("rule.")}
    own = {key.removeprefix("rule."): value for key, value in values.items() if key.startswith("rule.")}
    try:
        if own:
            keys["rule"] = describe(replace(spec.make_rule(), **own))
        return make_spec({**spec.model_dump(), **keys})
    except (SpecError, ValueError, TypeError) as error:
        raise SpecError(f"tune: {name}: {error}") from None


def values_told(values: Mapping[str, Any]) -> str:
    """A candidate's values as text, which tells it from others."""
    return ", ".join(f"{key}={value}" for key, value in values.items())
