"""What a shell may complete a name to. Nothing is loaded for that: names are read from the package's own source."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from ..disk import read_bounded

_PACKAGE = Path(__file__).parents[1]
_PLACES = {
    "rule": ("rules",),
    "mixer": ("rules",),
    "attack": ("attacks",),
    "client": ("clients",),
    "data set": ("data",),
    "partition": ("data",),
    "model": ("models",),
    "server": ("sim",),
    "schedule": ("training",),
}
"""Where things of a kind are registered."""
_SAID = {"data set", "model"}
"""Kinds that a registration says; others follow from the class."""
_REGISTERED = re.compile(r'^@register\(\s*"([\w-]+)"(.*?)^(?:class|def) (\w+)(.*?):$', re.MULTILINE | re.DOTALL)
_KIND = re.compile(r'kind="([^"]+)"')
_ALIASES = re.compile(r"aliases=\{(.*)\}", re.DOTALL)
_ALIAS = re.compile(r'"([\w-]+)": \{')

Complete = Callable[[str], list[str]]


def names(kind: str) -> list[str]:
    """What comes with fedward of a kind of the catalogue, aliases included."""
    return sorted({name for place in _PLACES[kind] for name in _names_in(_PACKAGE / place, kind)})


def _names_in(folder: Path, kind: str) -> Iterator[str]:
    for file in folder.glob("*.py"):
        for name, options, _, bases in _REGISTERED.findall(read_bounded(file).decode()):
            said = _KIND.search(options)
            if (said[1] if said else "") != (kind if kind in _SAID else ""):
                continue
            if kind in ("rule", "mixer") and ("Mixer" in bases) != (kind == "mixer"):
                continue
            yield name
            if aliases := _ALIASES.search(options):
                yield from _ALIAS.findall(aliases[1])


def published() -> list[str]:
    """Names of published tables and figures."""
    return sorted(file.stem for file in (_PACKAGE / "published").rglob("*.toml"))


def names_of(*kinds: str, also: tuple[str, ...] = ()) -> Complete:
    """Completes names of these kinds; what follows a name, its parameters, is left to whoever types."""

    def complete(incomplete: str) -> list[str]:
        found = [*also, *(name for kind in kinds for name in names(kind))]
        return [name for name in found if name.startswith(incomplete)]

    return complete


def one_of(*words: str) -> Complete:
    """Completes one of some words."""

    def complete(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return complete


def complete_published(incomplete: str) -> list[str]:
    """Completes what is published; files are the shell's."""
    return [name for name in published() if name.startswith(incomplete)]
