"""What `fedward watch` does: follow an audit in the terminal, or line by line where there is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from time import sleep

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..core.verdict import kept_or_given
from ..failures import tamed
from ..report.audit_lines import AuditLine, EvaluationEntry, RoundEntry, natural
from ..report.audits import AUDIT
from ..report.following import (
    FederationStanding,
    NodeStanding,
    Piece,
    Repeats,
    evaluation_in_words,
    line_told,
    no_audit,
    read_from,
    round_in_words,
)
from ..report.series import share_text
from . import display
from .awaited import WatchError, say_waiting

_PAUSE = 0.5  # seconds between two looks at the file
_MARKS = {"1": ("\u2588", "blue"), "g": ("\u2588", "blue"), "0": ("x", "bold red"), "-": ("\u00b7", "dim")}
_SHOWN = 24  # rounds
_BESIDE = 49
"""Columns of a terminal that names cannot have."""
_ENDS = 5  # digits of an id, at least
_AROUND = 9
"""Lines of a terminal that the table's rows cannot have."""


def watch(audit: Path, *, serve: int | None, host: str | None, once: bool, as_json: bool) -> None:
    """Follow an audit until Ctrl-C."""
    path = audit / AUDIT if audit.is_dir() else audit
    if serve is not None:
        from . import serving

        if path.exists() and (why := no_audit(_read(path))):
            raise WatchError(f"{tamed(path)} {why}")
        serving.serve(path, host or serving.HERE, serve)
        return
    try:
        said = not audit.exists()  # that it is waited for
        if as_json:
            _follow(path, _each(_print), once=once, waiting=said)
        elif once or not display.out.is_terminal:
            _follow(path, _each(_say), once=once, waiting=said)
        else:
            _watch_live(path, waiting=said)
    except KeyboardInterrupt:
        return  # that is how it ends


def _follow(path: Path, show: Callable[[Piece], object], *, once: bool = False, waiting: bool = False) -> None:
    """Show what is there and, unless that is all that is asked for, what is added.

    Args:
        path: the audit.
        show: what is done with each piece.
        once: whether that is all.
        waiting: whether it was said that the file is waited for.

    Raises:
        WatchError: the file is no audit.
    """
    offset, file = 0, ""
    begun = False
    while True:
        try:
            piece = _read(path, offset, file)
        except FileNotFoundError:
            if once:
                raise WatchError(f"{tamed(path)}: no such file; without --once it is waited for") from None
            if not waiting:
                say_waiting(path)
            waiting = True
            sleep(_PAUSE)
            continue
        if piece.again:
            display.say(f"{path} is another audit now", display.err)
        begun = begun and not piece.again
        if not begun and (why := no_audit(piece)):
            raise WatchError(f"{tamed(path)} {why}")
        begun = begun or bool(piece.lines)
        offset, file = piece.offset, piece.file
        show(piece)
        if once and not piece.more:
            if not begun:
                display.say(f"{path} has no round yet", display.err)
            return
        if not piece.more:
            sleep(_PAUSE)


def _read(path: Path, offset: int = 0, file: str = "") -> Piece:
    """What is there from an offset on.

    Raises:
        FileNotFoundError: nothing is there.
        WatchError: it cannot be read, or is no regular file.
    """
    try:
        return read_from(path, offset, file)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise WatchError(f"{tamed(path)} cannot be read: {error.strerror or error}") from None


def _print(line: AuditLine) -> None:
    typer.echo(json.dumps(line_told(line)))


def _say(line: AuditLine) -> None:
    display.say(evaluation_in_words(line) if isinstance(line, EvaluationEntry) else round_in_words(line))


def _each(tell: Callable[[AuditLine], None]) -> Callable[[Piece], None]:
    """Tell of every line, and of what is the matter with them."""
    repeats = Repeats()

    def show(piece: Piece) -> None:
        for line in piece.lines:
            tell(line)
        for text in _matters(piece.broken, repeats.take(piece)):
            display.say(text, display.err)

    return show


