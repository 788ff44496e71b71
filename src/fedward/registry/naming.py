"""What to say when a name is not known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST = 100
"""Characters of a name that anybody could have meant, or wants to read again."""
MANY = 5
"""Names that are all listed; of more, only so many that are nearest are."""
_ALIKE = 0.5
"""How like a name another one must be to be meant."""

_MEANT = {"none": "no-attack", "no": "no-attack", "nothing": "no-attack"}
"""Words for a name that no likeness of letters leads to."""


def article(kind: str) -> str:
    """A kind of the catalogue, with its article."""
    return f"{'an' if kind == 'attack' else 'a'} {spoken(kind)}"


def spoken(kind: str) -> str:
    """A kind of the catalogue, in a sentence."""
    return "client algorithm" if kind == "client" else kind


def listing(kind: str | None) -> str:
    """The command that lists a kind of the catalogue."""
    if kind is None:
        return "fedward list"
    return f"fedward list {'data' if kind == 'data set' else f'{kind}s'}"


def unknown(what: str, wrong: str, valid: Iterable[str], listed: str = "") -> str:
    """An error message that hints at the nearest valid name, and lists valid ones as `nearest_first` does.

    Args:
        what: kind of name.
        wrong: the name that is not known.
        valid: those that are.
        listed: where to find them all, for those that are too many for a message.
    """
    names = list(valid)
    meant = did_you_mean(wrong, names) or "."
    told = repr(wrong) if len(wrong) <= _LONGEST else f"{wrong[:_LONGEST]!r}..."
    if _are_several(wrong, names):
        return f"{told} are several: give each by itself, as an option of its own or as one of a list in a file"
    return f"unknown {what} {told}{meant} Valid names: {nearest_first(wrong, names, listed)}"


def _are_several(wrong: str, names: Iterable[str]) -> bool:
    """Whether somebody wrote valid names with commas between them."""
    parts = wrong[:_LONGEST].split(",")
    return len(parts) > 1 and {_spelling(part.strip()) for part in parts} <= {_spelling(name) for name in names}


def did_you_mean(wrong: str, valid: Iterable[str]) -> str:
    """A question after the name that may be meant; nothing if none is near."""
    near = _near(wrong, list(valid), 1, _ALIKE)
    return f"; did you mean {near[0]!r}?" if near else ""


def argument_meant(name: str, arguments: Iterable[str], value: str) -> str:
    """A question after what a value may be of that was given without its argument; nothing where there are several."""
    known = list(arguments)
    return f"; did you mean {name}:{known[0]}={value}?" if len(known) == 1 and value not in known else ""


def nearest_first(wrong: str, valid: Iterable[str], listed: str = "") -> str:
    """Valid names, those nearest to a wrong one first; of more than five these alone, and where all are listed."""
    names = list(valid)
    if len(names) > MANY:
        near = _near(wrong, names, MANY, 0.0)
        others = len(names) - len(near)
        elsewhere = f" ({listed})" if listed else ""
        return f"{', '.join(near)} and {others} {'other' if others == 1 else 'others'}{elsewhere}"
    near = _near(wrong, names, 3, _ALIKE)
    return ", ".join([*near, *(name for name in names if name not in near)]) or "none"


def _near(wrong: str, names: list[str], most: int, alike: float) -> list[str]:
    by_spelling = {_spelling(name): name for name in reversed(names)}  # the first of those that are spelt alike
    # Of a long one the beginning: comparing takes the square of the length.
    spelling = _spelling(wrong[:_LONGEST])
    near = get_close_matches(spelling, by_spelling, n=most, cutoff=alike)
    meant = _MEANT.get(spelling, "")
    if meant in by_spelling:
        near = [meant, *(name for name in near if name != meant)][:most]
    return [by_spelling[name] for name in near]


def _spelling(name: str) -> str:
    return name.lower().replace("_", "-")
