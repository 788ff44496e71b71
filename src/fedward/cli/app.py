"""The command line: run, demo, redteam, report, list. What these do is in `commands`, loaded when one is given."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from .. import __version__
from ..failures import sentence
from .terminal import INTERRUPTED, interrupts_raise, say_error

app = typer.Typer(
    name="fedward",
    help="Keeps federated training on course when some of the clients lie.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Command(TyperCommand):
    """A command that refuses an option given twice, and says in a sentence what went wrong."""

    failed = 1
    """Exit status after an error."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Arguments and options by name. Of an option that takes one value, no second one may replace the first."""
        if any("\0" in arg for arg in args):  # only a program can say that, and no file is called so
            raise typer.BadParameter("there is a null character in what was given; leave it out.", ctx)
        if not ctx.resilient_parsing:
            _, _, order = self.make_parser(ctx).parse_args(args=list(args))
            for param, times in Counter(order).items():
                several = param.multiple or param.is_eager or param.param_type_name == "argument"
                if times > 1 and not several:
                    raise typer.BadParameter(f"given {times} times, but it takes one value; give it once.", ctx, param)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Carry the command out."""
        try:
            from . import commands  # noqa: F401  # all that takes long to load

            interrupts_raise()
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("Stopped; what was done is saved. The same command resumes.", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except (typer.Exit, typer.Abort, typer.BadParameter, BrokenPipeError):
            raise
        except Exception as error:
            say_error(sentence(error))
            raise typer.Exit(self.failed) from None


class Judgement(Command):
    """A command whose status 3 says that somebody was dropped; 2 is any error, as it is for wrong options."""

    failed = 2


class Merging(StrEnum):
    """How adapters become one."""

    SVD = "svd"
    AVERAGE = "average"


class OwnCommand(Command):
    """One whose user may name modules of the working folder; the others never load any from there."""

    def invoke(self, ctx: Any) -> Any:
        """Carry the command out."""
        from .imports import own_modules

        with own_modules(ctx.params.values(), trust=ctx.params.get("trust_imports", False)):
            return super().invoke(ctx)


class Listing(StrEnum):
    """What can be listed."""

    RULES = "rules"
    MIXERS = "mixers"
    ATTACKS = "attacks"
    CLIENTS = "clients"
    DATA = "data"
    PARTITIONS = "partitions"
    MODELS = "models"
    SERVERS = "servers"
    SCHEDULES = "schedules"
    PUBLISHED = "published"


Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs on standard output.")]
TrustImports = Annotated[
    bool, typer.Option("--trust-imports", help="Run the modules that import paths in --config name: the file is yours.")
]
Out = Annotated[Path | None, typer.Option(help="Folder for the run; for several runs, their parent.")]


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
    data: Annotated[str | None, typer.Option(help="Data set: see `fedward list data`, or an import path.")] = None,
    data_path: Annotated[str | None, typer.Option(help="Folder with the data files.")] = None,
    model: Annotated[str | None, typer.Option(help="Model: see `fedward list models`, or an import path.")] = None,
    rule: Annotated[list[str] | None, typer.Option(help="Defence, such as multi-krum:f=10; may be repeated.")] = None,
    attack: Annotated[list[str] | None, typer.Option(help="Attack, such as alie:z=1; may be repeated.")] = None,
    clients: Annotated[int | None, typer.Option(help="Clients in all.")] = None,
    byzantine: Annotated[str | None, typer.Option(help="How many of them are byzantine, or which: 3,4.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Rounds in all.")] = None,
    algorithm: Annotated[
        str | None, typer.Option(help="What clients compute, such as local-sgd:epochs=1,optimizer=adamw,lr=0.001.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Samples in a client's batch.")] = None,
    server: Annotated[
        str | None, typer.Option(help="Its optimiser, such as fed-adam:lr=0.01: see `fedward list servers`.")
    ] = None,
    lr: Annotated[float | None, typer.Option(help="The server's learning rate; 1 adds deltas as they are.")] = None,
    momentum: Annotated[float | None, typer.Option(help="The server's momentum.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="The server's weight decay.")] = None,
    partition: Annotated[
        str | None, typer.Option(help="Who holds what, s-fraction:s=0.5: see `fedward list partitions`.")
    ] = None,
    byzantine_data: Annotated[str | None, typer.Option(help="What byzantine clients hold: own shard, or all.")] = None,
    participation: Annotated[
        float | None, typer.Option(help="Share of the clients in a round; below 1 an f that is not given is smaller.")
    ] = None,
    dropout: Annotated[float | None, typer.Option(help="Share of these that never answer.")] = None,
    f: Annotated[
        str | None, typer.Option("--f", help="What rules are told: expected in a round, half, twice, or unknown.")
    ] = None,
    confidence: Annotated[
        float | None, typer.Option(help="Share of rounds with no more byzantine answers than an f that is not given.")
    ] = None,
    late: Annotated[float | None, typer.Option(help="Share of these whose answer comes a round late.")] = None,
    batch_norm: Annotated[
        str | None, typer.Option(help="Running statistics: mean of the accepted, robust (medians), or frozen.")
    ] = None,
    forge: Annotated[
        str | None, typer.Option(help="What byzantine clients forge: rows, both (running statistics too), statistics.")
    ] = None,
    root: Annotated[int | None, typer.Option(help="Samples of the server's own, for rules that use them.")] = None,
    root_apart: Annotated[bool | None, typer.Option(help="Whether no client trains on the server's samples.")] = None,
    validation: Annotated[float | None, typer.Option(help="Share of the training data to test on instead.")] = None,
    evaluate_every: Annotated[int | None, typer.Option(help="Rounds between tests and checkpoints.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...")] = None,
    precision: Annotated[str | None, typer.Option(help="Trained in: float32, or bfloat16 on a GPU.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Cores to use; all if not given.")] = None,
    out: Out = None,
    fresh: Annotated[bool, typer.Option(help="Start anew, and delete an earlier run that the folder holds.")] = False,
    as_json_: Json = False,
) -> None:
    """Train a model across clients, some of them byzantine.

    Defaults are the SignGuard paper's setting: Fashion-MNIST, 50 clients, 10 of them byzantine, 1200 rounds.
    Ctrl-C is safe: the same command resumes. Several rules or attacks make a grid, run on all cores.
    """
    given = {**locals()}  # all options, as long as nothing else has a name here
    from . import commands

    commands.run(given, config=config, out=out, fresh=fresh, threads=threads, as_json=as_json_)


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


@app.command(cls=Command)
def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, or audits of Flower federations.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write.")] = Path("report.html"),
    title: Annotated[str, typer.Option(help="Its heading.")] = "fedward report",
) -> None:
    """Write one self-contained HTML page about runs: accuracy, who was accepted, signs, verdicts by client."""
    from . import commands

    commands.report(runs, out, title)


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


data_app = typer.Typer(
    name="data", help="Data sets: which there are, and what clients would hold of one.", no_args_is_help=True
)
app.add_typer(data_app)


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
