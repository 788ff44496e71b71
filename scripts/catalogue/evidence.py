"""What the committed results say of a rule, a mixer or an attack. Nothing here knows anything by itself."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean, median
from typing import Any

from fedward.experiments import RunSpec
from fedward.redteam import Examination, Finding, family, label, load_examination

from .markdown import listed

RESULTS = Path(__file__).parents[2] / "results"
UP = "../../../results"
"""The way there from a page in docs/reference/catalogue."""
NOT_EXAMINED = "Not examined: no committed result has it."
_REDTEAM = f"[the red team]({UP}/redteam/README.md)"
_KEYS = RunSpec.model_fields.keys()
_LEAST = 0.5  # points by which an accuracy must differ before a page speaks of it


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A training run under an attack beside the same one without: last accuracies."""

    folder: str
    rule: str
    attack: str
    under: float
    without: float
    setting: str

    @property
    def lost(self) -> float:
        """How much lower it ends under the attack."""
        return self.without - self.under


# --- the red team ---------------------------------------------------------------------------------------------------


@cache
def examinations() -> tuple[Examination, ...]:
    """All of the red team's findings, in the order of their files."""
    return tuple(load_examination(file) for file in sorted(RESULTS.glob("redteam/findings/*.jsonl")))


def commits() -> str:
    """Of which code the findings are: that of most, and the others with their rules."""
    by: dict[str, list[str]] = {}
    for each in examinations():
        for versions in filter(None, each.versions):
            by.setdefault(str(versions["commit"]), []).append(each.rule)
    if not by:
        return "unknown code"
    most, *others = sorted(by, key=lambda commit: -len(by[commit]))
    return ", ".join([f"`{most}`", *(f"for {listed(by[commit])} `{commit}`" for commit in others)])


def setting() -> str:
    """What rules were examined on."""
    said = {
        "{clients} clients, {byzantine} of them byzantine, {data}, {partition}, {rounds} rounds".format(**each.settings)
        for each in examinations()
    }
    return "; ".join(sorted(said))


def name(text: str) -> str:
    """What a rule or an attack is called, without its arguments."""
    return text.partition(":")[0]


@cache
def _worst(e: Examination) -> tuple[tuple[str, Finding], ...]:
    """By kind of attack the strength that moved a rule farthest, the most harmful kind first."""
    return tuple((kind, finding) for kind, finding in e.worst() if kind != "no-attack")


@cache
def _trained(e: Examination) -> tuple[tuple[str, float], ...]:
    """The kinds of attack that a model was trained under, with its accuracy."""
    return tuple((family(attack), accuracy) for attack, accuracy in e.trained)


def _of_rule(rule: str) -> list[Examination]:
    return [each for each in examinations() if name(each.rule) == rule]


def _per_cent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def short_of(rule: str) -> str:
    """The cell of the overview: accuracy of a short training without attack, and under the worst that was trained."""
    found = [f"{_per_cent(e.untouched)}, {_per_cent(e.trained[0][1])}" for e in _of_rule(rule) if e.trained]
    return "; ".join(found) or "not examined"


def of_rule(rule: str) -> str:
    """What breaks a rule."""
    lines = [line for examination in _of_rule(rule) for line in _examined(examination)]
    lines += _longer([pair for pair in pairs() if name(pair.rule) == rule and ">>" not in pair.rule])
    return "\n".join(lines) or NOT_EXAMINED


def with_alarms(rule: str) -> bool:
    """Whether it was examined among clients that raise alarms."""
    return any("siren-client" in str(each.settings.get("algorithm", "")) for each in _of_rule(rule))


def not_begun(rule: str) -> bool:
    """Whether every attack did to it exactly what it did to the mean, which a rule is before it is switched on."""
    [mean] = (_kappas(each) for each in examinations() if each.rule == "mean")
    return any(_kappas(each) == mean for each in _of_rule(rule))


def _kappas(e: Examination) -> dict[str, float]:
    return {finding.attack: finding.kappa for finding in e.findings if not finding.attack.startswith("maximise")}


