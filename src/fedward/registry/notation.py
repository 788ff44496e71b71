"""Whatever has a name as text, the way the command line and configuration files write it.

``multi-krum:f=10``, ``clip-norm:radius=median >> krum:f=3``, ``sign-guard >> median``,
``byz-mean:inner=(alie:z=1,ddof=1),split=0.8``,
``robust-tailor:rules=(median | krum:f=3)``, ``schedule:attacks=(0: no-attack | 50: min-max)``, ``s-fraction:s=0.5``.
Text that would be read as something else stands in quotes: ``monna:f=1,pivot='3'``. What is not registered is found by
its import path, ``my.module.Class:f=2`` or ``my.module:Class:f=2``.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .component import Component
from .entries import KINDS, Entry, catalogue, find, name_of, registered
from .naming import argument_meant, article, listing, nearest_first
from .parameters import Parameter, parameters_of

Spec = str | Mapping[str, Any]

_PATH = re.compile(r"\s*([A-Za-z_][\w.]*):([A-Za-z_][\w.]*)\s*(?::(.*))?", re.DOTALL)
"""A module, what is in it, and its arguments if it has any."""
_NUMBERED = re.compile(r"\s*(\d+)\s*:\s*(.*)", re.DOTALL)
_QUOTED = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\"""", re.DOTALL)
_LONGEST = 20_000  # characters
_DEEPEST = 50
_ALONE = set(KINDS) - {"rule", "mixer"}
"""Kinds that ``>>`` does not link."""
_BEFORE_QUOTES = "=(|,:[{"

