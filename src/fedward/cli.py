"""The command line: run, demo, redteam, report, list."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from . import __version__, catalogue, display
from .experiments.pool import cores
from .experiments.report import ReportError, write_report
from .experiments.run import Summary, execute, run_grid
from .experiments.spec import RunSpec, SpecError, file_name, load_spec, make_spec
from .experiments.store import RunFolder
from .notation import describe, parse
from .redteam import EVERYTHING, Examination, RedTeamError, examination_steps, examine, examine_all, write_page
from .sim import MODELS, CheckpointError, DataError
from .sim.data import SOURCES

app = typer.Typer(
    name="fedward",
    help="Keeps federated training on course when some of the clients lie.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

_INTERRUPTED = 130

DEMO: Mapping[str, Any] = {
    "data": "fashion-mnist-subset",
    "clients": 50,
    "byzantine": 10,
    "rounds": 120,
    "batch_size": 20,
    "evaluate_every": 10,
    "lr": 0.05,
}
DEMO_RULES = ("mean", "median", "multi-krum", "sign-guard")
DEMO_ATTACKS = ("alie", "min-max")


RED_TEAM: Mapping[str, Any] = {
    "data": "fashion-mnist-subset",
    "rounds": 60,
    "batch_size": 20,
    "lr": 0.05,
}


class Listing(StrEnum):
    """What can be listed."""

    RULES = "rules"
    MIXERS = "mixers"
    ATTACKS = "attacks"
    CLIENTS = "clients"
    DATA = "data"
    MODELS = "models"


Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs on standard output.")]
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


@app.command()
def run(
    config: Annotated[Path | None, typer.Option(help="TOML file; options given here count instead.")] = None,
    data: Annotated[str | None, typer.Option(help="Data set: see `fedward list data`.")] = None,
    data_path: Annotated[str | None, typer.Option(help="Folder with the data files.")] = None,
    model: Annotated[str | None, typer.Option(help="Model: see `fedward list models`.")] = None,
    rule: Annotated[list[str] | None, typer.Option(help="Defence, such as multi-krum:f=10; may be repeated.")] = None,
    attack: Annotated[list[str] | None, typer.Option(help="Attack, such as alie:z=1; may be repeated.")] = None,
    clients: Annotated[int | None, typer.Option(help="Clients in all.")] = None,
    byzantine: Annotated[int | None, typer.Option(help="Byzantine clients among them.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Rounds in all.")] = None,
    algorithm: Annotated[
        str | None, typer.Option(help="What clients compute, such as local-sgd:epochs=1,optimizer=adamw,lr=0.001.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Samples in a client's batch.")] = None,
    lr: Annotated[float | None, typer.Option(help="The server's learning rate; 1 adds deltas as they are.")] = None,
    momentum: Annotated[float | None, typer.Option(help="The server's momentum.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="The server's weight decay.")] = None,
    partition: Annotated[str | None, typer.Option(help="iid, s-fraction:s=0.5, degree:p=0.5, ...")] = None,
    byzantine_data: Annotated[str | None, typer.Option(help="What byzantine clients hold: own shard, or all.")] = None,
    participation: Annotated[float | None, typer.Option(help="Share of the clients in a round.")] = None,
    dropout: Annotated[float | None, typer.Option(help="Share of these that never answer.")] = None,
    late: Annotated[float | None, typer.Option(help="Share of these whose answer comes a round late.")] = None,
    batch_norm: Annotated[str | None, typer.Option(help="Running statistics: mean of the accepted, or frozen.")] = None,
    root: Annotated[int | None, typer.Option(help="Samples of the server's own, for rules that use them.")] = None,
    evaluate_every: Annotated[int | None, typer.Option(help="Rounds between tests and checkpoints.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...")] = None,
    threads: Annotated[int | None, typer.Option(help="Cores that a single run uses; all if not given.")] = None,
    out: Out = None,
    fresh: Annotated[bool, typer.Option(help="Start anew even if the folder holds an earlier run.")] = False,
    as_json_: Json = False,
) -> None:
    """Train a model across clients, some of them byzantine.

    Defaults are the SignGuard paper's setting: Fashion-MNIST, 50 clients, 10 of them byzantine, 1200 rounds.
    Ctrl-C is safe, and the same command goes on from there. Several rules or attacks make a grid, run on all cores.
    """
    given = {k: v for k, v in locals().items() if k in RunSpec.model_fields and v is not None}
    with _plain_errors():
        rules, attacks = given.pop("rule", []), given.pop("attack", [])
        specs = [_spec(config, {**given, **choice}) for choice in _choices(rules, attacks)]
        if len(specs) > 1:
            parent = out or Path("runs")
            summaries = _grid({parent / spec.name(): spec for spec in specs}, fresh)
        else:
            summaries = [_single(specs[0], out or Path("runs") / specs[0].name(), fresh, threads)]
        _show(summaries, as_json_)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for runs and report.")] = Path("demo"),
    fresh: Annotated[bool, typer.Option(help="Start anew.")] = False,
    as_json_: Json = False,
) -> None:
    """Four rules under two attacks, on real data that comes with the package: a few minutes, a table and a report."""
    with _plain_errors():
        specs = [make_spec({**DEMO, "attack": a, "rule": r}) for a, r in product(DEMO_ATTACKS, DEMO_RULES)]
        jobs = {out / f"{spec.rule}-{spec.attack}": spec for spec in specs}
        display.err.print(
            f"{DEMO['clients']} clients train a CNN on 10,000 images of clothing for {DEMO['rounds']} rounds; "
            f"{DEMO['byzantine']} of them lie."
        )
        summaries = _grid(jobs, fresh)
        page = write_report(list(jobs), out / "report.html", title="fedward: four rules under two attacks")
        _show(summaries, as_json_, page)


@app.command()
def redteam(
    rule: Annotated[
        list[str], typer.Option(help="Rule, or import path of one, such as my.rules.Mine:f=10; all for every rule.")
    ],
    attack: Annotated[list[str] | None, typer.Option(help="Attack to play; everything if none is named.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file; options given here count instead.")] = None,
    data: Annotated[str | None, typer.Option(help="Data set; the one that comes with the package.")] = None,
    data_path: Annotated[str | None, typer.Option(help="Folder with the data files.")] = None,
    model: Annotated[str | None, typer.Option(help="Model: see `fedward list models`.")] = None,
    clients: Annotated[int | None, typer.Option(help="Clients in all.")] = None,
    byzantine: Annotated[int | None, typer.Option(help="Byzantine clients among them.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Rounds of the short training runs.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Samples in a client's batch.")] = None,
    lr: Annotated[float | None, typer.Option(help="The server's learning rate.")] = None,
    partition: Annotated[str | None, typer.Option(help="iid, or s-fraction:s=0.5.")] = None,
    root: Annotated[int | None, typer.Option(help="Samples of the server's own, for rules that use them.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...")] = None,
    worst: Annotated[int, typer.Option(min=0, help="Kinds of attack to train under, the worst first.")] = 3,
    warmup: Annotated[int, typer.Option(min=0, help="Honest rounds before updates are captured.")] = 20,
    captured: Annotated[int, typer.Option(min=1, help="Rounds of updates captured.")] = 3,
    out: Annotated[Path, typer.Option(help="Folder for findings and page.")] = Path("redteam"),
    fresh: Annotated[bool, typer.Option(help="Start anew even if the folder holds findings.")] = False,
    as_json_: Json = False,
) -> None:
    """Play every attack at every strength against a rule, on updates of real training, and train under the worst.

    Kappa is the squared distance of the rule's output from the honest mean, in units of the honest updates' mean
    squared distance from it. Ctrl-C is safe, and the same command goes on from there.
    """
    given = {k: v for k, v in locals().items() if k in RunSpec.model_fields and v is not None}
    del given["rule"]
    given.pop("attack", None)
    base = given if config else {**RED_TEAM, **given}
    with _plain_errors():
        options: dict[str, Any] = {"warmup": warmup, "rounds": captured, "worst": worst}
        options |= {"attacks": [_checked(text) for text in attack]} if attack else {}
        jobs, refused = _examined(rule, config, base, out)
        if fresh:
            for file in jobs:
                file.unlink(missing_ok=True)
        examinations = _examine(jobs, options)
        page = write_page(examinations, refused, out / "report.html")
        if as_json_:
            found = [e.to_json() for e in examinations]
            typer.echo(json.dumps({"examinations": found, "refused": refused, "report": str(page)}, indent=1))
            return
        display.out.print(display.examination_table(examinations))
        for name, why in refused.items():
            display.out.print(f"not examined: {name}: {why}", soft_wrap=True, highlight=False)
        display.out.print(f"Report: {page}", soft_wrap=True, highlight=False)


def _checked(attack: str) -> str:
    try:
        parse(attack, "attack")
    except ValueError as error:
        raise SpecError(f"attack: {error}") from None
    return attack


def _examined(
    rules: list[str], config: Path | None, base: Mapping[str, Any], out: Path
) -> tuple[dict[Path, RunSpec], dict[str, str]]:
    """Specifications by file, and which of all rules cannot be examined in this setting, and why."""
    jobs, refused = {}, {}
    for rule in rules:
        for text in _catalogue_rules(_spec(config, {**base, "rule": "mean"}).byzantine) if rule == "all" else [rule]:
            try:
                spec = _spec(config, {**base, "rule": text, "attack": "no-attack"})
            except SpecError as error:
                if rule != "all":
                    raise
                refused[text] = str(error)
                continue
            jobs[out / f"{file_name(spec.resolved()['rule'])}.jsonl"] = spec
    return jobs, refused


def _catalogue_rules(f: int) -> list[str]:
    return [describe(e.build(f=f) if e.needs_f else e.build()) for e in catalogue("rule")]


def _examine(jobs: Mapping[Path, RunSpec], options: Mapping[str, Any]) -> list[Examination]:
    steps = examination_steps(options.get("attacks", EVERYTHING), options["worst"])
    rules = [spec.resolved()["rule"] for spec in jobs.values()]
    with display.examination_progress(rules, steps) as bar:
        if len(jobs) == 1:
            [(file, spec)] = jobs.items()
            torch.set_num_threads(1)

            def follow(what: str, done: int, total: int) -> None:
                bar.update(bar.task_ids[0], completed=done, total=total, description=f"{rules[0]}: {what}")

            return [examine(spec, file, on_progress=follow, **options)]

        def show(results: Mapping[Path, int]) -> None:
            for task, count in zip(bar.task_ids, results.values(), strict=True):
                bar.update(task, completed=count)

        return list(examine_all(jobs, on_progress=show, **options).values())


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, or audits of Flower federations.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write.")] = Path("report.html"),
    title: Annotated[str, typer.Option(help="Its heading.")] = "fedward report",
) -> None:
    """Write one self-contained HTML page about runs: accuracy, who was accepted, signs, verdicts by client."""
    with _plain_errors():
        page = write_report(runs, out, title=title)
        display.out.print(f"Report: {page}", soft_wrap=True, highlight=False)


@app.command("list")
def list_(what: Annotated[Listing, typer.Argument(help="What to list.")], as_json_: Json = False) -> None:
    """List rules, mixers, attacks, client algorithms, data sets or models."""
    if what is Listing.DATA:
        rows = [{"name": s.name, "source": "part of the package" if s.packaged else s.remedy()} for s in SOURCES]
    elif what is Listing.MODELS:
        counts = {name: sum(p.numel() for p in make().parameters()) for name, make in MODELS.items()}
        rows = [{"name": name, "parameters": f"{count:,}"} for name, count in counts.items()]
    else:
        kind = what.value.removesuffix("s")
        if not as_json_:
            display.out.print(display.catalogue_table(catalogue(kind)))
            return
        rows = [_entry_json(e) for e in catalogue(kind)]
    if as_json_:
        typer.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        name, fact = row.values()
        display.out.print(f"[bold]{name}[/bold]: {fact}", highlight=False)


def _entry_json(entry: Any) -> dict[str, Any]:
    arguments = {k: None if v is ... else str(v) for k, v in entry.arguments.items()}
    keys = ["name", "kind", "summary", "paper", "bound", "statistics", "passes", "complexity"]
    keys += ["needs_f", "history", "root_data"]
    return {**{key: getattr(entry, key) for key in keys}, "arguments": arguments}


def _choices(rules: list[str], attacks: list[str]) -> Iterator[dict[str, str]]:
    """Every attack with every rule; keys that were not given are left to the file and the defaults."""
    by_attack = [{"attack": a} for a in attacks] or [{}]
    by_rule = [{"rule": r} for r in rules] or [{}]
    for attack, rule in product(by_attack, by_rule):
        yield {**attack, **rule}


def _spec(config: Path | None, values: Mapping[str, Any]) -> RunSpec:
    return make_spec(values) if config is None else load_spec(config, **values)


def _single(spec: RunSpec, path: Path, fresh: bool, threads: int | None) -> Summary:
    torch.set_num_threads(1)  # in each of the threads that clients are spread over
    if fresh:
        RunFolder(path).clear()
    with display.RunProgress(spec) as progress:
        return execute(spec, path, on_record=progress, threads=threads or cores())


def _grid(jobs: Mapping[Path, RunSpec], fresh: bool) -> list[Summary]:
    if fresh:
        for path in jobs:
            RunFolder(path).clear()
    with display.grid_progress(jobs) as bar:

        def show(rounds: Mapping[Path, int]) -> None:
            for task, count in zip(bar.task_ids, rounds.values(), strict=True):
                bar.update(task, completed=count)

        return list(run_grid(jobs, on_progress=show).values())


def _show(summaries: list[Summary], as_json_: bool, page: Path | None = None) -> None:
    if as_json_:
        typer.echo(json.dumps({"runs": [asdict(s) for s in summaries], "report": page and str(page)}, indent=1))
        return
    display.out.print(display.summary_table(summaries))
    for note in display.notes(summaries):
        display.out.print(note, soft_wrap=True, highlight=False)
    folders = " ".join(s.folder for s in summaries)
    hint = f"Report: {page}" if page else f"Pictures: fedward report {folders}"
    display.out.print(hint, soft_wrap=True, highlight=False)


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Errors that a user can mend, as a sentence instead of a traceback."""
    try:
        yield
    except (SpecError, DataError, CheckpointError, ReportError, RedTeamError, OSError) as error:
        hint = ""
        if isinstance(error, CheckpointError):
            hint = " (--out), or start anew (--fresh)."
        elif isinstance(error, DataError):
            hint = " Or take the data that comes with fedward: --data fashion-mnist-subset."
        display.err.print(f"[bold red]Error[/bold red] {_escaped(str(error))}{hint}", soft_wrap=True, highlight=False)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        display.err.print("Stopped; what was done is saved. The same command goes on from there.")
        raise typer.Exit(_INTERRUPTED) from None


def _escaped(text: str) -> str:
    return text.replace("[", r"\[")