def _examined(e: Examination) -> Iterator[str]:
    if e.baseline is None:
        return
    kinds = _worst(e)
    worst = kinds[0][1]
    if e.undecided:
        yield (
            f"- `{e.rule}`, one round, {_REDTEAM}: it never decided by what it is, for which it must have seen "
            f"{e.undecided} rounds; {e.settings['captured']} were captured."
        )
    else:
        yield (
            f"- `{e.rule}`, one round, {_REDTEAM}: `{label(worst.attack)}` moves it farthest, to a kappa of "
            f"{worst.kappa:.3g} ({e.baseline.kappa:.3g} without attack). "
            + _beyond([k for k, f in kinds if f.kappa > 1])
        )
    if e.trained:
        under = ", ".join(f"{_per_cent(accuracy)} under `{label(attack)}`" for attack, accuracy in e.trained)
        which = "that moved its first rounds farthest" if e.undecided else "that moved it farthest"
        yield (
            f"- `{e.rule}`, {e.settings['rounds']} rounds of training under the kinds {which}: {under}; "
            f"{_per_cent(e.untouched)} without attack."
        )


def _beyond(kinds: Sequence[str]) -> str:
    if not kinds:
        return "No kind of attack brings it to a kappa above 1."
    bring = "kind of attack brings" if len(kinds) == 1 else "kinds of attack bring"
    return f"{len(kinds)} {bring} it above 1: {listed(kinds)}."


def of_attack(attack: str, kinds: Sequence[str]) -> str:
    """What an attack breaks; the red team calls it by these kinds."""
    lines = list(_played(kinds))
    lines += _longer([pair for pair in pairs() if name(pair.attack) == attack], attack=True)
    return "\n".join(lines) or NOT_EXAMINED


def _played(kinds: Sequence[str]) -> Iterator[str]:
    kappas: dict[str, float] = {}
    first: list[str] = []
    trained: dict[str, tuple[float, float]] = {}
    for e in examinations():
        worst = _worst(e)
        mine = [finding for kind, finding in worst if kind in kinds]
        if mine and not e.undecided:
            kappas[e.rule] = mine[0].kappa
        if worst[0][0] in kinds and not e.undecided:
            first.append(e.rule)
        under = [accuracy for kind, accuracy in _trained(e) if kind in kinds]
        if under and e.untouched is not None:
            trained[e.rule] = (min(under), e.untouched)
    if not kappas:
        return
    above = [rule for rule, kappa in kappas.items() if kappa > 1]
    if len(kappas) == 1:  # what is played against some rules alone
        [(rule, kappa)] = kappas.items()
        yield f"- One round, {_REDTEAM}, `{rule}` alone: its kappa is {kappa:.3g}."
    else:
        worst_for = f"{len(first) or 'none'}{': ' * bool(first)}{listed(first)}"
        yield (
            f"- One round, {_REDTEAM}, {len(kappas)} rules: its median kappa is {median(kappas.values()):.3g}, and "
            f"above 1 for {len(above)}. It is the worst of all kinds for {worst_for}."
        )
    if trained:
        by_loss = sorted(trained, key=lambda rule: trained[rule][0] - trained[rule][1])
        said = [f"`{rule}` {_per_cent(trained[rule][0])} (without {_per_cent(trained[rule][1])})" for rule in by_loss]
        of, lost = f"the {len(said)} rules", f"most is lost by {said[0]}, least by {said[-1]}"
        if len(said) == 1:
            of, lost = "the only rule", said[0]
        yield f"- Short trainings under it, of {of} for which it is one of the worst three kinds: {lost}."


def least(most: int = 10) -> list[tuple[str, str, str, str]]:
    """The rules that end highest under the worst attack of their short trainings, and which attack that is.

    Without those that never decided where the worst attacks were looked for.
    """
    found = [(e, e.trained[0]) for e in examinations() if e.trained and not e.undecided]
    found.sort(key=lambda each: -each[1][1])
    return [(e.rule, _per_cent(e.untouched), _per_cent(low), label(attack)) for e, (attack, low) in found[:most]]


# --- longer runs ----------------------------------------------------------------------------------------------------


@cache
def pairs() -> tuple[Pair, ...]:
    """Runs under attack of all folders of results that have the same run without."""
    found: list[Pair] = []
    for folder, runs in _folders():
        calm: dict[str, list[Mapping[str, Any]]] = {}
        for run in runs:
            if run["config"]["attack"] == "no-attack":
                calm.setdefault(_key(run), []).append(run)
        for run in runs:
            rounds = run["config"]["rounds"]
            without = [at for each in calm.get(_key(run), ()) if (at := _after(each, rounds)) is not None]
            if without and run["config"]["attack"] != "no-attack":
                found.append(_pair(folder, run, without[0]))
    return tuple(found)


def _key(run: Mapping[str, Any]) -> str:
    """All that a run and the one without attack have in common, but for their rounds.

    Who is byzantine plays no part in the latter.
    """
    beside = ("attack", "byzantine", "byzantine_data", "rounds")
    return json.dumps({key: value for key, value in run["config"].items() if key not in beside}, sort_keys=True)


