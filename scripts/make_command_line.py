"""Write docs/reference/command-line.md of what `--help` says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import typer

from fedward.cli.app import app
from fedward.cli.helping import EXAMPLES, HelpLine, panels, paragraphs

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "command-line.md"
_OTHERS = "Other options"

INTRO = """# Command line

What `fedward COMMAND --help` says of every command, on one page. `python scripts/make_command_line.py` writes it.

Names of commands, options, rules, attacks, data sets, models, partitions and published tables are completed by bash,
zsh, fish and PowerShell after

    fedward --install-completion

and in a new shell; `--show-completion` prints the script instead. Options with `...` may be given several times. A
mistyped name is answered by the nearest ones, and by where all are listed.

Tables and results go to standard output, progress and errors to standard error. Where there is no terminal, progress
is a line now and then, and `--json` leaves nothing but JSON on standard output. `NO_COLOR=1` leaves colours out,
`COLUMNS=100` says how wide a line may be, and `FEDWARD_TRACEBACK=1` shows where an error came from.

A folder that `--out` names is made, and those above it. A file is written into a folder that is there: where a path of
`-o` or `--report` is mistyped, no folder is made of it, and the command ends before the work.
"""


def page() -> str:
    """The whole page."""
    group: Any = typer.main.get_command(app)
    parts = [INTRO, *_told(group, "fedward", usage=False)]
    for words, command in _leaves(group, "fedward"):
        parts += [f"## {words}", *_told(command, words)]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _leaves(group: Any, before: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        words = f"{before} {name}"
        if isinstance(command, click.Group):
            yield from _leaves(command, words)
        else:
            yield words, command


def _told(command: Any, words: str, *, usage: bool = True) -> Iterator[str]:
    ctx = click.Context(command, info_name=words, help_option_names=["-h", "--help"])
    if usage:
        yield f"    {' '.join([words, *command.collect_usage_pieces(ctx)])}"
    for part in paragraphs(command):
        if not part.heading:
            yield part.lines[0]
        elif part.heading == EXAMPLES:
            yield "\n".join(["```bash", *part.lines, "```"])
        else:
            pairs = (line.split(maxsplit=1) for line in part.lines)
            yield _table(part.heading, [HelpLine(names=first, told=rest) for first, rest in pairs])
    for heading, lines in panels(command, ctx).items():
        if heading != _OTHERS:
            yield _table(heading, lines)


def _table(heading: str, lines: Sequence[HelpLine]) -> str:
    return "\n".join([f"**{heading}**", "", "| | |", "| --- | --- |", *map(_line, lines)])


def _line(line: HelpLine) -> str:
    return f"| {_code(line.names)} | {_cell(line.told)} |"


def _code(text: str) -> str:
    return f"`{_cell(text)}`"


def _cell(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(PAGE.parents[2])}")
