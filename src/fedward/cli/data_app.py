"""The commands about data sets, and their options. What they do is loaded when one is given."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Command, Json, OwnCommand

data_app = typer.Typer(
    name="data", help="Data sets: which there are, and what clients would hold of one.", no_args_is_help=True
)


@data_app.command("list", cls=Command)
def list_data(
    data_path: Annotated[Path | None, typer.Option(help="Folder to look in, in the place of the usual ones.")] = None,
    as_json_: Json = False,
) -> None:
    """List data sets: what they are, and where on this machine they are found."""
    from . import data

    data.list_data(data_path, as_json_)


@data_app.command("show", cls=OwnCommand)
def show_data(
    name: Annotated[str, typer.Argument(help="Data set: see `fedward data list`, or an import path, my.module:load.")],
    data_path: Annotated[str | None, typer.Option(help="Folder with the data files.")] = None,
    partition: Annotated[str, typer.Option(help="Who holds what: see `fedward list partitions`.")] = "iid",
    clients: Annotated[int, typer.Option(min=1, help="Clients in all.")] = 50,
    seed: Annotated[int, typer.Option(min=0, max=2**64 - 1, help="Of the partition.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write a page with pictures, too.")] = None,
    as_json_: Json = False,
) -> None:
    """Show a data set and what each client would hold of it: sizes, shares of the classes, sample images."""
    from . import data

    data.show_data(name, data_path, partition, clients, seed, out, as_json_)
