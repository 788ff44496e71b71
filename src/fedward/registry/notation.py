"""Rules, mixers and attacks as text, the way the command line and configuration files write them.

``multi-krum:f=10``, ``clip-norm:radius=median >> krum:f=3``, ``byz-mean:inner=(alie:z=1,ddof=1),split=0.8``,
``robust-tailor:rules=(median | krum:f=3)``, ``schedule:attacks=(0: no-attack | 50: min-max)``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .component import Component
from .entries import build, catalogue, find, name_of
from .parameters import components_in, takes_none, takes_several, types_of

Spec = str | Mapping[str, Any]

_NUMBERED = re.compile(r"\s*(\d+)\s*:\s*(.*)", re.DOTALL)

_WORDS = {"true": True, "false": False, "none": None, "inf": float("inf")}


def parse(spec: Spec, kind: str | None = None, **known: Any) -> Any:
    """A rule, mixer or attack from text, or from a table such as ``{"name": "multi-krum", "f": 10}``.

    Args:
        spec: the text or table.
        kind: "rule", "mixer" or "attack", if it must be one.
        known: values for arguments that have no default and are not given, such as f.

    Raises:
        ValueError: not of this form, another kind, or as `fedward.build`.
    """
    if isinstance(spec, Mapping):
        if "name" not in spec:
            raise ValueError(f"a table needs a name, got only {', '.join(spec) or 'nothing'}")
        name = str(spec["name"])
        given = {k: v for k, v in spec.items() if k != "name"}
        made = _build(name, {k: _value(_type(name, k), v, known) for k, v in given.items()}, known)
    else:
        *mixers, made = (_parse_one(part.strip(), known) for part in _split(spec, ">>"))
        for mixer in reversed(mixers):
            made = _linked(mixer, made, spec)
    if kind is not None and made.kind != kind:
        valid = ", ".join(e.name for e in catalogue(kind))
        raise ValueError(f"{describe(made)} is {_article(made.kind)}, {_article(kind)} is needed: {valid}")
    return made


def _linked(mixer: Any, then: Any, spec: Spec) -> Any:
    """``mixer >> then``."""
    link = getattr(type(mixer), "__rshift__", None)
    if link is None:
        raise ValueError(f"{describe(mixer)} stands before '>>' in {spec!r}, where only mixers can stand")
    chain = link(mixer, then)
    if chain is NotImplemented:
        raise ValueError(f"{describe(then)} stands after '>>' in {spec!r}, where only rules and mixers can stand")
    return chain


def _article(kind: str) -> str:
    return f"{'an' if kind == 'attack' else 'a'} {kind}"


def describe(component: Component) -> str:
    """The text that `parse` makes this component of."""
    links = component.links()
    if links is not None:
        return " >> ".join(map(describe, links))
    name = name_of(component)
    if name is None:
        return repr(component)
    shown = [
        f"{key}={_text(getattr(component, key))}"
        for key, default in find(name).arguments.items()
        if getattr(component, key) != default
    ]
    return name + (":" + ",".join(shown) if shown else "")


def _parse_one(text: str, known: Mapping[str, Any]) -> Any:
    name, _, rest = text.partition(":")
    arguments: dict[str, Any] = {}
    for item in filter(None, (part.strip() for part in _split(rest, ","))):
        key, equals, value = item.partition("=")
        if not equals:
            raise ValueError(f"{item!r} in {text!r} is not of the form argument=value")
        key = key.strip()
        if key in arguments:
            raise ValueError(f"{key} is given more than once in {text!r}: which of them is meant?")
        arguments[key] = _value(_type(name.strip(), key), value.strip(), known)
    return _build(name, arguments, known)


def _type(name: str, argument: str) -> Any:
    """What the argument takes; anything if there is none of that name, which `fedward.build` complains of."""
    return types_of(find(name).cls).get(argument, Any)


def _split(text: str, separator: str) -> list[str]:
    """The parts between separators that are not inside parentheses."""
    parts, depth, start = [], 0, 0
    for place, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if depth == 0 and place >= start and text.startswith(separator, place):
            parts.append(text[start:place])
            start = place + len(separator)
    return [*parts, text[start:]]


def _build(name: str, arguments: dict[str, Any], known: Mapping[str, Any]) -> Any:
    missing = {k for k, default in find(name).arguments.items() if default is ... and k not in arguments}
    return build(name, **arguments, **{k: known[k] for k in missing & known.keys()})


def _value(annotation: Any, value: Any, known: Mapping[str, Any]) -> Any:
    """A component where one belongs, a literal where the text is one, else the text."""
    if not components_in(annotation):
        return _literal(value)
    if isinstance(value, str) and value.lower() == "none" and takes_none(annotation):
        return None
    if takes_several(annotation):
        return _several(value, known) if isinstance(value, str | list | tuple | Mapping) else value
    return (
        parse(_bare(value) if isinstance(value, str) else value, **known) if isinstance(value, str | Mapping) else value
    )


def _literal(value: Any) -> Any:
    """What the text is a literal of, else the text."""
    if not isinstance(value, str):
        return value
    if value.lower() in _WORDS:
        return _WORDS[value.lower()]
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value


def _several(value: str | Sequence[Any] | Mapping[Any, Any], known: Mapping[str, Any]) -> tuple[Any, ...]:
    """Components, or pairs of a number and a component where each begins with one."""
    if isinstance(value, Mapping):
        return tuple((int(start), _component(item, known)) for start, item in value.items())
    items = _split(_bare(value), "|") if isinstance(value, str) else value
    numbered = [_NUMBERED.fullmatch(item) if isinstance(item, str) else None for item in items]
    return tuple(
        (int(match[1]), parse(match[2], **known)) if match else _component(item, known)
        for item, match in zip(items, numbered, strict=True)
    )


def _component(item: Any, known: Mapping[str, Any]) -> Any:
    return item if isinstance(item, Component) else parse(item, **known)


def _bare(text: str) -> str:
    """Without the parentheses around it, if they are around all of it."""
    text = text.strip()
    inside = text[1:-1]
    return inside if text.startswith("(") and text.endswith(")") and _balanced(inside) else text


def _balanced(text: str) -> bool:
    depth = 0
    for c in text:
        depth += (c == "(") - (c == ")")
        if depth < 0:
            return False
    return depth == 0


def _text(value: Any) -> str:
    if isinstance(value, tuple) and value and isinstance(value[0], Component):
        return f"({' | '.join(map(describe, value))})"
    if isinstance(value, tuple) and value and isinstance(value[0], tuple):
        return f"({' | '.join(f'{start}: {describe(item)}' for start, item in value)})"
    if isinstance(value, str) and _literal(value) != value:
        return repr(value)  # text that would be read as a number or a word
    text = describe(value) if isinstance(value, Component) else str(value)
    needs = any(mark in text for mark in (",", ">>", "|"))
    return f"({text})" if needs and _bare(text) == text else text
