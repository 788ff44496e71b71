"""What the command `choose` does: examine candidates in the user's own setting, rank them, say which line to paste."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import typer

from ..core import Rule
from ..experiments.load import load_spec
from ..experiments.pool import Failed
from ..experiments.spec import RunSpec, SpecError, each_rule, file_name, make_spec
from ..redteam import (
    CANDIDATES,
    NOTHING_LEARNT,
    PARTITIONS,
    Examination,
    Standing,
    attacks_played,
    attacks_trained,
    check_attacked,
    examination_steps,
    examine_all,
    label,
    nothing_learnt,
    played_on,
    ranked,
    seconds_of,
    standing,
)
from ..redteam.examine import check_resumed, set_outdated_aside
from ..registry.notation import parse
from ..report import write_choice
from ..sim import load
from . import display
from .commands import RED_TEAM
from .imports import is_own
from .progress import JobsProgress
from .terminal import say_error

_GRIDS = ("partition", "seed")


def choose(
    rules: Sequence[str],
    attacks: Sequence[str],
    given: Mapping[str, Any],
    *,
    config: Path | None,
    worst: int,
    workers: int | None,
    out: Path,
    fresh: bool,
    as_json: bool,
) -> None:
    """Examine every candidate in every setting, and rank them."""
    trust = config is not None and (bool(given["trust_imports"]) or is_own(config))
    settings = _settings(given, config)

    def make(setting: Mapping[str, Any], rule: str) -> RunSpec:
        values = {**setting, "rule": rule, "attack": "no-attack"}
        return make_spec(values) if config is None else load_spec(config, trust_imports=trust, **values)

    plain = [make(setting, "mean") for setting in settings]
    check_attacked(plain[0])
    _check_minority(plain[0], rules)
    f = None if plain[0].f == "unknown" else plain[0].answers.byzantine
    specs, refused = _candidates(rules, [partial(make, setting) for setting in settings], f)
    jobs = {_file(out, spec): spec for each in specs.values() for spec in each}
    if fresh:
        for file in jobs:
            file.unlink(missing_ok=True)
    also = attacks_trained(attacks)
    playing = attacks_played(attacks, jobs.values())
    check_resumed(jobs, out, worst=worst, attacks=playing, also=also)
    for sentence in set_outdated_aside(jobs, worst=worst, attacks=playing, also=also):
        display.say(sentence, display.err)
    outcomes = _examine(jobs, playing, also, worst, workers)
    failed = {str(file): outcome.why for file, outcome in outcomes.items() if isinstance(outcome, Failed)}
    found = _whole(specs, outcomes, out)
    page, standings, learnt = None, [], True
    if found:
        seconds = seconds_of({rule: specs[rule][0].make_rule() for rule in found}, plain[0])
        standings = ranked([standing(rule, each, seconds[rule]) for rule, each in found.items()])
        learnt = not nothing_learnt(standings, load(plain[0].data, plain[0].data_path).classes)
        page = write_choice(standings, found, refused | failed, out / "report.html", learnt=learnt)
        for sentence in display.refusals_told(e for each in found.values() for e in each):
            display.say(sentence, display.err)
    if found or as_json:
        _tell(standings, refused, failed, page, learnt=learnt, as_json=as_json)
    for place, why in failed.items():
        say_error(why if why.startswith(place) else f"{place}: {why}")
    if failed:
        raise typer.Exit(1)


def _check_minority(spec: RunSpec, rules: Sequence[str]) -> None:
    """Raise SpecError where half of the clients or more lie, unless candidates are rules that can be told by data.

    Whatever such a rule makes of rows alone, liars that are as many as the others may be taken for them.
    """
    n, f = spec.clients, spec.answers.byzantine
    most = (n - 1) // 2
    if 2 * f < n or (rules and all(_has_data(text) for text in rules)):
        return
    raise SpecError(
        f"byzantine = {f} of {n} clients are no minority: rules that see nothing but rows need n >= 2f + 1 = "
        f"{2 * f + 1} clients, or f <= {most} of these (--byzantine {most}). Rules with data of the server's own may "
        "withstand more, if they alone are named: --rule fltrust"
    )


def _has_data(text: str) -> bool:
    """Whether a text names a rule with data of the server's own; what names none is for others to refuse."""
    try:
        rule = parse(text, "rule")
    except ValueError:
        return False
    return isinstance(rule, Rule) and rule.traits().root_data


