"""The command line: which commands there are, and their options. What they do is loaded when one is given."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import __version__
from .data_app import data_app
from .options import Command, Json, Judgement, Listing, Merging, Out, OwnCommand, TrustImports, Watching

app = typer.Typer(
    name="fedward",
    help="Keeps federated training on course when some of the clients lie.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data_app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Keeps federated training on course when some of the clients lie."""


@app.command(cls=OwnCommand)
def run(
    config: Annotated[Path | None, typer.Option(help="TOML file; options given here count instead.")] = None,
    trust_imports: TrustImports = False,
    data: Annotated[list[str] | None, typer.Option(help="Data set (`fedward list data`), or an import path.")] = None,
    data_path: Annotated[str | None, typer.Option(help="Folder with the data files.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Model (`fedward list models`), or an import path.")] = None,
    rule: Annotated[list[str] | None, typer.Option(help="Defence, such as multi-krum:f=10; may be repeated.")] = None,
    attack: Annotated[list[str] | None, typer.Option(help="Attack, such as alie:z=1; may be repeated.")] = None,
    clients: Annotated[list[int] | None, typer.Option(help="Clients in all.")] = None,
    byzantine: Annotated[list[str] | None, typer.Option(help="How many of them are byzantine, or which: 3,4.")] = None,
    rounds: Annotated[list[int] | None, typer.Option(help="Rounds in all.")] = None,
    algorithm: Annotated[
        list[str] | None,
        typer.Option(help="What clients compute, local-sgd:epochs=1,optimizer=adamw,lr=0.001."),
    ] = None,
    batch_size: Annotated[list[int] | None, typer.Option(help="Samples in a client's batch.")] = None,
    server: Annotated[
        list[str] | None, typer.Option(help="Its optimiser, such as fed-adam:lr=0.01: see `fedward list servers`.")
    ] = None,
    lr: Annotated[list[float] | None, typer.Option(help="Of the server's steps; 1 adds deltas as they are.")] = None,
    momentum: Annotated[list[float] | None, typer.Option(help="The server's momentum.")] = None,
    weight_decay: Annotated[list[float] | None, typer.Option(help="The server's weight decay.")] = None,
    partition: Annotated[
        list[str] | None, typer.Option(help="Who holds what, s-fraction:s=0.5: see `fedward list partitions`.")
    ] = None,
    byzantine_data: Annotated[list[str] | None, typer.Option(help="What byzantine clients hold: own, or all.")] = None,
    participation: Annotated[
        list[float] | None,
        typer.Option(help="Share of clients in a round; below 1 an f that is not given is smaller."),
    ] = None,
    dropout: Annotated[list[float] | None, typer.Option(help="Share of these that never answer.")] = None,
    f: Annotated[
        list[str] | None, typer.Option("--f", help="What rules are told: expected in a round, half, twice, or unknown.")
    ] = None,
    confidence: Annotated[
        list[float] | None,
        typer.Option(help="Share of rounds that an f that is not given is enough for."),
    ] = None,
    late: Annotated[list[float] | None, typer.Option(help="Share of these whose answer comes a round late.")] = None,
    batch_norm: Annotated[
        list[str] | None, typer.Option(help="Running statistics: mean of the accepted, robust (medians), or frozen.")
    ] = None,
    forge: Annotated[
        list[str] | None,
        typer.Option(help="What they forge: rows, both (running statistics too), or statistics."),
    ] = None,
    root: Annotated[list[int] | None, typer.Option(help="Samples of the server's own, for rules with data.")] = None,
    root_apart: Annotated[bool | None, typer.Option(help="Whether no client trains on the server's samples.")] = None,
    validation: Annotated[list[float] | None, typer.Option(help="Share of training data to test on instead.")] = None,
    evaluate_every: Annotated[list[int] | None, typer.Option(help="Rounds between tests and checkpoints.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Of everything random.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...")] = None,
    precision: Annotated[list[str] | None, typer.Option(help="Trained in: float32, or bfloat16 on a GPU.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Cores to use; all if not given.")] = None,
    log: Annotated[
        list[str] | None, typer.Option(help="Follow it elsewhere, too: tensorboard, or wandb (offline).")
    ] = None,
    out: Out = None,
    fresh: Annotated[bool, typer.Option(help="Start anew, and delete an earlier run that the folder holds.")] = False,
    as_json_: Json = False,
) -> None:
    """Train a model across clients, some of them byzantine.

    Defaults are the SignGuard paper's setting: Fashion-MNIST, 50 clients, 10 of them byzantine, 1200 rounds.
    Ctrl-C is safe: the same command resumes. Most options may be repeated, --seed 0 --seed 1: every combination is a
    run, on all cores. `fedward sweep` takes such a grid from a file, and keeps it as one table.
    """
    given = {**locals()}  # all options, as long as nothing else has a name here
    from . import commands

    commands.run(given, config=config, out=out, fresh=fresh, threads=threads, as_json=as_json_, log=log or [])


