"""The command line: which commands there are. Options stand beside it, and what is done is loaded when asked for."""

from __future__ import annotations

from typing import Annotated

import typer

from .. import __version__
from . import examine_app, files_app, look_app, train_app
from .data_app import data_app
from .options import Command, Commands, Judgement, Looking, OwnCommand, Watching

app = typer.Typer(
    name="fedward",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Keeps federated training on course when some of the clients lie.

    Examples:
      fedward demo
      fedward run --data fashion-mnist-subset --rounds 50 --attack min-max
      fedward run --help
      fedward --install-completion

    Exit status:
      0    all is done
      1    it failed, or a part of it did; an error says why
      2    what was asked for cannot be (a name, a value, a file); nothing was done
      3    of aggregate and audit: some clients were dropped
      130  stopped, as by Ctrl-C; the same command resumes
    """


_TRAIN = "Train"
_EXAMINE = "Examine rules"
_FILES = "Clients' files"
_LOOK = "Look and report"

app.command(cls=Command, rich_help_panel=_TRAIN)(train_app.demo)
app.command(cls=OwnCommand, rich_help_panel=_TRAIN)(train_app.run)
app.command(cls=OwnCommand, rich_help_panel=_TRAIN)(train_app.sweep)
app.command(cls=OwnCommand, rich_help_panel=_EXAMINE)(examine_app.choose)
app.command(cls=OwnCommand, rich_help_panel=_EXAMINE)(examine_app.redteam)
app.command(cls=Judgement, rich_help_panel=_FILES)(files_app.aggregate)
app.command(cls=Judgement, rich_help_panel=_FILES)(files_app.audit)
app.command(cls=Looking, rich_help_panel=_LOOK)(look_app.report)
app.command(cls=Watching, rich_help_panel=_LOOK)(look_app.watch)
app.command("list", cls=Looking, rich_help_panel=_LOOK)(look_app.list_)
app.add_typer(data_app, cls=Commands, rich_help_panel=_LOOK)
