"""What a sweep is made of: a table of settings, some with several values, becomes cells, each a run.

Keys are those of `fedward.experiments.RunSpec`, each a value or a list of them; lists are crossed::

    title = "Four rules"
    rule = ["mean", "median", "krum", "sign-guard"]
    attack = ["no-attack", "alie"]
    seed = [0, 1, 2]
    clients = [20, 50]
    byzantine = ["4", "10"]                       # of clients by number, [3, 4] is one value: which they are
    zip = [["clients", "byzantine"]]              # these go together
    exclude = [{ rule = "mean", attack = "alie" }]
    cost = 0.2                                    # seconds of a quiet core that a round is expected to take

    [[cell]]                                      # what some of the cells have of their own
    match = { rule = "krum" }
    lr = 0.05

    [[runs]]                                      # groups: each a grid of its own over what is said above
    group = "longer"
    rounds = 2400

    [profiles.short]                              # what `--profile short` has in place of the above
    rounds = 120

One seed is run whole before the next; rules are innermost.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from ..experiments.load import names_in_config, toml_table
from ..experiments.spec import RunSpec, SpecError, file_name, make_spec
from ..registry.naming import unknown
from ..registry.strangers import ask_about_all
from .grammar import OWN, TOP, check_cost, check_key, check_table, text_of
from .pattern import Pattern, as_text, component_text, listed, several_named, value_of

_INNER = ("attack", "rule")
"""Keys that are always in the name of a cell, and the innermost of a grid."""
_SHOWN = 5
"""How many things that are wrong are told."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run of a sweep.

    Attributes:
        name: for people: the group, rule, attack, and whatever else its grid has several values of.
        spec: the run.
        group: that it belongs to; empty where there are none.
        settings: by key, what it has of those that a grid has several values of, as written; rule, attack and seed.
        cost: seconds of a quiet core that a round is expected to take; None where nobody has said so.
    """

    name: str
    spec: RunSpec
    group: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    cost: float | None = None


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Cells that belong together.

    Attributes:
        name: of the sweep.
        title: a heading; the name where none is given.
        cells: in the order in which they are made.
        table: what they were read from, as it was given.
        profile: that was chosen; None for the settings as they stand.
        published: the name of the published table or figure that it is; None where it is none.
        tune: which parameters are to be chosen, from which values.
        same: combinations that are no cells, by name: each is the run of this cell, written in another way.
    """

    name: str
    title: str
    cells: tuple[Cell, ...]
    table: Mapping[str, Any] = field(default_factory=dict)
    profile: str | None = None
    published: str | None = None
    tune: Mapping[str, Any] = field(default_factory=dict)
    same: Mapping[str, str] = field(default_factory=dict)

    @property
    def axes(self) -> dict[str, tuple[Any, ...]]:
        """The keys of which cells have different values, each with its values in the order of the cells."""
        found: dict[str, dict[str, Any]] = {}
        for cell in self.cells:
            for key, value in cell.settings.items():
                found.setdefault(key, {}).setdefault(repr(value), value)
        return {key: tuple(values.values()) for key, values in found.items() if len(values) > 1}

    @property
    def told_by_values(self) -> tuple[str, str]:
        """A name and a heading of what it crosses, where nobody has given it any."""
        axes = {key: tuple(map(as_text, values)) for key, values in self.axes.items()}
        common = self.cells[0].spec.told_apart(beside=("data_path", *axes))
        parts = [*common.values(), *(f"{key}={'-'.join(values)}" for key, values in axes.items())]
        heading = "; ".join(f"{key}: {', '.join(values)}" for key, values in axes.items())
        return file_name("__".join(parts)), heading or self.cells[0].name


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A cell before it is known whether it can be run: its name, group and keys as written."""

    name: str
    group: str
    values: Mapping[str, Any]
    axes: tuple[str, ...]


def read_sweep(
    file: Path,
    *,
    name: str | None = None,
    profile: str | None = None,
    only: Sequence[str] = (),
    seeds: int | None = None,
    beside: Collection[str] = (),
    trust_imports: bool = False,
) -> Sweep:
    """The sweep of a TOML file.

    Args:
        file: its path.
        name: of the sweep; if None as the file says, or the name of the file.
        profile: of ``[profiles]``, whose keys take the place of the others.
        only: ``key=value``: of the cells those that have one of the values of every key.
        seeds: so many, 0, 1, ..., in place of those of the file.
        beside: tables of the file that somebody else reads.
        trust_imports: whether import paths in it may be followed, which runs the modules that they name.

    Raises:
        SpecError: no such file, not TOML, or as `make_sweep`.
    """
    table = {key: value for key, value in toml_table(file).items() if key not in beside}
    try:
        with names_in_config(typed=only, trust_imports=trust_imports):
            called = name or text_of(table, "name") or file.stem
            return make_sweep(table, name=called, profile=profile, only=only, seeds=seeds)
    except SpecError as error:
        raise SpecError(f"{file}: {error}") from None


def make_sweep(
    table: Mapping[str, Any],
    *,
    name: str,
    profile: str | None = None,
    only: Sequence[str] = (),
    seeds: int | None = None,
) -> Sweep:
    """The sweep of a table; arguments as in `read_sweep`.

    Raises:
        SpecError: an unknown key, a list where one value is needed, no cell at all, two cells of the same name, or a
            cell that cannot be run.
    """
    try:
        ask_about_all(table.get("tune", {}))
    except ValueError as error:
        raise SpecError(f"tune: {error}") from None
    chosen = drafts(table, profile=profile, seeds=seeds)
    if only:
        chosen = _only(chosen, only)
    cells, same = _cells(chosen)
    return Sweep(
        name=name,
        title=text_of(table, "title") or name,
        cells=cells,
        table=table,
        profile=profile,
        published=text_of(table, "published"),
        tune=table.get("tune", {}),
        same=same,
    )


def has_several(table: Mapping[str, Any]) -> bool:
    """Whether a table is one of several runs: a key has a list of values, or it says what only a sweep knows."""
    listing = (key for key, value in table.items() if isinstance(value, list) and listed(key, value) is value)
    return any(key in RunSpec.model_fields for key in listing) or not table.keys().isdisjoint((*OWN, *TOP))


def drafts(table: Mapping[str, Any], *, profile: str | None = None, seeds: int | None = None) -> list[Draft]:
    """The cells of a table as they stand there: whether they can be run is not looked at.

    Raises:
        SpecError: as `make_sweep`, but for cells that cannot be run.
    """
    check_table(table)
    strict = profile is None and seeds is None  # a profile may leave out what an exclusion is about
    replaced = _profile(table, profile)
    whole = {**table, **replaced}
    groups = whole.get("runs") or [{}]
    if not any(key in RunSpec.model_fields for part in (whole, *groups) for key in part):
        raise SpecError('no setting at all: say what is to be run, such as rule = ["mean", "median"]')
    if seeds is not None:
        if seeds < 1:
            raise SpecError(f"{seeds} seeds make no cell; give 1 or more")
        replaced = {**replaced, "seed": list(range(seeds))}
        whole |= replaced
    common = {key: value for key, value in whole.items() if key not in TOP}
    excluded = common.pop("exclude", [])
    found: list[Draft] = []
    for group in groups:
        # A profile and the number of seeds take the place of what groups say, too.
        own = {key: value for key, value in group.items() if key not in replaced}
        found += _excluded(_grid({**common, **own}), own.get("exclude", []), strict)
    found = _overridden(found, whole.get("cell", []), replaced.keys(), strict)
    found = _excluded(found, excluded, strict)
    if not found:
        raise SpecError("no cell is left: all are excluded; leave some of exclude out")
    names = [draft.name for draft in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SpecError(f"several runs are called {', '.join(twice[:_SHOWN])}; give one a group of its own")
    return found


# --- from a table to drafts -----------------------------------------------------------------------------------


def _grid(table: Mapping[str, Any]) -> list[Draft]:
    """All combinations of the values of one group."""
    values = {key: value for key, value in table.items() if key not in ("group", "zip", "exclude")}
    group = text_of(table, "group") or ""
    lists = {key: listed(key, value) for key, value in values.items() if key != "cost"}
    for key, choices in lists.items():
        if not choices:
            raise SpecError(f"{key} = []: a grid over no value has no cell; give a value, or leave the key out")
    # A value that is there twice is one; but not in lists that go together.
    bundles = _bundles(lists, table.get("zip", []))
    axes = tuple(key for key, choices in lists.items() if len(choices) > 1)
    found = []
    for choice in product(*bundles):
        chosen = {key: value for part in choice for key, value in part.items()}
        name = _name(group, {**values, **chosen}, axes)
        found.append(Draft(name=name, group=group, values={**values, **chosen}, axes=axes))
    return found


def _bundles(lists: Mapping[str, list[Any]], zipped: Any) -> list[list[dict[str, Any]]]:
    """What is crossed, the outermost first: of each, the values that its keys have together."""
    together = [tuple(keys) for keys in zipped]
    apart = [(key,) for key in lists if not any(key in keys for keys in together)]
    places = {key: place for place, key in enumerate(lists)}

    def order(keys: tuple[str, ...]) -> tuple[int, int]:
        if keys == ("seed",):
            return 0, 0
        inner = max(_INNER.index(key) + 2 if key in _INNER else 1 for key in keys)
        return inner, min(places.get(key, 0) for key in keys)

    bundles = []
    for keys in sorted([*together, *apart], key=order):
        if lost := [key for key in keys if key not in lists]:
            raise SpecError(f"zip: {', '.join(lost)} has no values here; give it a list")
        lengths = {key: len(lists[key]) for key in keys}
        if len(set(lengths.values())) > 1:
            said = ", ".join(f"{key} has {count}" for key, count in lengths.items())
            raise SpecError(f"zip: lists that go together have as many values each: {said}")
        rows = [dict(zip(keys, row, strict=True)) for row in zip(*(lists[key] for key in keys), strict=True)]
        bundles.append(list({repr(row): row for row in rows}.values()))
    return bundles


def _name(group: str, values: Mapping[str, Any], axes: Iterable[str]) -> str:
    """What a cell is called; seed 0 is not named."""
    prefix = f"{group}/" if group else ""
    others = [f", {key}={as_text(values[key])}" for key in axes if key not in (*_INNER, "seed")]
    seed = value_of(values, "seed")
    if seed:
        others.append(f", seed {seed}")
    rule = component_text(value_of(values, "rule"))
    attack = component_text(value_of(values, "attack"))
    return f"{prefix}{rule} under {attack}{''.join(others)}"


def _overridden(found: list[Draft], overrides: Any, kept: Collection[str], strict: bool) -> list[Draft]:
    """The cells with what ``[[cell]]`` says of some; what a profile says stays."""
    for number, override in enumerate(overrides, 1):
        where = f"[[cell]] {number}"
        pattern = Pattern.of(override.get("match"), f"{where}: match")
        keys = {key: value for key, value in override.items() if key != "match"}
        for key, value in keys.items():
            check_key(key, where, (*RunSpec.model_fields, "cost"))
            if len(listed(key, value)) != 1 or value == []:
                raise SpecError(f"{where}: {key} takes one value here, got {value!r}; make a group of it with [[runs]]")
        check_cost(keys.get("cost"), f"{where}: ")
        meant = [draft.name for draft in found if pattern.fits(draft.values, draft.group)]
        if not meant and strict:
            raise SpecError(f"{where}: no cell has {pattern}: {_told(pattern, found)}")
        if axis := next((key for d in found if d.name in meant for key in keys if key in d.axes), None):
            raise SpecError(f"{where}: {axis} is one of the axes of the grid, so a cell has it; use exclude")
        own = {key: value for key, value in keys.items() if key not in kept}
        found = [replace(d, values={**d.values, **own}) if d.name in meant else d for d in found]
    return found


def _excluded(found: list[Draft], exclusions: Any, strict: bool) -> list[Draft]:
    for number, exclusion in enumerate(exclusions, 1):
        pattern = Pattern.of(exclusion, f"exclude {number}")
        left = [draft for draft in found if not pattern.fits(draft.values, draft.group)]
        if len(left) == len(found) and strict:
            raise SpecError(f"exclude {number}: no cell has {pattern}: {_told(pattern, found)}")
        found = left
    return found


def _only(found: list[Draft], options: Sequence[str]) -> list[Draft]:
    pattern = Pattern.of_options(options)
    left = [draft for draft in found if pattern.fits(draft.values, draft.group)]
    if not left:
        raise SpecError(f"--only: no cell has {pattern}: {_told(pattern, found)}")
    return left


def _told(pattern: Pattern, found: list[Draft]) -> str:
    return pattern.told((draft.values, draft.group) for draft in found)


def _profile(table: Mapping[str, Any], profile: str | None) -> dict[str, Any]:
    """The keys of a profile."""
    if profile is None:
        return {}
    there = table.get("profiles", {})
    if profile not in there:
        raise SpecError(unknown("profile", profile, there) if there else f"no profile {profile!r}: there are none")
    return dict(there[profile])


# --- from drafts to cells -------------------------------------------------------------------------------------


def _cells(found: list[Draft]) -> tuple[tuple[Cell, ...], dict[str, str]]:
    """The cells, each of which can be run, and the names of those that another of their group is already."""
    cells = []
    refused: dict[str, list[str]] = {}
    first: dict[tuple[str, str], str] = {}
    same: dict[str, str] = {}
    for draft in found:
        values = dict(draft.values)
        cost = values.pop("cost", None)
        try:
            spec = make_spec(values)
        except SpecError as error:
            refused.setdefault(str(error), []).append(draft.name)
            continue
        there = first.setdefault((draft.group, repr(spec.resolved())), draft.name)
        if there != draft.name:  # twice in a table, it would count as two seeds
            same[draft.name] = there
            continue
        settings = {key: value_of(draft.values, key) for key in dict.fromkeys((*draft.axes, *_INNER, "seed"))}
        cells.append(Cell(name=draft.name, spec=spec, group=draft.group, settings=settings, cost=cost))
    if refused:
        told = [f"{several_named(names)}: {why}" for why, names in refused.items()]
        more = [f"and {len(told) - _SHOWN} more that are wrong in other ways"] if len(told) > _SHOWN else []
        raise SpecError("\n".join([*told[:_SHOWN], *more]))
    return tuple(cells), same
