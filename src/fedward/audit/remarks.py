"""What is to be said of how clients' files were found and read, whatever rules make of them."""

from __future__ import annotations

import glob
import re
import shlex
from collections.abc import Hashable, Iterable, Mapping, Sequence

from ..failures import tamed
from .clients import Clients, Place, is_client, models_in
from .formats import Contents
from .renamed import Prefix

_NAMED = 5
_ROUND = re.compile(r"(?<![a-z])(round|rnd|epoch|step|iter(ation)?|r)[-_ ]?\d+", re.IGNORECASE)
"""What rounds are called."""


def remarks_of(
    found: Clients,
    contents: Mapping[Hashable, Contents],
    base: Contents | None,
    renamed: Mapping[Hashable, Prefix],
) -> tuple[str, ...]:
    """What a reader of verdicts has to know of what was read, and of what was not.

    Args:
        found: the clients.
        contents: of their files.
        base: of the base's; None if there is none.
        renamed: clients whose tensors have other names than those they are read under.
    """
    remarks = _several({**contents, **({} if base is None else {"the base": base})})
    remarks += _prefixed(renamed, "most clients'" if base is None else "the base's")
    remarks += [f"{tamed(path.name)} is the base, and no client" for path in found.bases]
    if found.ignored:
        remarks.append(f"no models, and left out: {some_of(path.name for path in found.ignored)}")
    return tuple(remarks)


def mixed_rounds(found: Clients) -> str:
    """A warning where folders seem to be rounds, of which no base is what clients of all started from; else ""."""
    if not found.alike:
        return ""
    folders = some_of(found.alike)
    return f"{folders} hold clients of the same names: if these are rounds, audit each by itself, with its own base"


def some_of(names: Iterable[object]) -> str:
    """The first names, and how many more there are."""
    shown = [tamed(name) for name in names]
    more = f" and {len(shown) - _NAMED} more" if len(shown) > _NAMED else ""
    return ", ".join(shown[:_NAMED]) + more


def advice_on_rounds(places: Sequence[Place]) -> str:
    """What to type where folders that were taken for one client's hold several models; "" where there is none.

    They are rounds with a model of each client, or clients with a model of each round: names may tell which.
    """
    held = {place.path: [file.name for file in models_in(place.path)] for place in places if _is_folder(place)}
    folders = [folder for folder, names in held.items() if len(names) > 1]
    if not folders:
        return ""
    first = folders[0]
    common = [name for name in held[first] if all(name in held[folder] for folder in folders)]
    by_round, by_client = _ROUND.search(first.name), bool(common) and _ROUND.search(common[0])
    ways = []
    if by_round or not by_client:
        typed = tamed(shlex.quote(str(first)), 200)
        ways.append(f"if these folders are rounds, audit each by itself, with the base of its round: {typed} first")
    if common and (by_client or not by_round):
        pattern = f"{glob.escape(str(first.parent))}/*/{glob.escape(common[0])}"
        ways.append(
            f"if each is a client's with a file a round, name one file of each: {tamed(shlex.quote(pattern), 200)}"
        )
    return f"; {'; '.join(ways)}"


def _is_folder(place: Place) -> bool:
    """Whether a client's models are in a folder that says nothing of which one is meant."""
    try:
        return place.path.is_dir() and not is_client(place.path)
    except OSError:  # nobody may look into it
        return False


def _several(contents: Mapping[Hashable, Contents]) -> list[str]:
    """Which model was taken of files that hold several, of which nobody said which one is meant."""
    several = {name: each for name, each in contents.items() if each.others}
    if not several:
        return []
    taken = some_of(dict.fromkeys(each.key or "what is at the top" for each in several.values()))
    others = some_of(dict.fromkeys(other for each in several.values() for other in each.others))
    return [f"several models in one file, of {some_of(several)}: {taken} was taken, not {others} (--key says which)"]


def _prefixed(renamed: Mapping[Hashable, Prefix], whose: str) -> list[str]:
    """Who is read under other names than its own, and what they differ by."""
    groups: dict[Prefix, list[Hashable]] = {}
    for name, prefix in renamed.items():
        groups.setdefault(prefix, []).append(name)
    remarks = [
        f"read under {whose} names: {some_of(group)}, whose names "
        f"{'lack' if prefix.lacking else 'have'} {tamed(prefix.text, 40)!r} before each"
        for prefix, group in groups.items()
    ]
    more = len(remarks) - _NAMED
    return remarks if more <= 0 else [*remarks[:_NAMED], f"{more} more groups are read under {whose} names"]