@app.command(cls=Command)
def demo(
    out: Annotated[Path, typer.Option(help="Folder for runs and report.")] = Path("demo"),
    fresh: Annotated[bool, typer.Option(help="Start anew, and delete earlier runs in the folder.")] = False,
    as_json_: Json = False,
) -> None:
    """Four rules under two attacks, on real data that comes with the package: a few minutes, a table and a report."""
    from . import commands

    commands.demo(out, fresh, as_json_)


@app.command(cls=OwnCommand)
def sweep(
    what: Annotated[str, typer.Argument(help="TOML file, or a published table: see `fedward list published`.")],
    profile: Annotated[str | None, typer.Option(help="Of [profiles] in it, such as short.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Cells with key=value, attack=alie; may be repeated.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="So many, 0, 1, ..., in place of those named.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Cells at once; all cores if not given.")] = None,
    ray: Annotated[str | None, typer.Option(help="Work on a Ray cluster: its address, or local.")] = None,
    array: Annotated[bool, typer.Option("--array", help="Print a job script for SLURM, and do nothing.")] = False,
    task: Annotated[str | None, typer.Option(help="Do one share of the cells, NUMBER/COUNT, from 0/COUNT.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is to be done, and how long it takes.")] = False,
    redo: Annotated[bool, typer.Option("--redo", help="Make cells anew that other versions of PyTorch made.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the sweep; sweeps/NAME if not given.")] = None,
    trust_imports: TrustImports = False,
    as_json_: Json = False,
) -> None:
    """Carry out a table of settings: every combination a run, finished ones skipped, all of them one table.

    Ctrl-C is safe, and so is kill: the same command resumes. Several such commands may work at one folder.
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


@app.command(cls=OwnCommand)
def redteam(
    rule: Annotated[
        list[str], typer.Option(help="Rule, or import path of one, such as my.rules.Mine:f=10; all for every rule.")
    ],
    attack: Annotated[list[str] | None, typer.Option(help="Attack to play; everything if none is named.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file; options given here count instead.")] = None,
    trust_imports: TrustImports = False,
    data: Annotated[str | None, typer.Option(help="Data set; the one that comes with the package.")] = None,
    data_path: Annotated[str | None, typer.Option(help="Folder with the data files.")] = None,
    model: Annotated[str | None, typer.Option(help="Model: see `fedward list models`, or an import path.")] = None,
    clients: Annotated[int | None, typer.Option(help="Clients in all.")] = None,
    byzantine: Annotated[str | None, typer.Option(help="How many of them are byzantine, or which: 3,4.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Rounds of the short training runs.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Samples in a client's batch.")] = None,
    lr: Annotated[float | None, typer.Option(help="The server's learning rate.")] = None,
    partition: Annotated[str | None, typer.Option(help="Who holds what: see `fedward list partitions`.")] = None,
    batch_norm: Annotated[
        str | None, typer.Option(help="Running statistics: mean of the accepted, robust (medians), or frozen.")
    ] = None,
    root: Annotated[int | None, typer.Option(help="Samples of the server's own, for rules that use them.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...")] = None,
    worst: Annotated[int, typer.Option(min=0, help="Kinds of attack to train under, the worst first.")] = 3,
    warmup: Annotated[int, typer.Option(min=0, help="Honest rounds before updates are captured.")] = 20,
    captured: Annotated[int, typer.Option(min=1, max=1000, help="Rounds of updates captured.")] = 3,
    out: Annotated[Path, typer.Option(help="Folder for findings and page.")] = Path("redteam"),
    fresh: Annotated[bool, typer.Option(help="Start anew, and delete findings that the folder holds.")] = False,
    as_json_: Json = False,
) -> None:
    """Play every attack at every strength against a rule, on updates of real training, and train under the worst.

    Kappa is the squared distance of the rule's output from the honest mean, in units of the honest updates' mean
    squared distance from it. Ctrl-C is safe: the same command resumes.
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


@app.command(cls=OwnCommand)
def choose(
    rule: Annotated[list[str] | None, typer.Option(help="Candidate; a short list if none is named, or all.")] = None,
    attack: Annotated[list[str] | None, typer.Option(help="Attack to play; everything if none is named.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file; options given here count instead.")] = None,
    trust_imports: TrustImports = False,
    data: Annotated[str | None, typer.Option(help="Data set; the one that comes with the package.")] = None,
    data_path: Annotated[str | None, typer.Option(help="Folder with the data files.")] = None,
    model: Annotated[str | None, typer.Option(help="Model: see `fedward list models`, or an import path.")] = None,
    clients: Annotated[int | None, typer.Option(help="Clients in all.")] = None,
    byzantine: Annotated[str | None, typer.Option(help="How many of them may be byzantine, or which: 3,4.")] = None,
    partition: Annotated[
        list[str] | None, typer.Option(help="Who holds what; may be repeated. IID and a Dirichlet if none is named.")
    ] = None,
    participation: Annotated[float | None, typer.Option(help="Share of clients in a round.")] = None,
    algorithm: Annotated[
        str | None, typer.Option(help="What clients compute, local-sgd:epochs=1,optimizer=adamw,lr=0.001.")
    ] = None,
    rounds: Annotated[int | None, typer.Option(help="Rounds of the short training runs.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Samples in a client's batch.")] = None,
    lr: Annotated[float | None, typer.Option(help="The server's learning rate.")] = None,
    f: Annotated[
        str | None, typer.Option("--f", help="What rules are told: expected in a round, half, twice, or unknown.")
    ] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Of everything random; may be repeated.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...")] = None,
    worst: Annotated[int, typer.Option(min=0, help="Kinds of attack to train under besides, the worst first.")] = 2,
    threads: Annotated[int | None, typer.Option(min=1, help="Cores to use; all if not given.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for findings and page.")] = Path("choice"),
    fresh: Annotated[bool, typer.Option(help="Start anew, and delete findings that the folder holds.")] = False,
    as_json_: Json = False,
) -> None:
    """Rank rules for a federation like yours: trained under the usual attacks, and under the worst against each.

    The line to paste comes last. Ctrl-C is safe: the same command resumes.
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


@app.command(cls=Command)
def report(
    runs: Annotated[
        list[Path], typer.Argument(help="Folders of runs, folders of such folders, or audits of Flower federations.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="What to write: .html, or of a sweep .csv, .md, .tex, .svg, .pdf, .bib.")
    ] = Path("report.html"),
    title: Annotated[str | None, typer.Option(help="Its heading.")] = None,
    spec: Annotated[
        str | None, typer.Option("--sweep", help="What the runs are of: a TOML file, or see `fedward list published`.")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="Of the sweep, such as short.")] = None,
    figure: Annotated[
        str | None, typer.Option(help="For .svg and .pdf: curves, or an axis such as byzantine or partition.s.")
    ] = None,
) -> None:
    """Write about runs: a self-contained HTML page, or tables, figures and BibTeX for a paper.

    Of single runs the page shows accuracy, who was accepted, signs, verdicts by client. Of a folder of runs, a sweep,
    it compares: rules by attacks over all seeds beside published numbers, curves, axes, and every cell.
    """
    from . import commands

    commands.report(runs, out, title, spec=spec, profile=profile, figure=figure)


@app.command(cls=Watching)
def watch(
    audit: Annotated[Path, typer.Argument(help="Audit of a Flower federation, or the folder that holds audit.jsonl.")],
    serve: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, metavar="[PORT]", help="Serve a page instead; at any free port if none is said."
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Where to serve it; others than this machine may read it then.")
    ] = "127.0.0.1",
    once: Annotated[bool, typer.Option("--once", help="Tell what is there, and end.")] = False,
    as_json_: Json = False,
) -> None:
    """Follow a federation while it runs: who is accepted, who is dropped and why, how the model does.

    A table where there is a terminal, else a line a round. Ctrl-C ends it. The file may not be there yet.
    """
    from . import watching

    watching.watch(audit, serve=serve, host=host, once=once, as_json=as_json_)


Clients = Annotated[list[str], typer.Argument(help="Files, folders or globs that hold models, one a client.")]
Base = Annotated[
    str | None,
    typer.Option(help="The model that clients started from; or mean-of-clients, median-of-clients."),
]
Raw = Annotated[bool, typer.Option(help="Take what clients sent as updates, even if it looks like weights.")]
Key = Annotated[str | None, typer.Option(help="Where .pt files have the model, such as model.state.")]
Strict = Annotated[bool, typer.Option(help="Fail if a client's files cannot be used.")]
Calibrate = Annotated[bool, typer.Option(help="Say what of known attacks the panel would have caught here.")]
Page = Annotated[Path | None, typer.Option("--report", help="Write an HTML page about every client, too.")]
Seed = Annotated[int, typer.Option(help="Of everything random.")]


@app.command(cls=Judgement)
def aggregate(
    clients: Clients,
    rule: Annotated[str, typer.Option(help="Defence, such as multi-krum:f=2.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The model to write, or for adapters a new folder.")],
    base: Base = None,
    raw: Raw = False,
    key: Key = None,
    rank: Annotated[int | None, typer.Option(min=1, help="Of an adapter; the largest that was accepted.")] = None,
    merge: Annotated[Merging, typer.Option(help="How adapters become one.")] = Merging.SVD,
    strict: Strict = False,
    page: Page = None,
    calibrate: Calibrate = False,
    seed: Seed = 0,
    as_json_: Json = False,
) -> None:
    """Aggregate files of clients, and say who was dropped and why.

    Exit status: 0 if all clients were accepted, 3 if some were dropped, 2 if nothing could be done.
    """
    from . import audits

    source = audits.source(clients, base=base, raw=raw, key=key, strict=strict)
    adapter = {"rank": rank, "merge": merge.value}
    audits.aggregate(source, rule, out, adapter=adapter, page=page, calibrate=calibrate, seed=seed, as_json=as_json_)


@app.command(cls=Judgement)
def audit(
    clients: Clients,
    base: Base = None,
    rule: Annotated[
        list[str] | None, typer.Option(help="Rules to ask, may be repeated; five different ideas if none is named.")
    ] = None,
    f: Annotated[
        int | None, typer.Option("--f", min=0, help="Byzantine clients, for rules that are told; a fifth.")
    ] = None,
    votes: Annotated[int | None, typer.Option(min=1, help="Rules that must suspect a client; two in five.")] = None,
    raw: Raw = False,
    key: Key = None,
    strict: Strict = False,
    page: Page = None,
    calibrate: Calibrate = False,
    seed: Seed = 0,
    as_json_: Json = False,
) -> None:
    """Say which of these clients are poisoned, by several rules side by side.

    Exit status: 0 if all clients were accepted, 3 if some were dropped, 2 if nothing could be done.
    """
    from . import audits

    source = audits.source(clients, base=base, raw=raw, key=key, strict=strict)
    audits.audit(source, rule or [], f=f, votes=votes, page=page, calibrate=calibrate, seed=seed, as_json=as_json_)


@app.command("list", cls=Command)
def list_(what: Annotated[Listing, typer.Argument(help="What to list.")], as_json_: Json = False) -> None:
    """List rules, mixers, attacks, client algorithms, data sets, partitions, models, server optimisers or schedules."""
    from . import commands

    commands.list_(what.value, as_json_)
