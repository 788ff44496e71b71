"""What pages are made of: the document around them, tables, figures, numbers as text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from html import escape
from math import isfinite
from pathlib import Path

from ..disk import check_folder, write_whole
from ..failures import install, no_page
from . import assets
from .runs import ReportError
from .series import Figure, share_text

NONE = '<span title="not recorded">&ndash;</span>'
NOTHING_LEARNED = "nothing learned"
"""What stands in place of a figure of a run that shows nothing (`fedward.experiments.worth`)."""

_PARTS = re.compile(r"[^:,(|/=]+[:,(|/=]*|[:,(|/=]+")


def document(title: str, lead: str, body: str, kind: str = "", *, charts: bool = True) -> str:
    """A self-contained page, which needs no network to open: a heading, a line of ready HTML below it, and the body.

    One without charts is a thousandth of one with.
    """
    needed = "<noscript><p>The charts need JavaScript; the tables do not.</p></noscript>\n" if charts else ""
    plotly = f"<script>{_plotly_js()}</script>\n" if charts else ""
    return "".join(
        (
            '<!DOCTYPE html>\n<html lang="en-GB">\n<head>\n<meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{assets.POLICY}">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            f'<title>{escape(title)}</title>\n<style>{assets.STYLE}</style>\n</head>\n<body class="{kind}">\n<main>\n',
            f'<h1>{escape(title)}</h1>\n<p class="lead">{lead}</p>\n',
            needed,
            body,
            f"</main>\n{plotly}<script>{assets.SCRIPT}</script>\n</body>\n</html>\n",
        )
    )


def save_page(output: Path, page: str) -> Path:
    """Write a page; return its path.

    Raises:
        ReportError: its name is that of another format.
        OSError: it cannot be written, or its folder is not there.
    """
    if why := no_page(output):
        raise ReportError(why)
    check_folder(output)
    write_whole(output, page.encode(errors="replace"))  # names of files may hold what is no letter
    return output


def _plotly_js() -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ModuleNotFoundError as error:
        raise ReportError(f"the report needs plotly: {install('cli')}") from error
    return str(get_plotlyjs())


def count(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def numbered(number: object, noun: str) -> str:
    """A number as it is written somewhere, with its noun."""
    return f"{number} {noun}{'' if str(number) == '1' else 's'}"


def per_cent(value: float | None, digits: int) -> str:
    """A share as HTML; a dash where there is none. Without digits 0 and 100 are none and all alone."""
    if value is None or not isfinite(value):
        return NONE
    return f"{value:.{digits}%}" if digits else share_text(value)


def three_digits(value: float) -> str:
    """A number in three digits, or all of those before its point where they are more: 0.0123, 12.3, 1,235."""
    return f"{value:,.0f}" if 100 <= abs(value) < 1e12 else f"{value:.3g}"


def whole(text: str) -> str:
    """Text that stays on one line unless it is long, and is cut if it is very long."""
    return f'<span class="whole">{escape(text)}</span>' if len(text) <= 24 else cut(text)


def cut(text: str, most: int = 40) -> str:
    """Text, of which only beginning and end are seen if it is long; the rest shows on hovering."""
    if len(text) <= most:
        return escape(text)
    end = most // 3  # in which labels that begin alike differ
    return f'<span title="{escape(text)}">{escape(text[: most - 1 - end])}&hellip;{escape(text[-end:])}</span>'


def breakable(text: str) -> str:
    """Text in full, which a narrow place may break behind the signs that part it."""
    return "<wbr>".join(map(escape, _PARTS.findall(text)))


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: int, kind: str = "") -> str:
    """A table of ready HTML cells; the columns from ``numbers`` on are right-aligned."""

    def line(tag: str, cells: Sequence[str]) -> str:
        sides = (f'<{tag} class="number">' if i >= numbers else f"<{tag}>" for i in range(len(cells)))
        return "<tr>" + "".join(f"{o}{c}</{tag}>" for o, c in zip(sides, cells, strict=True)) + "</tr>\n"

    body = "".join(line("td", cells) for cells in rows)
    return (
        f'<div class="scroll"><table class="{kind}"><thead>{line("th", head)}</thead>'
        f"<tbody>{body}</tbody></table></div>\n"
    )


def figure(name: str, figure: Figure, caption: str, spoken: str) -> str:
    """A figure: an empty box that the script fills, its specification, a caption of ready HTML."""
    # "<" only ever occurs inside JSON strings, where the escape means the same and cannot end the script.
    data = json.dumps(figure, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return (
        f'<figure><div class="plot" id="{name}" style="min-height:{figure["layout"]["height"]}px" role="img" '
        f'aria-label="{escape(spoken)}"></div>\n'
        f'<script type="application/json" id="{name}-data">{data}</script>\n'
        + (f"<figcaption>{caption}</figcaption>" if caption else "")
        + "</figure>\n"
    )
