"""What the commands of the command line do."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

import torch
import typer

from .. import catalogue, published
from ..core import reads
from ..data.named import KNOWN
from ..disk import check_folder
from ..experiments.load import load_spec, names_in_config, toml_table
from ..experiments.loggers import LOGGERS, make_logger
from ..experiments.pool import Failed, cores_of
from ..experiments.run import Summary, execute, run_grid
from ..experiments.spec import RunSpec, SpecError, each_rule, file_name, make_spec
from ..redteam import (
    Examination,
    check_attacked,
    checked_attack,
    examination_steps,
    examine,
    examine_all,
    played_on,
)
from ..redteam.examine import set_outdated_aside
from ..registry.entries import Entry
from ..registry.naming import unknown
from ..registry.notation import short_for
from ..report import (
    is_of_several,
    is_sweep,
    read_stored,
    read_sweep_runs,
    write_examinations,
    write_report,
    write_sweep_as,
)
from ..report.labels import with_labels
from ..report.parents import unfolded
from ..report.sweep_finished import left_out
from ..report.sweep_measures import measure_of
from ..sim import Record
from ..sweeps import Sweep, read_sweep
from ..sweeps.grid import has_several
from . import display, sweeping
from .imports import is_own
from .progress import JobsProgress, RunProgress
from .terminal import say_error

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

KINDS: Mapping[str, str] = {
    "rules": "rule",
    "mixers": "mixer",
    "attacks": "attack",
    "clients": "client",
    "data": "data set",
    "partitions": "partition",
    "models": "model",
    "servers": "server",
    "schedules": "schedule",
}
"""What the catalogue calls what can be listed."""

RED_TEAM: Mapping[str, Any] = {
    "data": "fashion-mnist-subset",
    "rounds": 60,
    "batch_size": 20,
    "lr": 0.05,
}
"""What rules are examined on where nothing else is said, and there is no file either; lr is the gradient's."""


def run(
    given: Mapping[str, Any],
    *,
    config: Path | None,
    out: Path | None,
    fresh: bool,
    threads: int | None,
    as_json: bool,
    log: list[str],
) -> None:
    """One run, or a sweep where there are several values of a key."""
    for what in log:
        if what not in LOGGERS:
            raise SpecError(unknown("logger", what, LOGGERS))
    typed = {key: _value(value) for key, value in _spec_keys(given).items()}
    trust = _trusted(config, given)
    table = typed if config is None else {**toml_table(config), **typed}
    if "byzantine" not in typed:
        display.say_ids(table.get("byzantine"))
    if has_several(table):
        sweep = sweeping.of_values(table, typed, config, trust)
        _warn(cell.spec for cell in sweep.cells)
        if log:
            raise SpecError(f"--log {log[0]} follows one run, and these are {len(sweep.cells)}; leave it out")
        sweeping.run_values(sweep, Path("runs"), out, fresh=fresh, workers=threads, as_json=as_json)
        return
    spec = _spec(config, typed, trust)
    _warn([spec])
    path = out or Path("runs") / spec.name()
    if is_sweep(path):
        raise SpecError(f"{path} is the folder of a sweep, and this is a single run: give it another, --out {path}-2")
    _show({path: _single(spec, path, fresh, threads, log)}, as_json)


def _value(given: Any) -> Any:
    """What was given for a key: one value, or a list of several. A value that is given twice is one."""
    if not isinstance(given, list):
        return given
    values = list(dict.fromkeys(given))
    return values[0] if len(values) == 1 else values


def _warn(specs: Iterable[RunSpec]) -> None:
    """Say what nothing can promise in these settings, each sentence once."""
    for warning in dict.fromkeys(spec.warning for spec in specs if spec.warning):
        display.say(warning, display.err)


def demo(out: Path, fresh: bool, as_json: bool) -> None:
    """The demonstration: a grid, and a report about it."""
    specs = [make_spec({**DEMO, "attack": a, "rule": r}) for a, r in product(DEMO_ATTACKS, DEMO_RULES)]
    jobs = {out / f"{spec.rule}-{spec.attack}": spec for spec in specs}
    display.err.print(
        f"{DEMO['clients']} clients train a CNN on 10,000 images of clothing for {DEMO['rounds']} rounds; "
        f"{DEMO['byzantine']} of them lie."
    )
    outcomes = _grid(jobs, fresh)
    done = [path for path, outcome in outcomes.items() if not isinstance(outcome, Failed)]
    title = "fedward: four rules under two attacks"
    page = write_report(done, out / "report.html", title=title) if done else None
    _show(outcomes, as_json, page)


