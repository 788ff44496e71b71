"""Docstrings as data: what a component does, when to use it, and what its parameters are.

A component's docstring has one line, then paragraphs with its formula and its paper, then one that begins with
``Use when:`` (of attacks ``Shows:``), then ``Args:`` and ``Raises:``.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_USE = re.compile(r"(?:Use when|Shows):\s+")
_SECTION = re.compile(r"(?:Args|Attributes|Raises|Returns|Yields):$")
_ARGUMENT = re.compile(r"(?P<names>\w+(?:, \w+)*):\s+(?P<text>.*)")


@dataclass(frozen=True, kw_only=True)
class Docstring:
    """A docstring, taken apart.

    Attributes:
        summary: its first line.
        details: the paragraphs after it, with their line breaks.
        use: when to use what it is about, or what an attack shows; empty if it does not say.
        arguments: what each parameter is.
        raises: the section of errors, with its line breaks; empty if there is none.
    """

    summary: str = ""
    details: tuple[str, ...] = ()
    use: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    raises: str = ""


def docstring_of(maker: Any) -> Docstring:
    """The docstring of a class or function."""
    summary, _, rest = (inspect.getdoc(maker) or "").partition("\n")
    text, sections = _sections(rest)
    paragraphs = [paragraph.strip("\n") for paragraph in re.split(r"\n\s*\n", text) if paragraph.strip()]
    uses = [paragraph for paragraph in paragraphs if _USE.match(paragraph)]
    return Docstring(
        summary=summary,
        details=tuple(paragraph for paragraph in paragraphs if paragraph not in uses),
        use=" ".join(_USE.sub("", paragraph, count=1).replace("\n", " ") for paragraph in uses),
        arguments=_arguments(sections.get("Args", ""), maker),
        raises=sections.get("Raises", ""),
    )


def _sections(text: str) -> tuple[str, dict[str, str]]:
    """What stands before the sections, and each of those by name, no longer indented."""
    before: list[str] = []
    found: dict[str, list[str]] = {}
    lines = before
    for line in text.split("\n"):
        if _SECTION.match(line):
            lines = found.setdefault(line[:-1], [])
        else:
            lines.append(line)
    return "\n".join(before), {name: textwrap.dedent("\n".join(lines)).strip("\n") for name, lines in found.items()}


def _arguments(section: str, maker: Any) -> dict[str, str]:
    """What each parameter is; one that a subclass does not speak of is what it is to the classes above."""
    found = dict[str, str]()
    for above in reversed(maker.__mro__[1:] if isinstance(maker, type) else ()):
        if above.__doc__:
            own = _sections(inspect.cleandoc(above.__doc__))[1]
            found.update(_arguments_in(own.get("Args", "")))
    return {**found, **_arguments_in(section)}


def _arguments_in(section: str) -> dict[str, str]:
    found: dict[str, str] = {}
    names: list[str] = []
    for line in section.split("\n"):
        if match := _ARGUMENT.match(line):
            names = match["names"].split(", ")
            found.update(dict.fromkeys(names, match["text"]))
        else:
            found.update({name: f"{found[name]} {line.strip()}".strip() for name in names})
    return found
