"""The commands that train, and their options: run, demo, sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import keys
from .completing import one_of
from .shared import Config, Json, Profile, Table, TrustImports, folder_out, fresh_start


def run(
    data: Annotated[list[str] | None, keys.DATA] = None,
    data_path: Annotated[str | None, keys.DATA_PATH] = None,
    model: Annotated[list[str] | None, keys.MODEL] = None,
    partition: Annotated[list[str] | None, keys.PARTITION] = None,
    validation: Annotated[list[float] | None, keys.VALIDATION] = None,
    root: Annotated[list[int] | None, keys.ROOT] = None,
    root_apart: Annotated[bool | None, keys.ROOT_APART] = None,
    clients: Annotated[list[int] | None, keys.CLIENTS] = None,
    byzantine: Annotated[list[str] | None, keys.BYZANTINE] = None,
    byzantine_data: Annotated[list[str] | None, keys.BYZANTINE_DATA] = None,
    participation: Annotated[list[float] | None, keys.PARTICIPATION] = None,
    dropout: Annotated[list[float] | None, keys.DROPOUT] = None,
    late: Annotated[list[float] | None, keys.LATE] = None,
    algorithm: Annotated[list[str] | None, keys.ALGORITHM] = None,
    batch_size: Annotated[list[int] | None, keys.BATCH_SIZE] = None,
    rule: Annotated[list[str] | None, keys.RULE] = None,
    f: Annotated[list[str] | None, keys.F] = None,
    confidence: Annotated[list[float] | None, keys.CONFIDENCE] = None,
    batch_norm: Annotated[list[str] | None, keys.BATCH_NORM] = None,
    attack: Annotated[list[str] | None, keys.ATTACK] = None,
    forge: Annotated[list[str] | None, keys.FORGE] = None,
    rounds: Annotated[list[int] | None, keys.ROUNDS] = None,
    evaluate_every: Annotated[list[int] | None, keys.EVALUATE_EVERY] = None,
    server: Annotated[list[str] | None, keys.SERVER] = None,
    lr: Annotated[list[float] | None, keys.LR] = None,
    momentum: Annotated[list[float] | None, keys.MOMENTUM] = None,
    weight_decay: Annotated[list[float] | None, keys.WEIGHT_DECAY] = None,
    seed: Annotated[list[int] | None, keys.SEED] = None,
    device: Annotated[str | None, keys.DEVICE] = None,
    precision: Annotated[list[str] | None, keys.PRECISION] = None,
    threads: Annotated[int | None, keys.THREADS] = None,
    config: Config = None,
    trust_imports: TrustImports = False,
    out: Annotated[
        Path | None, folder_out("Folder of the run, or of the sweep that several values make.", "runs/NAME")
    ] = None,
    fresh: Annotated[bool, fresh_start("Start anew, and delete an earlier run that the folder holds.")] = False,
    log: Annotated[
        list[str] | None,
        typer.Option(
            help="Follow it elsewhere, too: tensorboard, or wandb (offline).",
            metavar="WHERE",
            autocompletion=one_of("tensorboard", "wandb"),
            rich_help_panel=keys.FILES_PANEL,
        ),
    ] = None,
    as_json_: Json = False,
) -> None:
    """Train a model across clients, some of them byzantine.

    Defaults are the SignGuard paper's setting: Fashion-MNIST, 50 clients, 10 of them byzantine, 1200 rounds.
    Ctrl-C is safe: the same command resumes. Options with ... may be repeated, --seed 0 --seed 1, or be lists in the
    file: that is a sweep, every combination a cell, on all cores, with one folder and one table of them all.

    Examples:
      fedward run --data fashion-mnist-subset --rounds 50
      fedward run --data fashion-mnist-subset --rule mean --rule krum --rounds 50
      fedward run --config run.toml --attack min-max --device cuda
    """
    given = {**locals()}  # all options, as long as nothing else has a name here
    from . import commands

    commands.run(given, config=config, out=out, fresh=fresh, threads=threads, as_json=as_json_, log=log or [])


def demo(
    out: Annotated[Path, folder_out("Folder for runs and report.")] = Path("demo"),
    fresh: Annotated[bool, fresh_start("Start anew, and delete earlier runs in the folder.")] = False,
    as_json_: Json = False,
) -> None:
    """Four rules under two attacks, on real data of the package: about a minute on two cores, a table and a report.

    Examples:
      fedward demo
      fedward demo --out first-try --fresh
    """
    from . import commands

    commands.demo(out, fresh, as_json_)


_CELLS = "Which cells"
_WORK = "Where and how"


def sweep(
    what: Table,
    profile: Profile = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Cells with this value alone, such as attack=alie.", metavar="KEY=VALUE", rich_help_panel=_CELLS
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, help="So many, 0, 1, ..., in place of those named.", metavar="N", rich_help_panel=_CELLS),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="Do one share of the cells, NUMBER/COUNT, from 0/COUNT.", metavar="SHARE", rich_help_panel=_CELLS
        ),
    ] = None,
    redo: Annotated[
        bool,
        typer.Option("--redo", help="Make cells anew that other versions of PyTorch made.", rich_help_panel=_CELLS),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Cells at once.", metavar="N", show_default="all cores", rich_help_panel=_WORK),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(help="Work on a Ray cluster: its address, or local.", metavar="ADDRESS", rich_help_panel=_WORK),
    ] = None,
    array: Annotated[
        bool,
        typer.Option("--array", help="Print a job script for SLURM, and do nothing.", rich_help_panel=_WORK),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what is to be done, and how long it takes.", rich_help_panel=_WORK),
    ] = False,
    out: Annotated[Path | None, folder_out("Folder of the sweep.", "sweeps/NAME")] = None,
    trust_imports: TrustImports = False,
    as_json_: Json = False,
) -> None:
    """Carry out a table of settings: every combination a run, finished ones skipped, all of them one table.

    Ctrl-C is safe, and so is kill: the same command resumes. Several such commands may work at one folder.

    Examples:
      fedward list published
      fedward sweep signguard-table1 --profile short --dry-run
      fedward sweep signguard-table1 --profile short --only rule=krum --seeds 1
      fedward sweep mine.toml --workers 4 --out sweeps/mine
    """
    from . import sweeping

    sweeping.sweep(
        what,
        profile=profile,
        only=only or (),
        seeds=seeds,
        workers=workers,
        ray=ray,
        array=array,
        task=task,
        dry_run=dry_run,
        redo=redo,
        out=out,
        trust_imports=trust_imports,
        as_json=as_json_,
    )
