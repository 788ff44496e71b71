"""The commands about clients' files, and their options: aggregate, audit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import keys
from .shared import Calibrate, Json, Merging, Page, RunningStatistics

_MODELS = "Clients' models"

Clients = Annotated[
    list[str], typer.Argument(help="Files, folders or globs that hold models, one a client.", metavar="CLIENTS...")
]
Base = Annotated[
    str | None,
    typer.Option(
        help="The model that clients started from; or mean-of-clients, median-of-clients.",
        metavar="FILE",
        rich_help_panel=_MODELS,
    ),
]
Raw = Annotated[
    bool,
    typer.Option(help="Take what clients sent as updates, even if it looks like weights.", rich_help_panel=_MODELS),
]
Key = Annotated[
    str | None,
    typer.Option(help="Where .pt files have the model, such as model.state.", metavar="NAME", rich_help_panel=_MODELS),
]
Strict = Annotated[bool, typer.Option(help="Fail if a client's files cannot be used.", rich_help_panel=_MODELS)]
Seed = Annotated[
    int, typer.Option(min=0, help="Of everything random.", metavar="N", rich_help_panel=keys.EXAMINATION_PANEL)
]


def aggregate(
    clients: Clients,
    rule: Annotated[str, keys.ONE_RULE],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="The model to write, or for adapters a new folder.",
            metavar="FILE",
            rich_help_panel=keys.FILES_PANEL,
        ),
    ],
    base: Base = None,
    raw: Raw = False,
    key: Key = None,
    strict: Strict = False,
    rank: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Of an adapter.",
            metavar="N",
            show_default="the largest that was accepted",
            rich_help_panel=_MODELS,
        ),
    ] = None,
    merge: Annotated[Merging, typer.Option(help="How adapters become one.", rich_help_panel=_MODELS)] = Merging.SVD,
    batch_norm: Annotated[
        RunningStatistics,
        typer.Option(
            help="Running statistics, which no rule judges: robust, medians of all usable clients within a bound of "
            "the base's; mean, of accepted clients; frozen, the base's.",
            rich_help_panel=_MODELS,
        ),
    ] = RunningStatistics.ROBUST,
    calibrate: Calibrate = False,
    seed: Seed = 0,
    page: Page = None,
    as_json_: Json = False,
) -> None:
    """Aggregate files of clients, and say who was dropped and why.

    Exit status: 0 if all clients were accepted, 3 if some were not, 2 if nothing could be done.

    Examples:
      fedward aggregate clients/ --rule median --base global.pt -o next.pt
      fedward aggregate 'site-*.pt' --rule krum:f=2 --base global.pt -o next.pt
      fedward aggregate adapters/ --rule trimmed-mean:f=1 --rank 8 -o merged
    """
    from . import audits

    source = audits.source(clients, base=base, raw=raw, key=key, strict=strict)
    making = {"rank": rank, "merge": merge.value, "batch_norm": batch_norm.value}
    audits.aggregate(source, rule, out, making=making, page=page, calibrate=calibrate, seed=seed, as_json=as_json_)


def audit(
    clients: Clients,
    base: Base = None,
    raw: Raw = False,
    key: Key = None,
    strict: Strict = False,
    rule: Annotated[list[str] | None, keys.PANEL_RULE] = None,
    f: Annotated[
        int | None,
        typer.Option(
            "--f",
            min=0,
            help="Byzantine clients, for rules that are told.",
            metavar="N",
            show_default="a fifth",
            rich_help_panel=keys.DEFENCE_PANEL,
        ),
    ] = None,
    votes: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Rules that must suspect a client.",
            metavar="N",
            show_default="two in five",
            rich_help_panel=keys.DEFENCE_PANEL,
        ),
    ] = None,
    calibrate: Calibrate = False,
    seed: Seed = 0,
    page: Page = None,
    as_json_: Json = False,
) -> None:
    """Say which of these clients are poisoned, by several rules side by side.

    Exit status: 0 if all clients were accepted, 3 if some were not, 2 if nothing could be done.

    Examples:
      fedward audit clients/ --base global.pt
      fedward audit clients/ --base median-of-clients --report audit.html
      fedward audit 'site-*.safetensors' --base global.safetensors --calibrate
    """
    from . import audits

    source = audits.source(clients, base=base, raw=raw, key=key, strict=strict)
    audits.audit(source, rule or [], f=f, votes=votes, page=page, calibrate=calibrate, seed=seed, as_json=as_json_)
