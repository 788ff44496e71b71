"""Options that several commands have, and that are no keys of a specification."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ..registry.naming import unknown
from .completing import complete_published
from .keys import EXAMINATION_PANEL, FILES_PANEL


class Merging(StrEnum):
    """How adapters become one."""

    SVD = "svd"
    AVERAGE = "average"


class RunningStatistics(StrEnum):
    """What becomes of running statistics."""

    ROBUST = "robust"
    MEAN = "mean"
    FROZEN = "frozen"


LISTS = (
    "rules",
    "mixers",
    "attacks",
    "clients",
    "data",
    "partitions",
    "models",
    "servers",
    "schedules",
    "published",
)
"""What can be listed."""


def checked(what: str, words: Sequence[str], listed: str) -> Callable[[str], str]:
    """Refuses what is none of some words, which the command of this name lists, with those that are nearest."""

    def check(given: str) -> str:
        if given not in words:
            raise typer.BadParameter(unknown(what, given, words, listed))
        return given

    return check


Json = Annotated[
    bool,
    typer.Option("--json", help="Print JSON for programs on standard output.", rich_help_panel=FILES_PANEL),
]
TrustImports = Annotated[
    bool,
    typer.Option(
        "--trust-imports",
        help="Run the modules that import paths in the TOML file name: it is yours.",
        rich_help_panel=FILES_PANEL,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(help="TOML file; options given here count instead.", metavar="FILE", rich_help_panel=FILES_PANEL),
]
Profile = Annotated[
    str | None,
    typer.Option(help="Of the sweep's [profiles], such as short.", metavar="NAME", rich_help_panel=FILES_PANEL),
]
Page = Annotated[
    Path | None,
    typer.Option(
        "--report", help="Write an HTML page about every client, too.", metavar="FILE", rich_help_panel=FILES_PANEL
    ),
]
Calibrate = Annotated[
    bool,
    typer.Option(help="Say what of known attacks the panel would have caught here.", rich_help_panel=EXAMINATION_PANEL),
]
Table = Annotated[
    str,
    typer.Argument(
        metavar="TABLE",
        help="TOML file, or a published table: see `fedward list published`.",
        autocompletion=complete_published,
    ),
]


def folder_out(text: str, default: str | None = None) -> object:
    """The option that says where results are put."""
    shown: dict[str, Any] = {} if default is None else {"show_default": default}
    return typer.Option("--out", help=text, metavar="FOLDER", rich_help_panel=FILES_PANEL, **shown)


def fresh_start(text: str) -> object:
    """The option that begins anew."""
    return typer.Option(help=text, rich_help_panel=FILES_PANEL)