def _settings(given: Mapping[str, Any], config: Path | None) -> list[dict[str, Any]]:
    """What is given, once for each partition and seed."""
    known = {key: value for key, value in given.items() if key in RunSpec.model_fields and value is not None}
    fixed = {key: value for key, value in known.items() if key not in (*_GRIDS, "rule", "attack")}
    base = fixed if config else {**_usual(fixed), **fixed}
    partitions = known.get("partition") or ([] if config else list(PARTITIONS))
    grids = {"partition": list(dict.fromkeys(partitions)), "seed": list(dict.fromkeys(known.get("seed") or []))}
    several = {key: values for key, values in grids.items() if values}
    return [{**base, **dict(zip(several, values, strict=True))} for values in product(*several.values())]


def _usual(fixed: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of nobody's own; the step of gradients is no step of deltas."""
    return {key: value for key, value in RED_TEAM.items() if key != "lr" or "algorithm" not in fixed}


def _candidates(
    rules: Sequence[str], makers: Sequence[Callable[[str], RunSpec]], f: int | None
) -> tuple[dict[str, list[RunSpec]], dict[str, str]]:
    """Specifications of every candidate by rule, and why others of a list that nobody typed cannot be used."""
    refused: dict[str, str] = {}
    texts = list(rules)
    if not texts:
        for text in CANDIDATES:
            try:
                makers[0](text)
            except SpecError as error:
                refused[text] = str(error)
            else:
                texts.append(text)
    specs: dict[str, list[RunSpec]] = {}
    for make in makers:
        made, others = each_rule(texts, make, f)
        refused |= others
        for spec in made.values():
            specs.setdefault(str(spec.resolved()["rule"]), []).append(spec)
    if not specs:
        raise SpecError("no candidate fits: " + "; ".join(refused.values()))
    return specs, refused


def _file(out: Path, spec: RunSpec) -> Path:
    config = spec.resolved()
    name = f"{config['rule']}-{config['partition']}-seed{config['seed']}"
    return out / "findings" / f"{file_name(name)}.jsonl"


def _examine(
    jobs: Mapping[Path, RunSpec], attacks: Sequence[str] | None, also: Sequence[str], worst: int, workers: int | None
) -> Mapping[Path, Examination | Failed]:
    titles = {}
    for file, spec in jobs.items():
        config = spec.resolved()
        playing = played_on(spec.make_rule(), attacks)
        titles[file] = (f"{config['rule']}, {config['partition']}", examination_steps(playing, worst, also))
    with JobsProgress(titles, even=False) as progress:
        return examine_all(jobs, worst=worst, attacks=attacks, also=also, workers=workers, on_progress=progress)


def _whole(
    specs: Mapping[str, Sequence[RunSpec]], outcomes: Mapping[Path, Examination | Failed], out: Path
) -> dict[str, list[Examination]]:
    """Examinations by rule, of those that were examined in every setting."""
    found = {}
    for rule, each in specs.items():
        came = [outcomes[_file(out, spec)] for spec in each]
        done = [outcome for outcome in came if isinstance(outcome, Examination)]
        if len(done) == len(came):
            found[rule] = done
    return found


def _tell(
    standings: Sequence[Standing],
    refused: Mapping[str, str],
    failed: Mapping[str, str],
    page: Path | None,
    *,
    learnt: bool,
    as_json: bool,
) -> None:
    if as_json:
        told: dict[str, Any] = {"ranking": [s.to_json() for s in standings], "nothing_learnt": not learnt}
        told |= {"refused": refused, "failed": failed, "report": page and str(page)}
        typer.echo(json.dumps(told, indent=1))
        return
    display.out.print(display.ranking_table(standings))
    for line in display.ranking_told(standings):
        display.say(line)
    for name, why in refused.items():
        display.say(f"not examined: {name}: {why}")
    for s in standings:
        if s.undecided:
            display.say(s.undecided_told())
    display.say(f"Report: {page}")
    best = standings[0]
    if not learnt:
        display.say(NOTHING_LEARNT)
        return
    if best.undecided:
        return
    if best.collapses:
        display.say(
            f"None of these withstands: under {best.rule} the worst, {label(best.under)}, still costs more than half "
            "of what is learned without. More clients, fewer byzantine ones, or data that clients have in common help."
        )
        return
    display.say(f"Best here: {best.rule}, {display.percent(best.worst)} at worst. To paste:")
    display.say(f'  strategy = RobustFedAvg(rule="{best.rule}")')
    display.say(f"  fedward run --rule {shlex.quote(best.rule)} ...")
