"""The catalogue: every rule, mixer and attack by name.

A registered class is found by the command line, the configuration files, the conformance suite and the documentation
tables without further ado. Names are compared without hyphens and case, so "signguard" is "sign-guard".
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from typing import Any, TypeVar

from .rule import Chain, Component, Context, Mixer, Rule

C = TypeVar("C", bound=type[Component])
Spec = str | Mapping[str, Any]


@dataclass(frozen=True)
class Entry:
    """A line of the catalogue."""

    name: str
    kind: str
    cls: type[Component]
    paper: str
    complexity: str
    example: Mapping[str, Any]

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return (inspect.getdoc(self.cls) or "").partition("\n")[0]

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments with their defaults; `...` where there is none."""
        return {
            f.name: ... if f.default is MISSING and f.default_factory is MISSING else f.default
            for f in fields(self.cls)  # type: ignore[arg-type]  # registered classes are dataclasses
        }

    def build(self, **arguments: Any) -> Component:
        """An instance; arguments without a default that are not given come from the example."""
        return self.cls(**{**self.example, **arguments})

    @property
    def needs_f(self) -> bool:
        """Whether the number of byzantine clients must be told."""
        return "f" in self.arguments

    @property
    def bound(self) -> str:
        """How many clients it takes, as a formula."""
        return str(self.cls.bound) if issubclass(self.cls, Rule) else ""

    @property
    def history(self) -> bool:
        """Whether it remembers earlier rounds."""
        return issubclass(self.cls, Rule) and bool(self.cls.history)

    @property
    def passes(self) -> int | None:
        """Passes over the data, for rules."""
        return self.cls.passes if issubclass(self.cls, Rule) else None

    @property
    def statistics(self) -> tuple[str, ...]:
        """Names of the statistics it reads, apart from the norms that the finite check reads anyway."""
        made = self.build()
        if isinstance(made, Rule):
            found = made.statistics({}, Context())
        elif isinstance(made, Mixer):
            found = made.statistics(Context())
        else:
            found = ()
        return tuple(dict.fromkeys(s.name for s in found))


_ENTRIES: dict[str, Entry] = {}


def register(
    name: str, *, paper: str, complexity: str = "O(n d)", example: Mapping[str, Any] | None = None
) -> Callable[[C], C]:
    """Class decorator that puts a rule, mixer or attack into the catalogue.

    Args:
        name: kebab-case, as the command line will call it.
        paper: who and when.
        complexity: time, in n and d.
        example: values for arguments without a default, to try it with; f = 1 is understood.

    Raises:
        ValueError: the name is taken by another class.
    """

    def decorate(cls: C) -> C:
        key = _key(name)
        taken = _ENTRIES.get(key)
        if taken and (taken.cls.__module__, taken.cls.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ValueError(f"the name {name!r} is taken by {taken.cls.__module__}.{taken.cls.__qualname__}")
        defaults = {"f": 1} if "f" in getattr(cls, "__dataclass_fields__", {}) else {}
        _ENTRIES[key] = Entry(name, cls.kind, cls, paper, complexity, {**defaults, **(example or {})})
        return cls

    return decorate


def catalogue(kind: str | None = None) -> tuple[Entry, ...]:
    """Every rule, mixer and attack, or those of one kind: name, paper, statistics, bound on f, complexity."""
    found = [e for e in _ENTRIES.values() if kind in (None, e.kind)]
    return tuple(sorted(found, key=lambda e: (("rule", "mixer", "attack").index(e.kind), e.name)))


def build(name: str, **arguments: Any) -> Any:
    """A rule, mixer or attack by its registry name: ``build("multi-krum", f=4)``.

    Raises:
        ValueError: unknown name or argument (the message lists the valid ones), or an argument out of its bounds.
    """
    entry = _ENTRIES.get(_key(name))
    if entry is None:
        raise ValueError(_unknown("name", name, [e.name for e in catalogue()]))
    valid = entry.arguments
    for argument in arguments:
        if argument not in valid:
            raise ValueError(_unknown(f"argument of {entry.name}", argument, list(valid)))
    missing = [a for a, default in valid.items() if default is ... and a not in arguments]
    if missing:
        raise ValueError(f"{entry.name} needs {', '.join(missing)}, for example {entry.name}:{missing[0]}=2")
    return entry.cls(**arguments)


def parse(spec: Spec) -> Any:
    """A rule, mixer or attack from text or a table, as the command line and configuration files write it.

    ``"multi-krum:f=10"``, ``"bucketing:s=2 >> krum:f=3"``, ``"byz-mean:inner=min-max,split=0.8"``, or
    ``{"name": "multi-krum", "f": 10}``. Arguments that are themselves attacks are given by name.

    Raises:
        ValueError: as `build`, or text that is not of this form.
    """
    if isinstance(spec, Mapping):
        if "name" not in spec:
            raise ValueError(f"a table needs a name, got only {sorted(spec)}")
        return build(spec["name"], **{k: _value(k, v) for k, v in spec.items() if k != "name"})
    *mixers, last = (_parse_one(part.strip()) for part in spec.split(">>"))
    for mixer in reversed(mixers):
        if not isinstance(mixer, Mixer):
            raise ValueError(f"{mixer!r} stands before '>>' in {spec!r}, where only mixers can stand")
        last = mixer >> last
    return last


def parse_rule(spec: Spec) -> Rule:
    """`parse`, for a rule or a chain that ends in one."""
    made = parse(spec)
    if not isinstance(made, Rule):
        raise ValueError(_unknown("rule", str(spec), [e.name for e in catalogue("rule")]))
    return made


def describe(component: Component) -> str:
    """The text that `parse` makes this component of."""
    if isinstance(component, Chain):
        return f"{describe(component.mixer)} >> {describe(component.rule)}"
    entry = next((e for e in _ENTRIES.values() if e.cls is type(component)), None)
    if entry is None:
        return repr(component)
    given = {k: getattr(component, k) for k, default in entry.arguments.items()}
    shown = [f"{k}={_text(v)}" for k, v in given.items() if v != entry.arguments[k]]
    return entry.name + (":" + ",".join(shown) if shown else "")


def nearest(wrong: str, valid: list[str]) -> str:
    """A hint at the valid name that was probably meant, or nothing."""
    close = get_close_matches(wrong, valid, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _unknown(what: str, wrong: str, valid: list[str]) -> str:
    return f"unknown {what} {wrong!r}{nearest(wrong, valid)} Valid: {', '.join(valid)}".replace("' Valid", "'; valid")


def _key(name: str) -> str:
    return name.replace("-", "").replace("_", "").lower()


def _parse_one(text: str) -> Any:
    name, _, rest = text.partition(":")
    arguments: dict[str, Any] = {}
    for item in filter(None, (part.strip() for part in rest.split(","))):
        key, equals, value = item.partition("=")
        if not equals:
            raise ValueError(f"{item!r} in {text!r} is not of the form argument=value")
        arguments[key.strip()] = _value(key.strip(), value.strip())
    return build(name, **arguments)


def _value(key: str, value: Any) -> Any:
    """A literal where the text is one, an attack or rule where it names one, else the text."""
    if isinstance(value, Mapping):
        return parse(value)
    if not isinstance(value, str):
        return value
    if key in ("inner", "attack", "rule"):
        return parse(value)
    try:
        return ast.literal_eval({"true": "True", "false": "False", "none": "None", "inf": "2e308"}.get(value, value))
    except (ValueError, SyntaxError):
        return value


def _text(value: Any) -> str:
    return describe(value) if isinstance(value, Component) else str(value)
