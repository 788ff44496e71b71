"""What `--help` says of a command: plain lines, the same in a terminal and in a pipe, of whatever width.

Panels are those that options name, in the order in which they first appear. Indented paragraphs of a docstring,
examples among them, are printed as they are.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import cleandoc
from textwrap import wrap
from typing import Any

import typer

from .keys import FILES_PANEL

EXAMPLES = "Examples"
_OTHERS = "Other options"
_WIDEST = 100
_NARROWEST = 30
_BESIDE = 60
"""Columns from which on an explanation stands beside its option; in fewer it stands below."""
_LONGEST = 24
"""Characters of an option that an explanation still stands beside."""
_WHOLE = 24
"""Characters of a default that is not broken over two lines."""
_UNBROKEN = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True, kw_only=True)
class HelpLine:
    """An option, an argument or a command, and what is said of it."""

    names: str
    told: str


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    """A part of what is said of a command.

    Attributes:
        heading: of lines that are printed as they are; of text it is empty.
        lines: these lines, or the text as one.
    """

    heading: str
    lines: tuple[str, ...]


def paragraphs(command: Any) -> list[Paragraph]:
    """What a command's docstring says, in parts."""
    found = []
    for part in cleandoc(command.help or "").split("\n\n"):
        head, *rest = part.strip().splitlines() or [""]
        if head.endswith(":") and rest and all(line.startswith("  ") for line in rest):
            found.append(Paragraph(heading=head.removesuffix(":"), lines=tuple(line.strip() for line in rest)))
        elif head:
            found.append(Paragraph(heading="", lines=(" ".join(part.split()),)))
    return found


def panels(command: Any, ctx: Any) -> Mapping[str, Sequence[HelpLine]]:
    """Arguments, options and commands, by the heading that they stand under."""
    found: dict[str, list[HelpLine]] = {}
    for param in command.get_params(ctx):
        if getattr(param, "hidden", False):
            continue
        if param.param_type_name == "argument":
            line = HelpLine(names=param.metavar or param.name.upper(), told=told(param))
            found.setdefault("Arguments", []).append(line)
        else:
            panel = getattr(param, "rich_help_panel", None) or _OTHERS
            found.setdefault(panel, []).append(HelpLine(names=names(param), told=told(param)))
    last = {heading: found.pop(heading) for heading in (FILES_PANEL, _OTHERS) if heading in found}
    for name in command.list_commands(ctx) if hasattr(command, "list_commands") else ():
        one = command.get_command(ctx, name)
        panel = getattr(one, "rich_help_panel", None) or "Commands"
        found.setdefault(panel, []).append(HelpLine(names=name, told=paragraphs(one)[0].lines[0]))
    return found | last


def names(param: Any) -> str:
    """How an option is written: ``-o, --out FILE``, ``--[no-]fresh``."""
    long = [name for name in param.opts if name.startswith("--")]
    short = [name for name in param.opts if not name.startswith("--")]
    if param.secondary_opts:
        long = [name.replace("--", "--[no-]", 1) for name in long]
    text = ", ".join((*short, *long))
    if param.is_flag:
        return text
    choices = getattr(param.type, "choices", None)
    value = param.metavar or ("|".join(_plain(choice) for choice in choices) if choices else param.type.name.upper())
    return f"{text} {value}{'...' if param.multiple else ''}"


def told(param: Any) -> str:
    """What an option is for, and what is taken if it is not given."""
    facts = []
    if param.required:
        facts.append("required")
    if default := default_of(param):
        facts.append(f"default: {default}".replace(" ", _UNBROKEN if len(default) <= _WHOLE else " "))
    if hasattr(param.type, "_describe_range") and not (param.metavar or "").startswith("["):
        facts.append(param.type._describe_range())
    if not facts:
        return param.help or ""
    return f"{param.help or ''} [{'; '.join(facts)}]".strip()


def default_of(param: Any) -> str:
    """What is taken where an option is not given; nothing for those that are on or not there, such as --json."""
    shown = getattr(param, "show_default", None)
    if isinstance(shown, str):
        return shown
    default = param.default
    if getattr(param, "secondary_opts", ()) and isinstance(default, bool):
        return str((param.opts if default else param.secondary_opts)[0]).lstrip("-")
    if shown is False or param.required or default is None or default is False or callable(default):
        return ""
    return _plain(default)


def _plain(value: Any) -> str:
    return str(getattr(value, "value", value))


def write_help(command: Any, ctx: Any, formatter: Any) -> None:
    """Write a command's help."""
    columns = shutil.get_terminal_size().columns  # COLUMNS, the terminal, or 80
    formatter.write("\n".join(help_lines(command, ctx, columns)) + "\n")


def help_lines(command: Any, ctx: Any, columns: int) -> Iterator[str]:
    """A command's help, in so many columns at most."""
    width = min(max(columns, _NARROWEST), _WIDEST)
    usage = " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])
    yield from wrapped(f"{_bold('Usage:')} {usage}", width, more=len("Usage: "))
    for part in paragraphs(command):
        yield ""
        if part.heading:
            yield _bold(part.heading)
            yield from (f"  {line}" for line in part.lines)
        else:
            yield from wrapped(part.lines[0], width)
    for heading, lines in panels(command, ctx).items():
        yield ""
        yield _bold(heading)
        yield from _table(lines, width)


def _table(lines: Sequence[HelpLine], width: int) -> Iterator[str]:
    longest = max(len(line.names) for line in lines if len(line.names) <= _LONGEST or line is lines[0])
    place = min(longest, _LONGEST) + 4
    for line in lines:
        names = typer.style(line.names, fg="cyan") if _coloured() else line.names
        if width < _BESIDE:
            yield f"  {names}"
            yield from wrapped(line.told, width, first=6, more=6)
            continue
        texts = list(wrapped(line.told, width, first=place, more=place))
        if len(line.names) + 4 > place or not texts:
            yield f"  {names}"
        else:
            yield f"  {names}{' ' * (place - 2 - len(line.names))}{texts.pop(0).strip()}"
        yield from texts


def wrapped(text: str, width: int, first: int = 0, more: int = 0) -> Iterator[str]:
    """Text in lines; what stands in backticks stays whole."""
    whole = "`".join(part.replace(" ", _UNBROKEN) if k % 2 else part for k, part in enumerate(text.split("`")))
    lines = wrap(
        whole,
        width,
        initial_indent=" " * first,
        subsequent_indent=" " * more,
        break_long_words=False,
        break_on_hyphens=False,
    )
    yield from (line.replace(_UNBROKEN, " ") for line in lines)


def _bold(text: str) -> str:
    return typer.style(text, bold=True) if _coloured() else text


def _coloured() -> bool:
    """Whether whoever reads this wants colours, as far as the environment says; in a pipe they are left out anyway."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
