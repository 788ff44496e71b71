"""The commands that look at what there is, and their options: report, watch, list."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .completing import complete_published, one_of
from .keys import FILES_PANEL
from .shared import LISTS, Json, Profile, checked

_PAGE = "Page"


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of runs, folders of such folders, or audits of Flower federations.", metavar="RUNS..."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="What to write: .html, or of a sweep .csv, .md, .tex, .svg, .pdf, .bib.",
            metavar="FILE",
            rich_help_panel=FILES_PANEL,
        ),
    ] = Path("report.html"),
    title: Annotated[
        str | None,
        typer.Option(help="Its heading; above a figure only if given.", metavar="TEXT", rich_help_panel=FILES_PANEL),
    ] = None,
    spec: Annotated[
        str | None,
        typer.Option(
            "--sweep",
            help="What the runs are of: a TOML file, or see `fedward list published`.",
            metavar="TABLE",
            autocompletion=complete_published,
            rich_help_panel=FILES_PANEL,
        ),
    ] = None,
    profile: Profile = None,
    figure: Annotated[
        str | None,
        typer.Option(
            help="For .svg and .pdf: curves, or an axis such as byzantine or partition.s.",
            metavar="WHAT",
            show_default="curves",
            rich_help_panel=FILES_PANEL,
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            help="For .md, .tex, .svg and .pdf: what a rule or an attack is called, such as sign-guard=Ours.",
            metavar="RULE=NAME",
            rich_help_panel=FILES_PANEL,
        ),
    ] = None,
    measure: Annotated[
        str | None,
        typer.Option(
            help="For .md and .tex: what the cells say, such as last or byzantine-accepted.",
            metavar="WHAT",
            show_default="best, the best test accuracy",
            rich_help_panel=FILES_PANEL,
        ),
    ] = None,
) -> None:
    """Write about runs: a self-contained HTML page, or tables, figures and BibTeX for a paper.

    Of single runs the page shows accuracy, who was accepted, signs, verdicts by client. Of a folder of runs, a sweep,
    it compares: rules by attacks over all seeds beside published numbers, curves, axes, and every cell.

    Examples:
      fedward report runs -o runs.html
      fedward report sweeps/mine -o table.tex --label sign-guard=Ours
      fedward report sweeps/mine -o curves.svg --figure curves
    """
    from . import commands

    commands.report(runs, out, title, spec=spec, profile=profile, figure=figure, labels=label or [], measure=measure)


def watch(
    audit: Annotated[
        Path,
        typer.Argument(help="Audit of a Flower federation, or the folder that holds audit.jsonl.", metavar="AUDIT"),
    ],
    serve: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            metavar="[PORT]",
            help="Serve a page instead; at any free port if none is said.",
            rich_help_panel=_PAGE,
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            help="Where to serve it; others than this machine may read it then.",
            metavar="HOST",
            show_default="127.0.0.1",
            rich_help_panel=_PAGE,
        ),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Tell what is there, and end.", rich_help_panel=FILES_PANEL)
    ] = False,
    as_json_: Json = False,
) -> None:
    """Follow a federation while it runs: who is accepted, who is dropped and why, how the model does.

    A table where there is a terminal, else a line a round. Ctrl-C ends it. The file may not be there yet.

    Examples:
      fedward watch audit.jsonl
      fedward watch audit.jsonl --once
      fedward watch audit.jsonl --serve 8000
    """
    from . import watching

    watching.watch(audit, serve=serve, host=host, once=once, as_json=as_json_)


def list_(
    what: Annotated[
        str,
        typer.Argument(
            help=f"One of {', '.join(LISTS)}.",
            metavar="WHAT",
            callback=checked("list", LISTS, "fedward list --help"),
            autocompletion=one_of(*LISTS),
        ),
    ],
    as_json_: Json = False,
) -> None:
    """List rules, mixers, attacks, client algorithms, data sets, partitions, models, server optimisers or schedules.

    Examples:
      fedward list rules
      fedward list published
      fedward list attacks --json
    """
    from . import commands

    commands.list_(what, as_json_)
