"""What rules and attacks are called in tables and figures for a paper: their names, and what tells them apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..registry.entries import registered
from ..registry.naming import unknown
from ..registry.notation import dotted, split_outside
from .grid import unique
from .runs import ReportError
from .sweep_table import NO_ATTACK, NO_ATTACK_LABEL, SweepData, as_written


@dataclass(frozen=True, kw_only=True)
class _Part:
    """One component of a text, which may be a chain of them: its name, and its arguments as they are written."""

    name: str
    arguments: Mapping[str, str]


def short_labels(texts: Iterable[str], given: Mapping[str, str] | None = None) -> dict[str, str]:
    """What each of several texts is called beside the others.

    That is the name of its class, with those arguments alone in which texts of the same names differ:
    ``TrimmedMean (f = 2)`` beside ``TrimmedMean (f = 4)``. Two that it does not tell apart stay as they are written.

    Args:
        texts: of rules, or of attacks.
        given: names that somebody has chosen, by a whole text or by the name of a component.
    """
    given = given or {}
    parts = {text: _parts(text) for text in dict.fromkeys(texts)}
    labels = {}
    for text, own in parts.items():
        names = [part.name for part in own]
        alike = [other for other in parts.values() if [part.name for part in other] == names]
        told = [
            _told(part, [other[place].arguments for other in alike], given.get(part.name))
            for place, part in enumerate(own)
        ]
        labels[text] = given.get(text, " >> ".join(told))
    counted = list(labels.values())
    return {text: label if counted.count(label) == 1 else text for text, label in labels.items()}


def with_labels(data: SweepData, options: Sequence[str]) -> SweepData:
    """The sweep with names of somebody's own for rules and attacks, such as ``sign-guard=Ours``, ``krum:f=2=Krum``.

    Raises:
        ReportError: no such rule or attack, no name, or one name for two.
    """
    rules, attacks = ([as_written(data, row, key) for row in data.rows] for key in ("rule", "attack"))
    written = [*rules, *attacks]
    known = unique([name for text in written for name in (text, *(part.name for part in _parts(text)))])
    known = [name for name in known if name != NO_ATTACK]  # which tables know by this name
    printed = {label: text for texts in (rules, attacks) for text, label in short_labels(texts).items()}
    spelled = {
        **printed,
        **{":".join(name.rsplit(".", 1)): name for name in known if ":" not in name},
        **{name: name for name in known},
    }
    found: dict[str, str] = {}
    for option in options:
        begun = max((spelling for spelling in spelled if option.startswith(f"{spelling}=")), key=len, default=None)
        if begun is None:
            name, equals, _ = option.rpartition("=")
            if not equals:
                raise ReportError(f"--label takes RULE=NAME, such as --label 'sign-guard=Ours', got {option!r}")
            once = [one for one in known if one.replace(":", ".") == one or one.replace(":", ".") not in known]
            raise ReportError(f"--label: {unknown('rule or attack', name, once)}")
        meant = spelled[begun]
        found[meant] = option.removeprefix(f"{begun}=").strip()
        if not found[meant]:
            raise ReportError(f"--label {option}: no name follows; write --label '{begun}=NAME'")
    chosen = replace(data, labels=found)
    shown = labelled(chosen)
    called = {as_written(shown, row, key) for key in ("rule", "attack") for row in data.rows}
    for meant, name in found.items():
        if not any(name in label for label in called):
            raise ReportError(f"--label: {meant} is not the only one that would be called {name}; give it another name")
    return chosen


def labelled(data: SweepData) -> SweepData:
    """The sweep with its rules and attacks by these names."""
    rules, attacks = ([as_written(data, row, key) for row in data.rows] for key in ("rule", "attack"))
    of_rules, of_attacks = short_labels(rules, data.labels), short_labels(attacks, data.labels)
    of_attacks[NO_ATTACK] = NO_ATTACK_LABEL
    settings = {
        row.cell: {**data.settings.get(row.cell, {}), "rule": of_rules[rule], "attack": of_attacks[attack]}
        for row, rule, attack in zip(data.rows, rules, attacks, strict=True)
    }
    return replace(data, settings=settings)


def in_full(data: SweepData) -> str:
    """Of the rules and attacks whose names leave arguments out, what they are in full, in a sentence; or nothing."""
    shown = labelled(data)
    pairs = {as_written(shown, row, key): as_written(data, row, key) for key in ("rule", "attack") for row in data.rows}
    hidden = [f"{name} is {text}" for name, text in pairs.items() if name != text and _hides(name, text)]
    return f" {'; '.join(hidden)}." if hidden else ""


def _hides(name: str, text: str) -> bool:
    return any(f"{key} = {value}" not in name for part in _parts(text) for key, value in part.arguments.items())


def _told(part: _Part, alike: Sequence[Mapping[str, str]], given: str | None) -> str:
    differing = {key: value for key, value in part.arguments.items() if len({other.get(key) for other in alike}) > 1}
    name = given or _class_of(part.name)
    return f"{name} ({', '.join(f'{key} = {value}' for key, value in differing.items())})" if differing else name


def _class_of(name: str) -> str:
    """The name of a component's class: ``SignGuard`` for ``sign-guard``; the last part of an import path."""
    entry = registered(name)
    if entry is not None:
        return name if entry.preset else str(entry.cls.__name__)
    return name.rpartition(".")[2] or name


def _parts(text: str) -> tuple[_Part, ...]:
    return tuple(map(_part, split_outside(text, ">>")))


def _part(text: str) -> _Part:
    name, _, rest = dotted(text).partition(":")
    arguments = (one.partition("=") for one in split_outside(rest, ",") if one)
    return _Part(name=name.strip(), arguments={key.strip(): value.strip() for key, _, value in arguments})
