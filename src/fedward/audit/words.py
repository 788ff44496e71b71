"""Names as strangers chose them, as text that is safe to print."""

from __future__ import annotations

LONGEST = 300
"""Characters of a text that are shown."""


def escaped(text: object, most: int = LONGEST) -> str:
    """Text in which what cannot be printed is written out: a name may hold what moves a terminal's cursor.

    Control characters, line ends, marks that turn the direction of writing and halves of characters become their
    escapes; long text is cut.
    """
    whole = str(text)
    cut = whole[:most]
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)
    return plain + ("..." if len(whole) > most else "")
