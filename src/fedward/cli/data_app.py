"""The commands about data sets, and their options. What they do is loaded when one is given."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import keys
from .completing import names_of
from .options import Looking, OwnCommand
from .shared import Json

_HELP = """Data sets: which there are, and what clients would hold of one.

Examples:
  fedward data list
  fedward data show fashion-mnist-subset --partition dirichlet:alpha=0.3
"""

data_app = typer.Typer(name="data", help=_HELP, no_args_is_help=True)


@data_app.command("list", cls=Looking)
def list_data(
    data_path: Annotated[
        Path | None,
        keys.spec_option("Folder to look in, in the place of the usual ones.", "FOLDER", keys.DATA_PANEL),
    ] = None,
    as_json_: Json = False,
) -> None:
    """List data sets: what they are, and where on this machine they are found.

    Examples:
      fedward data list
      fedward data list --data-path ~/datasets
    """
    from . import data

    data.list_data(data_path, as_json_)


@data_app.command("show", cls=OwnCommand)
def show_data(
    name: Annotated[
        str,
        typer.Argument(
            help="Data set: see `fedward data list`, or an import path, my.module:load.",
            metavar="NAME",
            autocompletion=names_of("data set"),
        ),
    ],
    data_path: Annotated[str | None, keys.DATA_PATH] = None,
    partition: Annotated[str, keys.PARTITION] = "iid",
    clients: Annotated[int, keys.spec_option("Clients in all.", "N", keys.DATA_PANEL, min=1)] = 50,
    seed: Annotated[int, keys.spec_option("Of the partition.", "N", keys.DATA_PANEL, min=0, max=2**64 - 1)] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Write a page with pictures, too.",
            metavar="FILE",
            rich_help_panel=keys.FILES_PANEL,
        ),
    ] = None,
    as_json_: Json = False,
) -> None:
    """Show a data set and what each client would hold of it: sizes, shares of the classes, sample images.

    Examples:
      fedward data show fashion-mnist-subset
      fedward data show fashion-mnist-subset --partition shards -o data.html
    """
    from . import data

    data.show_data(name, data_path, partition, clients, seed, out, as_json_)