def _matters(broken: int, twice: int) -> list[str]:
    """What is the matter with so many lines and rounds of a file."""
    texts = [f"lines that cannot be read: {broken:,}"] if broken else []
    return [*texts, f"rounds on record twice, as if of two runs: {twice:,}"] if twice else texts


def _watch_live(path: Path, *, waiting: bool) -> None:
    standing = FederationStanding()
    with Live(console=display.out, auto_refresh=False) as live:

        def show(piece: Piece) -> None:
            standing.take(piece)
            if not piece.more:
                live.update(standing_shown(standing, display.out.height, display.out.width), refresh=True)

        live.update(standing_shown(standing, display.out.height, display.out.width), refresh=True)
        _follow(path, show, waiting=waiting)


def standing_shown(standing: FederationStanding, height: int, width: int = 80) -> Group:
    """Where a federation stands, as a terminal of so many lines and columns has room for."""
    last = standing.last
    matters = [Text(text) for text in _matters(standing.broken, standing.repeats.rounds)]
    if last is None:
        return Group(Text("No round yet."), *matters)
    lines = [_head(standing, last), *matters]
    lines += [Text(evaluation_in_words(entry)) for entry in standing.found.values()]
    if last.skipped:
        lines.append(Text(f"The model stays as it was: {tamed(last.skipped, 300)}", style="red"))
    room = max(height - _AROUND, 3)
    names = sorted(standing.nodes, key=natural)
    if len(names) > room:  # those that are dropped most often
        names = sorted(names, key=lambda name: _share(standing.nodes[name]))
    ids = _short([standing.nodes[name].node for name in names[:room]])
    longest = min(max(width - _BESIDE, 10), 28)
    table = Table(box=SIMPLE_HEAD, collapse_padding=any(ids), pad_edge=not any(ids))
    table.add_column("node", overflow="ellipsis", no_wrap=True, min_width=10, max_width=longest)
    if any(ids):  # names may look alike
        table.add_column("id", justify="right", no_wrap=True, min_width=max(map(len, ids)))
    for title in ("accepted", "dropped", "no answer"):
        table.add_column(title, justify="right", no_wrap=True, min_width=len(title))
    table.add_column("last rounds", no_wrap=True, min_width=5 if any(ids) else 11)
    table.add_column("why", overflow="ellipsis", no_wrap=True)
    for name, own in zip(names[:room], ids, strict=True):
        first, *rest = _row(name, standing.nodes[name])
        table.add_row(first, *([Text(own, style="dim")] if any(ids) else []), *rest)
    more = len(names) - room
    last_line = [Text(f"{more} more nodes, which are dropped less often", style="dim")] if more > 0 else []
    return Group(*lines, table, *last_line)


def _head(standing: FederationStanding, last: RoundEntry) -> Text:
    kept = sum(node.kept for node in last.nodes)
    head = Text(f"{tamed(last.rule, 60)}, round {last.round:,}: ", style="bold")
    told = kept_or_given(node.reason for node in last.nodes)
    head.append(f"{kept} of {len(last.nodes)} nodes {told}", style="bold")
    if standing.skipped:
        head.append(f"; {standing.skipped:,} of {standing.rounds:,} rounds left the model as it was", style="red")
    return head


def _short(ids: list[str]) -> list[str]:
    """The ends of ids, as long as it takes to tell them apart: Flower's have 19 digits."""
    known = {own for own in ids if own}
    length = next((n for n in range(_ENDS, 99) if len({own[-n:] for own in known}) == len(known)), 99)
    return [own if len(own) <= length else f"\u2026{own[-length:]}" for own in ids]


def _share(node: NodeStanding) -> float:
    return 1.0 if node.share is None else node.share


def _row(name: str, node: NodeStanding) -> tuple[Text, ...]:
    marks = Text()
    for mark in list(node.recent)[-_SHOWN:]:
        sign, style = _MARKS[mark]
        marks.append(sign, style=style)
    share = "-" if node.share is None else share_text(node.share)
    why = ", ".join(f"{reason} {times}" for reason, times in node.reasons.most_common(3))
    dropped = Text(f"{node.dropped:,}", style="red" if node.dropped else "")
    return Text(name), Text(share), dropped, Text(f"{node.silent:,}"), marks, Text(why)