def redteam(
    rules: list[str],
    attacks: list[str] | None,
    given: Mapping[str, Any],
    *,
    config: Path | None,
    settings: Mapping[str, int],
    out: Path,
    fresh: bool,
    as_json: bool,
) -> None:
    """Examine rules, and write the page about them."""
    options = {key: value for key, value in _spec_keys(given).items() if key not in ("rule", "attack")}
    how: dict[str, Any] = {**settings, "attacks": [checked_attack(text) for text in attacks] if attacks else None}
    base = options if config else {**RED_TEAM, **options}
    jobs, refused = _examined(rules, config, base, out, _trusted(config, given))
    if fresh:
        for file in jobs:
            file.unlink(missing_ok=True)
    for sentence in set_outdated_aside(jobs, **how):
        display.say(sentence, display.err)
    outcomes = _examine(jobs, how)
    examinations = [outcome for outcome in outcomes.values() if isinstance(outcome, Examination)]
    failed = {str(file): outcome.why for file, outcome in outcomes.items() if isinstance(outcome, Failed)}
    page = write_examinations(examinations, refused | failed, out / "report.html") if examinations else None
    if as_json:
        found = [e.to_json() for e in examinations]
        told = {"examinations": found, "refused": refused, "failed": failed, "report": page and str(page)}
        typer.echo(json.dumps(told, indent=1))
    elif page:
        display.out.print(display.examination_table(examinations))
        told_of = (display.worst_told, display.statistics_told, display.refusals_told)
        for line in (line for each in told_of for line in each(examinations)):
            display.say(line)
        for name, why in refused.items():
            display.say(f"not examined: {name}: {why}")
        display.say(f"Report: {page}")
    _complain(failed)


def report(
    runs: list[Path],
    out: Path,
    title: str | None,
    *,
    spec: str | None,
    profile: str | None,
    figure: str | None,
    labels: Sequence[str] = (),
    measure: str | None = None,
) -> None:
    """Write the page about runs or a sweep, or a sweep in the format that a file's ending names."""
    check_folder(out)
    if spec is None:
        parts = [unfolded(path) for path in runs]
        runs = list(dict.fromkeys(path for part in parts for path in part.paths))
        for note in filter(None, (part.note for part in parts)):
            display.say(note, display.err)
    if profile is not None and spec is None:
        raise SpecError(f"--profile {profile}: of which sweep? give --sweep, too")
    alone = out.suffix.lower() == ".html" and spec is None and figure is None and not labels and not measure
    if alone and not any(is_of_several(path) or is_sweep(path) for path in runs):
        display.say(f"Report: {write_report(runs, out, title=title or 'fedward report')}")
        return
    sweep = None if spec is None else _sweep(spec, profile)
    if len(runs) == 1 and sweep is None and is_sweep(runs[0]):
        data = read_stored(runs[0])
        heading = title or data.title
    else:
        heading = title or (sweep.title if sweep else ", ".join(run.resolve().name for run in runs))
        data = read_sweep_runs(runs, heading, sweep)
    shown = replace(data, title=heading, measure=measure_of(measure or data.measure).key)
    written = write_sweep_as(with_labels(shown, labels), out, figure, titled=title is not None)
    for note in left_out(data, out.suffix):
        display.say(note, display.err)
    display.say(f"Report: {written}")


def _sweep(spec: str, profile: str | None) -> Sweep:
    """The sweep of a file, or a published one."""
    if spec in published.names():
        return published.read(spec, profile=profile)
    if not Path(spec).exists():
        raise SpecError(unknown("published sweep, and no file,", spec, published.names(), "fedward list published"))
    with names_in_config(trust_imports=is_own(Path(spec))):
        return read_sweep(Path(spec), profile=profile)


def list_(what: str, as_json: bool) -> None:
    """List one kind of what there is."""
    if what == "published":
        _list_published(as_json)
        return
    entries = catalogue(KINDS[what])
    if what == "data":
        rows = [{"name": e.name, "source": _place(e)} for e in entries]
    elif what == "models":
        rows = [{"name": e.name, "parameters": _size(e)} for e in entries]
    elif as_json:
        rows = [_entry_json(e) for e in entries]
    else:
        display.out.print_prose(display.catalogue_table(entries))
        return
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        name, fact = row.values()
        display.say(f"{name}: {fact}")


def _list_published(as_json: bool) -> None:
    """List published tables and figures: what ``fedward sweep`` takes, and how many of its numbers are known."""
    rows = []
    for name in published.names():
        known = published.look_up(name)
        cells = len(published.read(name).cells)
        rows.append({"name": name, "title": known.title, "cells": cells, "numbers": len(known.numbers)})
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        display.say(f"{row['name']}: {row['title']} ({row['cells']} cells, {row['numbers']} published numbers)")


def _place(entry: Entry) -> str:
    """Where a data set comes from."""
    source = KNOWN.get(entry.name)
    if source is None:
        return entry.summary
    return "part of the package" if source.packaged else source.remedy()


def _size(entry: Entry) -> str:
    """How many parameters a model has; of one that is another library's, what it must be told."""
    if ... in entry.arguments.values():
        return f"those of {', '.join(name for name, default in entry.arguments.items() if default is ...)}=..."
    return f"{sum(p.numel() for p in entry.build().parameters()):,}"


