"""Markdown made of docstrings and of figures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_CODE = re.compile(r"(?P<ticks>``?)(?P<code>.+?)(?P=ticks)")
_ITEM = re.compile(r"(?:\d+\.|-) ")
# What Markdown would take for its own in a formula.
_MEANT = {"&": "&amp;", "<": "&lt;", "*": "\\*", "_": "\\_", "[": "\\[", "{": "\\{"}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a bar in a cell is a bar."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def prose(text: str) -> str:
    """Text of a docstring: what stands in backquotes is code, everything else is what it looks like."""
    done, end = "", 0
    for match in _CODE.finditer(text):
        done += _escaped(text[end : match.start()]) + f"`{match['code']}`"
        end = match.end()
    return done + _escaped(text[end:])


def _escaped(text: str) -> str:
    return "".join(_MEANT.get(character, character) for character in text)


def paragraph(text: str) -> str:
    """A paragraph of a docstring, lists among them; its line breaks mean nothing."""
    lines: list[str] = []
    for line in prose(text).split("\n"):
        if lines and not (_ITEM.match(line) and _ITEM.match(lines[0])):
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line)
    # A dash or a number that begins a line of prose would begin a list.
    return "\n".join(lines)


def listed(names: Sequence[str], most: int = 6) -> str:
    """Names one after the other; of many, the first ones, and how many more there are."""
    shown = [f"`{name}`" for name in names[:most]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