_WORDS = {"true": True, "false": False, "none": None, "inf": float("inf")}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What text or a table asks for, before it is made: a line of the catalogue, and arguments."""

    entry: Entry
    arguments: Mapping[str, Any]

    def make(self, **more: Any) -> Any:
        """What comes of these arguments and more.

        Raises:
            ValueError: as `fedward.build`.
        """
        return self.entry.make({**self.arguments, **more}, _text)


def recipe(spec: Spec, kind: str, **known: Any) -> Recipe:
    """What text or a table asks for, checked but not made: a data set need not be loaded to find out that it is one.

    Raises:
        ValueError: not of this form, of another kind, or a wrong name or argument.
    """
    check_size(spec)
    found = _from_table(spec, kind, known) if isinstance(spec, Mapping) else _from_text(spec, kind, known)
    if found.entry.kind != kind:
        raise ValueError(_another(found.entry.name, found.entry.kind, kind))
    for name, value in found.entry.checked(found.arguments, _text).items():
        if isinstance(value, str) and (named := found.entry.parameters[name].names):
            recipe(value, named, **known)
    return found


def parse(spec: Spec, kind: str | None = None, **known: Any) -> Any:
    """A rule, mixer, attack or whatever has a name, of text or of a table such as ``{"name": "multi-krum", "f": 10}``.

    Args:
        spec: the text or table.
        kind: "rule", "mixer", "attack" or another kind of the catalogue, if it must be one.
        known: values for arguments that have no default and are not given, such as f.

    Raises:
        ValueError: not of this form, another kind, or as `fedward.build`.
    """
    if kind in _ALONE:
        return recipe(spec, kind, **known).make()
    check_size(spec)
    made = _parse(spec, kind, known)
    if kind is not None and isinstance(made, Component) and made.kind != kind:
        raise ValueError(_another(describe(made), made.kind, kind))
    return made


def _another(text: str, kind: str, needed: str) -> str:
    """What to say of one kind where another is needed."""
    valid = nearest_first(text.partition(":")[0], [e.name for e in catalogue(needed)], listing(needed))
    return f"{text} is {article(kind)}, {article(needed)} is needed: {valid}"


def dotted(text: str) -> str:
    """The text, with an import path in it written with dots alone: ``my.module:Class:f=2`` is ``my.module.Class:f=2``.

    An argument has an equals sign, so that what follows a colon without one can only be the name of something in a
    module; unless what stands before it is registered, as in ``krum:f``, which lacks a number.
    """
    path = _PATH.fullmatch(text)
    if path is None or registered(path[1]) is not None:
        return text.strip()
    return f"{path[1]}.{path[2]}" + ("" if path[3] is None else f":{path[3]}")


def table_as_text(table: Mapping[str, Any], kind: str, **known: Any) -> str:
    """The text that says what a table says, and no more.

    Raises:
        ValueError: as `recipe`.
    """
    found = recipe(table, kind, **known)
    shown = ",".join(f"{key}={_text(found.arguments[key])}" for key in table if key != "name")
    return f"{found.entry.name}:{shown}" if shown else found.entry.name


def describe(component: Component) -> str:
    """The text that `parse` makes this component of."""
    links = component.links()
    if links is not None:
        return " >> ".join(map(describe, links))
    name, arguments = component.named() or (name_of(component), _chosen(component))
    if name is None:
        return repr(component)
    shown = [f"{key}={_text(value)}" for key, value in arguments.items()]
    return name + (":" + ",".join(shown) if shown else "")


def _chosen(component: Component) -> dict[str, Any]:
    """The parameters of a component that are not at their defaults."""
    values = {key: (getattr(component, key), p.default) for key, p in parameters_of(type(component)).items()}
    return {key: value for key, (value, default) in values.items() if value != default}


def short_for(entry: Entry) -> dict[str, str]:
    """The aliases in a line of the catalogue, each with the text that it is short for."""
    return {alias: describe(find(alias).build()) for alias in entry.aliases}


def check_size(spec: Any, depth: int = 0) -> None:
    """Whether text, or a table, is short and flat enough to be read in a moment: it may come from anybody.

    Raises:
        ValueError: it is longer or deeper than anything of use.
    """
    if isinstance(spec, Mapping | list | tuple):
        if depth >= _DEEPEST:
            raise ValueError(f"a table is nested more than {_DEEPEST} deep: write fewer things inside each other")
        for item in spec.values() if isinstance(spec, Mapping) else spec:
            check_size(item, depth + 1)
    elif isinstance(spec, str):
        if len(spec) > _LONGEST:
            raise ValueError(f"a text of {len(spec):,} characters; {_LONGEST:,} are the most that is read")
        if _nesting(spec) > _DEEPEST:
            raise ValueError(
                f"{spec[:60]!r}... is nested more than {_DEEPEST} deep: write fewer things inside each other"
            )


def _nesting(text: str) -> int:
    """How many things stand inside each other at most, in parentheses, after an equals sign or after ``>>``."""
    level = deepest = 0
    outer: list[int] = []
    for c in text:
        if c == "(":
            outer.append(level)
            level += 1
        elif c in "=>":
            level += 1
        elif c in ",|":
            level = outer[-1] + 1 if outer else 0
        elif c == ")" and outer:
            level = outer.pop()
        deepest = max(deepest, level)
    return deepest


# --- reading ------------------------------------------------------------------------------------------------


def _parse(spec: Spec, kind: str | None, known: Mapping[str, Any]) -> Any:
    """As `parse`, but a component of another kind is left to whoever takes it."""
    if isinstance(spec, Mapping):
        return _from_table(spec, kind, known).make()
    *before, last = split_outside(spec, ">>")
    fronts = [_front(part, known, spec) for part in before]
    made = _from_text(last, kind, known).make()
    for front in reversed(fronts):
        made = _linked(front, made, spec)
    return made


def _front(text: str, known: Mapping[str, Any], spec: Spec) -> Any:
    """What stands before ``>>``: a mixer, or a rule as a filter, which says itself whether it is one."""
    found = _from_text(text, None, known)
    if found.entry.kind in _ALONE:
        raise ValueError(
            f"{found.entry.name} stands before '>>' in {spec!r}, where only mixers and rules that drop clients can "
            "stand"
        )
    return found.make()


def _linked(front: Any, then: Any, spec: Spec) -> Any:
    """``front >> then``."""
    chain = type(front).__rshift__(front, then)
    if chain is NotImplemented:
        raise ValueError(f"{describe(then)} stands after '>>' in {spec!r}, where only rules and mixers can stand")
    if not isinstance(chain, Component):
        raise ValueError(
            f"{spec!r} ends with the mixer {describe(then)}, and {describe(front)} before it waits for a rule"
        )
    return chain


def _from_table(table: Mapping[str, Any], kind: str | None, known: Mapping[str, Any]) -> Recipe:
    if "name" not in table:
        raise ValueError(f"a table needs a name, got only {', '.join(table) or 'nothing'}")
    given = {key: value for key, value in table.items() if key != "name"}
    return _recipe(dotted(str(table["name"])), kind, given, known)


def _from_text(text: str, kind: str | None, known: Mapping[str, Any]) -> Recipe:
    if not _balanced(text):
        raise ValueError(f"parentheses do not match in {text!r}; what is meant as text stands in quotes")
    name, _, rest = dotted(text).partition(":")
    given: dict[str, Any] = {}
    for item in filter(None, (part.strip() for part in split_outside(rest, ","))):
        key, equals, value = item.partition("=")
        if not equals:
            remedy = "; of a module of your own write my.module:Net, not its file" if "/" in name else ""
            entry = None if remedy else registered(name.strip())
            remedy = remedy or argument_meant(name.strip(), entry.parameters if entry else (), item)
            raise ValueError(f"{item!r} in {text!r} is not of the form argument=value{remedy}")
        key = key.strip()
        if key in given:
            raise ValueError(f"{key} is given more than once in {text!r}: which of them is meant?")
        given[key] = value.strip()
    return _recipe(name.strip(), kind, given, known)


def _recipe(name: str, kind: str | None, given: Mapping[str, Any], known: Mapping[str, Any]) -> Recipe:
    """Values made of their text; what must be given and is not is taken from what is known."""
    entry = find(name, kind)
    if kind not in (None, entry.kind) and not entry.is_component:  # a model where a rule belongs is not even made
        raise ValueError(_another(entry.name, entry.kind, str(kind)))
    parameters = entry.parameters
    arguments = dict(given)  # an unknown one is complained of where the others are checked
    for key in given.keys() & parameters.keys():
        arguments[key] = _value(parameters[key], given[key], known)
    for key in known.keys() & parameters.keys() - given.keys():
        if parameters[key].default is ...:
            arguments[key] = known[key]
    return Recipe(entry=entry, arguments=arguments)


def _value(parameter: Parameter, value: Any, known: Mapping[str, Any]) -> Any:
    """A component where one belongs, a literal where the text is one, else the text."""
    if not parameter.components:
        return _literal(value, parameter) if isinstance(value, str) else value
    if isinstance(value, str) and value.lower() == "none" and parameter.none:
        return None
    kind = parameter.components[0].kind
    if parameter.several:
        return _several(parameter, kind, value, known)
    if isinstance(value, str):
        return _parse(_unwrapped(value), kind, known)
    return _parse(value, kind, known) if isinstance(value, Mapping) else value


def _literal(text: str, parameter: Parameter | None = None) -> Any:
    """What the text is a literal of, else the text."""
    if parameter is not None and text in parameter.words:
        return text
    if parameter is not None and parameter.numbers and text == "-inf":
        return float(text)
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        with warnings.catch_warnings(action="ignore"):  # Python is not asked for its opinion of "1or 2"
            tree = ast.parse(text.strip(), mode="eval")
            return ast.literal_eval(_Named().visit(tree) if text.startswith(("(", "[", "{")) else tree)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):  # the last of a deeply nested one
        return text


class _Named(ast.NodeTransformer):
    """Puts values in the place of words inside of a tuple, a list or a mapping."""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Constant(_WORDS[node.id]) if node.id in _WORDS else node


def _several(parameter: Parameter, kind: str, value: Any, known: Mapping[str, Any]) -> Any:
    """Components, or pairs of a number and a component where each begins with one."""
    if isinstance(value, Mapping):
        return _pairs(parameter, ((int(key), _component(item, kind, known)) for key, item in value.items()))
    if isinstance(value, str):
        items: Sequence[Any] = [item for item in split_outside(_unwrapped(value), "|") if item.strip()]
    elif isinstance(value, list | tuple):
        items = value
    else:
        return value
    numbered = [_NUMBERED.fullmatch(item) if isinstance(item, str) else None for item in items]
    if items and all(numbered):
        return _pairs(parameter, ((int(match[1]), _parse(match[2], kind, known)) for match in numbered if match))
    return tuple(_component(item, kind, known) for item in items)


def _pairs(parameter: Parameter, pairs: Iterable[tuple[int, Any]]) -> Any:
    """As pairs wherever they are taken, since a mapping cannot be hashed."""
    return tuple(pairs) if parameter.sequence else dict(pairs)


def _component(item: Any, kind: str, known: Mapping[str, Any]) -> Any:
    return _parse(item, kind, known) if isinstance(item, str | Mapping) else item


# --- writing ------------------------------------------------------------------------------------------------


def _text(value: Any) -> str:
    if isinstance(value, Component):
        return _wrapped(describe(value))
    if isinstance(value, str):
        return value if _is_plain(value) else repr(value)
    if isinstance(value, Mapping) and any(isinstance(item, Component) for item in value.values()):
        value = tuple(value.items())
    if isinstance(value, tuple) and value and isinstance(value[0], Component):
        return f"({' | '.join(map(describe, value))})"
    if isinstance(value, tuple) and value and isinstance(value[0], tuple) and isinstance(value[0][-1], Component):
        return f"({' | '.join(f'{key}: {describe(item)}' for key, item in value)})"
    return _wrapped(str(value))


def _is_plain(text: str) -> bool:
    """Whether text is read as itself without quotes."""
    if text != text.strip() or _literal(text) != text or not _balanced(text):
        return False
    if any(_opens_quotes(text, place) for place in range(len(text))):
        return False
    return all(split_outside(text, mark) == [text] for mark in (",", ">>", "|"))


def _wrapped(text: str) -> str:
    """In parentheses, if what is in it would be read as what is around it."""
    marked = any(mark in text for mark in (",", ">>", "|"))
    return f"({text})" if marked and _unwrapped(text) == text else text


# --- parentheses and quotes ---------------------------------------------------------------------------------


def _unwrapped(text: str) -> str:
    """Without the parentheses around it, if they are around all of it."""
    text = text.strip()
    inside = text[1:-1]
    return inside if text.startswith("(") and text.endswith(")") and _balanced(inside) else text


def split_outside(text: str, separator: str) -> list[str]:
    """The parts between separators that are not inside parentheses or quotes."""
    parts = []
    start = 0
    for place, depth in _outside_quotes(text):
        if depth == 0 and place >= start and text.startswith(separator, place):
            parts.append(text[start:place])
            start = place + len(separator)
    return [*parts, text[start:]]


def _balanced(text: str) -> bool:
    depth = 0
    for _, depth in _outside_quotes(text):
        if depth < 0:
            return False
    return depth == 0


def _outside_quotes(text: str) -> Iterator[tuple[int, int]]:
    """The places that are not inside quotes, each with how many parentheses are open after it."""
    depth = 0
    quoted_until = 0
    for place, c in enumerate(text):
        if place < quoted_until:
            continue
        if _opens_quotes(text, place) and (quoted := _QUOTED.match(text, place)):
            quoted_until = quoted.end()
            continue
        depth += (c == "(") - (c == ")")
        yield place, depth


def _opens_quotes(text: str, place: int) -> bool:
    """Whether a quotation begins here: the apostrophe within a word is none."""
    before = text[:place].rstrip()
    return text[place] in "'\"" and (not before or before[-1] in _BEFORE_QUOTES)
