"""The commands that examine rules, and their options: redteam, choose."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import keys
from .shared import Config, Json, TrustImports, folder_out, fresh_start


def redteam(
    rule: Annotated[list[str], keys.EXAMINED_RULE],
    attack: Annotated[list[str] | None, keys.PLAYED_ATTACK] = None,
    batch_norm: Annotated[str | None, keys.BATCH_NORM] = None,
    worst: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Kinds of attack to train under, the worst by kappa first.",
            rich_help_panel=keys.EXAMINATION_PANEL,
        ),
    ] = 3,
    warmup: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Honest rounds before updates are captured.",
            rich_help_panel=keys.EXAMINATION_PANEL,
        ),
    ] = 20,
    captured: Annotated[
        int,
        typer.Option(
            min=1, max=1000, metavar="N", help="Rounds of updates captured.", rich_help_panel=keys.EXAMINATION_PANEL
        ),
    ] = 3,
    data: Annotated[str | None, keys.EXAMINED_DATA] = None,
    data_path: Annotated[str | None, keys.DATA_PATH] = None,
    model: Annotated[str | None, keys.MODEL] = None,
    partition: Annotated[str | None, keys.PARTITION] = None,
    root: Annotated[int | None, keys.ROOT] = None,
    clients: Annotated[int | None, keys.CLIENTS] = None,
    byzantine: Annotated[str | None, keys.BYZANTINE] = None,
    batch_size: Annotated[int | None, keys.EXAMINED_BATCH_SIZE] = None,
    rounds: Annotated[int | None, keys.EXAMINED_ROUNDS] = None,
    lr: Annotated[float | None, keys.EXAMINED_LR] = None,
    seed: Annotated[int | None, keys.SEED] = None,
    device: Annotated[str | None, keys.DEVICE] = None,
    config: Config = None,
    trust_imports: TrustImports = False,
    out: Annotated[Path, folder_out("Folder for findings and page.")] = Path("redteam"),
    fresh: Annotated[bool, fresh_start("Start anew, and delete findings that the folder holds.")] = False,
    as_json_: Json = False,
) -> None:
    """Play every attack at every strength against a rule, on updates of real training, and train under the worst.

    Kappa is the squared distance of the rule's output from the honest mean, in units of the honest updates' mean
    squared distance from it; the worst attack is that of the largest kappa, and another one may cost more accuracy.
    Ctrl-C is safe: the same command resumes. With --config, what the file leaves out is as
    `fedward run` has it.

    Examples:
      fedward redteam --rule median
      fedward redteam --rule krum --rule multi-krum --attack alie --attack min-max
      fedward redteam --rule my.rules.Mine:f=10 --worst 1
    """
    given = {**locals()}  # all options, as long as nothing else has a name here
    from . import commands

    commands.redteam(
        rule,
        attack,
        given,
        config=config,
        settings={"warmup": warmup, "rounds": captured, "worst": worst},
        out=out,
        fresh=fresh,
        as_json=as_json_,
    )


def choose(
    rule: Annotated[list[str] | None, keys.CANDIDATE] = None,
    f: Annotated[str | None, keys.F] = None,
    attack: Annotated[list[str] | None, keys.CHOICE_ATTACK] = None,
    worst: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Kinds of attack to train under besides, of those named or else of all: the worst by kappa first.",
            rich_help_panel=keys.EXAMINATION_PANEL,
        ),
    ] = 2,
    data: Annotated[str | None, keys.EXAMINED_DATA] = None,
    data_path: Annotated[str | None, keys.DATA_PATH] = None,
    model: Annotated[str | None, keys.MODEL] = None,
    partition: Annotated[list[str] | None, keys.CHOICE_PARTITIONS] = None,
    clients: Annotated[int | None, keys.CLIENTS] = None,
    byzantine: Annotated[str | None, keys.CHOICE_BYZANTINE] = None,
    participation: Annotated[float | None, keys.PARTICIPATION] = None,
    algorithm: Annotated[str | None, keys.ALGORITHM] = None,
    batch_size: Annotated[int | None, keys.EXAMINED_BATCH_SIZE] = None,
    rounds: Annotated[int | None, keys.EXAMINED_ROUNDS] = None,
    lr: Annotated[float | None, keys.CHOICE_LR] = None,
    seed: Annotated[list[int] | None, keys.SEED] = None,
    device: Annotated[str | None, keys.DEVICE] = None,
    threads: Annotated[int | None, keys.THREADS] = None,
    config: Config = None,
    trust_imports: TrustImports = False,
    out: Annotated[Path, folder_out("Folder for findings and page.")] = Path("choice"),
    fresh: Annotated[bool, fresh_start("Start anew, and delete findings that the folder holds.")] = False,
    as_json_: Json = False,
) -> None:
    """Rank rules for a federation like yours: trained under the usual attacks, and under the worst against each.

    Whoever names attacks has candidates trained under these alone. The worst against each are found by kappa
    (`fedward redteam --help`); the worst of all is that of the lowest accuracy. The line to paste comes last. Ctrl-C is
    safe: the same command resumes. With --config, what the file leaves out is as `fedward run` has it.

    Examples:
      fedward choose --clients 20 --byzantine 4
      fedward choose --rule median --rule krum --partition dirichlet:alpha=0.3
      fedward choose --config run.toml --threads 4 --out choices/mine
    """
    given = {**locals()}  # all options, as long as nothing else has a name here
    from . import choosing

    choosing.choose(
        rule or [],
        attack or [],
        given,
        config=config,
        worst=worst,
        workers=threads,
        out=out,
        fresh=fresh,
        as_json=as_json_,
    )