def _after(run: Mapping[str, Any], rounds: int) -> float | None:
    """The test accuracy of a run after so many rounds; None if it was not tested then.

    With a schedule of learning rates the first rounds of a longer run are those of no other.
    """
    if run["config"]["rounds"] == rounds:
        return float(run["final_accuracy"])
    if "schedule" in run["config"]["server"]:
        return None
    return run.get("accuracy_by_round", {}).get(str(rounds))


def _pair(folder: str, run: Mapping[str, Any], without: float) -> Pair:
    config = run["config"]
    return Pair(
        folder=folder,
        rule=config["rule"],
        attack=config["attack"],
        under=run["final_accuracy"],
        without=without,
        setting=f"{_byzantine(config)} of {config['clients']} clients, {config['data']}, `{config['partition']}`",
    )


def _byzantine(config: Mapping[str, Any]) -> int:
    """How many are: a number, or ids with commas between them."""
    said = config["byzantine"]
    return said if isinstance(said, int) else len(str(said).split(","))


def of_mixer(mixer: str) -> str:
    """What chains that begin with a mixer came to, beside the same runs without it."""
    lines: list[str] = []
    for folder, every in _folders():
        chains = [(run, run["config"]["rule"].partition(">>")) for run in every]
        runs = [run for run, (first, arrow, _) in chains if arrow and name(first.strip()) == mixer]
        without = {_setting_of(run): run for run in every}
        seeds: dict[str, list[tuple[float, float]]] = {}
        for run in runs:
            rest = run["config"]["rule"].partition(">>")[2].strip()
            beside = without.get(_setting_of({"config": run["config"] | {"rule": rest}}))
            if beside is not None:
                cell = f"`{run['config']['rule']}` under `{run['config']['attack']}`"
                seeds.setdefault(cell, []).append((run["final_accuracy"], beside["final_accuracy"]))
        cells = []
        for cell, pairs_of in seeds.items():
            chain, alone = (_per_cent(fmean(side)) for side in zip(*pairs_of, strict=True))
            told = f" (means of {len(pairs_of)} seeds)" * (len(pairs_of) > 1)
            cells.append(f"{cell} {chain}, without the mixer {alone}{told}")
        lines += [f"- Last accuracy in [{folder}]({UP}/{folder}/README.md): {'; '.join(cells)}."] * bool(cells)
    return "\n".join(lines) or NOT_EXAMINED


@cache
def _folders() -> tuple[tuple[str, list[Mapping[str, Any]]], ...]:
    """Committed runs by folder: of an experiment, and cells of a sweep that are done."""
    experiments = [(file, list(json.loads(file.read_text("utf-8")).values())) for file in RESULTS.glob("*/runs.json")]
    sweeps = [(file, list(_cells(file))) for file in RESULTS.glob("*/sweep.csv")]
    named = [(file.parent.name, runs) for file, runs in (*experiments, *sweeps)]
    return tuple(sorted(named, key=lambda each: each[0]))


def _cells(file: Path) -> Iterator[Mapping[str, Any]]:
    with file.open(encoding="utf-8", newline="") as opened:
        for row in csv.DictReader(opened):
            if row["status"] == "done" and not row.get("in_vain"):  # what learned nothing has no figure
                config = {key: int(value) if value.isdecimal() else value for key, value in row.items() if key in _KEYS}
                yield {"config": config, "final_accuracy": float(row["last"])}


def _setting_of(run: Mapping[str, Any]) -> str:
    return json.dumps(run["config"], sort_keys=True)


def _longer(found: Sequence[Pair], attack: bool = False) -> Iterator[str]:
    """A line for each folder: the pair that loses most."""
    for folder in dict.fromkeys(pair.folder for pair in found):
        here = [pair for pair in found if pair.folder == folder]
        worst = max(here, key=lambda pair: pair.lost)
        what = (
            f"`{worst.rule}` under `{worst.attack}`"
            if attack or len({pair.rule for pair in here}) > 1
            else (f"`{worst.rule}` loses most under `{worst.attack}`")
        )
        loss = f"{_per_cent(worst.under)}, {_per_cent(worst.without)} without attack"
        count = f"{len(here)} run{'s' * (len(here) > 1)} under attack"
        kept = "" if 100 * worst.lost > _LEAST else " None of them loses more than half a point."
        yield (
            f"- Longer runs, [{folder}]({UP}/{folder}/README.md) ({count}; {worst.setting}): "
            f"{what}, last accuracy {loss}.{kept}"
        )