def _spec_keys(given: Mapping[str, Any]) -> dict[str, Any]:
    """Of the options of a command, those that are keys of a specification and were given."""
    return {key: value for key, value in given.items() if key in RunSpec.model_fields and value is not None}


def _examined(
    rules: list[str], config: Path | None, base: Mapping[str, Any], out: Path, trust: bool
) -> tuple[dict[Path, RunSpec], dict[str, str]]:
    """Specifications by file, and which of all rules cannot be examined in this setting, and why."""
    plain = _spec(config, {**base, "rule": "mean"}, trust)
    check_attacked(plain)
    f = None if plain.f == "unknown" else plain.answers.byzantine
    specs, refused = each_rule(
        rules, lambda rule: _spec(config, {**base, "rule": rule, "attack": "no-attack"}, trust), f
    )
    jobs = {out / f"{file_name(spec.resolved()['rule'])}.jsonl": spec for spec in specs.values()}
    return jobs, refused


def _examine(jobs: Mapping[Path, RunSpec], options: Mapping[str, Any]) -> Mapping[Path, Examination | Failed]:
    """Examine rules, a single one in this process, where what is being played can be shown."""
    titles = {}
    for file, spec in jobs.items():
        attacks = played_on(spec.make_rule(), options.get("attacks"))
        titles[file] = (spec.resolved()["rule"], examination_steps(attacks, options["worst"]))
    with JobsProgress(titles, even=False) as progress:
        if len(jobs) != 1:
            return examine_all(jobs, on_progress=progress, **options)
        [(file, spec)] = jobs.items()
        torch.set_num_threads(1)

        def follow(what: str, done: int, total: int) -> None:
            progress.follow(file, what, done, even=what.startswith("training"))

        return {file: examine(spec, file, on_progress=follow, **options)}


def _entry_json(entry: Entry) -> dict[str, Any]:
    arguments = {k: None if v is ... else str(v) for k, v in entry.arguments.items()}
    first = {key: getattr(entry, key) for key in ("name", "kind", "summary", "paper", "bound", "definition")}
    last = {key: getattr(entry, key) for key in ("passes", "complexity", "needs_f", "history", "root_data")}
    read = reads(entry.build())
    return {**first, "statistics": read, **last, "arguments": arguments, "aliases": short_for(entry)}


def _trusted(config: Path | None, given: Mapping[str, Any]) -> bool:
    """Whether import paths in the configuration are followed as if they had been typed."""
    return config is not None and (bool(given["trust_imports"]) or is_own(config))


def _spec(config: Path | None, values: Mapping[str, Any], trust: bool) -> RunSpec:
    return make_spec(values) if config is None else load_spec(config, trust_imports=trust, **values)


def _single(spec: RunSpec, path: Path, fresh: bool, threads: int | None, log: Sequence[str]) -> Summary:
    torch.set_num_threads(1)  # in each of the threads that clients are spread over
    with ExitStack() as stack:
        config = spec.resolved()
        followers = [stack.enter_context(make_logger(what, path, path.name, config)) for what in dict.fromkeys(log)]
        followers.append(stack.enter_context(RunProgress(spec)))

        def follow(record: Record) -> None:
            for follower in followers:
                follower(record)

        return execute(spec, path, on_record=follow, threads=cores_of(threads), fresh=fresh)


def _grid(jobs: Mapping[Path, RunSpec], fresh: bool) -> Mapping[Path, Summary | Failed]:
    configs = {path: spec.resolved() for path, spec in jobs.items()}
    titles = {path: (f"{c['rule']} under {c['attack']}", c["rounds"]) for path, c in configs.items()}
    with JobsProgress(titles) as progress:
        return run_grid(jobs, fresh=fresh, on_progress=progress)


def _show(outcomes: Mapping[Path, Summary | Failed], as_json: bool, page: Path | None = None) -> None:
    """The table of what was done, then what failed, with the exit status that goes with it."""
    summaries = [outcome for outcome in outcomes.values() if isinstance(outcome, Summary)]
    failed = {str(path): outcome.why for path, outcome in outcomes.items() if isinstance(outcome, Failed)}
    failed |= {s.folder: s.in_vain for s in summaries if s.in_vain}
    if as_json:
        runs = [asdict(s) for s in summaries]
        typer.echo(json.dumps({"runs": runs, "failed": failed, "report": page and str(page)}, indent=1))
    elif summaries:
        display.out.print(display.summary_table(summaries))
        for note in display.notes(summaries):
            display.say(note)
        display.say(f"Report: {page}" if page else f"Pictures: fedward report {shlex.quote(summaries[0].folder)}")
    _complain(failed)


def _complain(failed: Mapping[str, str]) -> None:
    """Say what failed of several, if anything, and leave with the status that says so."""
    for place, why in failed.items():
        say_error(why if why.startswith(place) else f"{place}: {why}")
    if failed:
        raise typer.Exit(1)
