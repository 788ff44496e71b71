"""The tables of FedSECA's folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean, stdev

from .pieces import (
    PENDING,
    Heir,
    Run,
    Runs,
    ahead,
    beside_before,
    best,
    by_seed,
    last,
    made,
    number,
    over_seeds,
    spread,
    table,
    until,
)

OURS = "fedseca:momentum=0.5"
ROUNDS = 50
SEVEN = {
    "alie:z=-1,jitter=0.05,ddof=1,knows=all": "ALIE",
    "ipm:epsilon=1.3,jitter=0.05,knows=all": "IPM",
    "tailored-min-max:direction=unit": "MinMax, tailored",
    "scaling:factor=10": "Scaling",
    "fang:jitter=0.05,knows=all": "Fang",
    "mimic:target=first-round": "Mimic",
    "label-flip": "LabelFlip",
}
EIGHT = {"no-attack": "none", **SEVEN}
OTHERS = {
    "mean": "Mean",
    "median": "Median",
    "krum:f=2,bound=definition": "Krum, f = 2",
    "trimmed-mean:f=1": "TrimmedMean, f = 1",
    "rfa:nu=1e-6,iterations=3": "RFA",
    "huber:threshold=0.02": "Huber",
    "centered-clipping:radius=100,iterations=3": "CenteredClipping",
    "bucketing:s=2 >> centered-clipping:radius=100,iterations=3": "CenteredClipping, random buckets",
    "sequential-centered-clipping:radius=100,s=2": "CenteredClipping, sequential buckets",
    "fldetector": "FLDetector",
    "ties": "TIES",
    "copoddos": "COPOD-DOS",
}
PARTS = {
    "fedseca:momentum=0.5,vote=count": "every client one vote (`vote=count`)",
    "fedseca:momentum=0.5,vote=mass": "votes by size (`vote=mass`)",
    "fedseca:momentum=0.5,vote=none": "RoCA alone (`vote=None`)",
    "fedseca:momentum=0.5,clip=False": "without clip",
    "fedseca:momentum=0.5,clamp=False": "without clamp",
    "fedseca:momentum=0.5,sparsity=None": "without sparsify",
    "fedseca:momentum=0.5,clip=False,clamp=False,sparsity=None,merge=mean": (
        "CRISE alone (`clip=False, clamp=False, sparsity=None, merge=mean`)"
    ),
}
_PARTS_UNDER = tuple(list(EIGHT)[:3])
_SHORT = 20
_SCORE = "concordance"
BYZANTINE = (3, 4)


def _group(rule: str) -> str:
    return "rules" if rule == OURS else "others"


def _grid(folder: Path, rounds: int = ROUNDS, others: Iterable[str] = OTHERS) -> str:
    """Every rule under every attack, and the least of them."""
    runs = Runs(folder, rounds=rounds)
    rows = []
    for rule in (*others, OURS):
        name = OTHERS.get(rule, "FedSECA")
        found = [last(runs.of(rule, attack, _group(rule))) for attack in EIGHT]
        known = [figure for figure in found[1:] if figure is not None]
        lowest = min(known) if len(known) == len(SEVEN) else None
        rows.append([name, *map(number, found), number(lowest)])
    return table(["rule", *EIGHT.values(), "worst"], rows)


def _own(folder: Path) -> str:
    """FedSECA over seeds, beside itself without attack."""
    runs = Runs(folder, rounds=ROUNDS)
    without = runs.seeds(OURS, "no-attack", "rules")
    rows = []
    for attack, name in EIGHT.items():
        found = runs.seeds(OURS, attack, "rules")
        cells = [over_seeds(found, last), over_seeds(found, best)]
        cells += [over_seeds(found, partial(_share, key=key)) for key in ("final_balanced_accuracy", "final_f1")]
        lost = "" if attack == "no-attack" else spread(ahead(found, without, last), sign=True)
        rows.append([name, *cells, lost])
    return table(["attack", "last accuracy", "best", "balanced accuracy", "F1", "last, against none"], rows)


def _share(run: Run, key: str) -> float | None:
    return None if run.get(key) is None else 100 * float(run[key])


def _min_max(folder: Path) -> str:
    """The attack that asks the server's rule beside the one that asks nobody."""
    runs = Runs(folder, rounds=ROUNDS)
    rows = []
    for rule, name in {"mean": "Mean", "median": "Median", OURS: "FedSECA"}.items():
        attacks = ("no-attack", "min-max:direction=unit", "tailored-min-max:direction=unit")
        rows.append([name, *(number(last(runs.of(rule, attack, _group(rule)))) for attack in attacks)])
    return table(["rule", "none", "MinMax, agnostic", "MinMax, tailored"], rows)


def _mimic(folder: Path) -> str:
    """By who is copied: seed by seed, since a client of another seed has other data, and over seeds."""
    runs = Runs(folder, rounds=ROUNDS)
    attacks = ["no-attack", *(f"mimic:target={client}" for client in range(3)), "mimic:target=first-round"]
    rows = []
    for rule, name in {"median": "Median", OURS: "FedSECA"}.items():
        found = [by_seed(runs.seeds(rule, attack, _group(rule))) for attack in attacks]
        for seed in sorted(set().union(*found[1:])) or [0]:
            rows.append([name, str(seed), *(number(last(of_attack.get(seed))) for of_attack in found)])
        rows.append([name, "mean", *(_deviating(list(of_attack.values())) for of_attack in found)])
    head = ["rule", "seed", "none", "client 0 copied", "client 1", "client 2", "learned from the first round"]
    return table(head, rows)


def _deviating(runs: Sequence[Run]) -> str:
    """The mean of the last accuracy over seeds and its deviation."""
    known = [figure for run in runs if (figure := last(run)) is not None]
    if len(known) < 2:
        return over_seeds(runs, last)
    return f"{number(fmean(known))} ± {number(stdev(known))} ({len(known)} seeds)"


def ratios_of(runs: Iterable[Run]) -> list[list[float | None]]:
    """Concordance ratios of all clients, round by round."""
    return [ratios for run in runs for ratios in run.get(_SCORE, {}).values()]


def _ratios(folder: Path) -> str:
    """Concordance ratios of honest and byzantine clients over all rounds of all seeds."""
    runs = Runs(folder, rounds=ROUNDS)
    rows = []
    for attack, name in EIGHT.items():
        found = runs.seeds(OURS, attack, "rules")
        rounds = ratios_of(found)
        if not rounds:
            rows.append([name, *[PENDING] * 5])
            continue
        sides: dict[bool, list[float]] = {False: [], True: []}
        for ratios in rounds:
            for client, ratio in enumerate(ratios):
                if ratio is not None:
                    sides[client in BYZANTINE].append(ratio)
        cells = [f"{fmean(side):.2f} ({min(side):.1f} to {max(side):.1f})" for side in sides.values()]
        out = sum(any(ratios[client] == 0 for client in BYZANTINE) for ratios in rounds)
        wrong = sum(any(r == 0 for client, r in enumerate(ratios) if client not in BYZANTINE) for ratios in rounds)
        rows.append([name, str(len(found)), *cells, *(f"{count} of {len(rounds)}" for count in (out, wrong))])
    head = ["attack", "seeds", "ratio of honest clients", "of byzantine clients"]
    return table([*head, "rounds with a byzantine client outvoted", "with an honest one outvoted"], rows)


def _parts(folder: Path) -> str:
    """FedSECA without one of its parts, in fewer rounds."""
    runs = Runs(folder)
    whole = [until(runs.of(OURS, attack, "rules"), _SHORT) for attack in _PARTS_UNDER]
    rows = [["all, by concordance (`vote=crise`)", *(number(last(run)) for run in whole)]]
    for rule, name in PARTS.items():
        rows.append([name, *(number(last(runs.of(rule, attack, "ablation"))) for attack in _PARTS_UNDER)])
    return table([f"after {_SHORT} rounds", *(EIGHT[attack] for attack in _PARTS_UNDER)], rows)


# What has become of the attacks and rules of before, and what they have now that they had not.
_ATTACKS_SINCE = {
    "alie:z=1": (
        "alie:z=-1,jitter=0.05,ddof=1,knows=all",
        "z = -1 for 1, jitter of 0.05, unbiased deviation of all clients",
    ),
    "ipm:epsilon=1.3": ("ipm:epsilon=1.3,jitter=0.05,knows=all", "jitter of 0.05, mean of all clients"),
    "deviation:direction=sign,gamma=0.1": ("fang:jitter=0.05,knows=all", "jitter of 0.05, mean of all clients"),
    "mimic:warmup=5": ("mimic:target=first-round", "copies whom it finds in one round, not in five"),
}
_RULES_SINCE = {"krum:f=1": ("krum:f=2,bound=definition", "f = 2 for 1")}
_AGNOSTIC = "min-max:direction=unit"


def heir(name: str) -> Heir:
    """The run that has taken the place of one of before."""
    which, _, attack = name.partition(" under ")
    group, _, rule = which.partition("/")
    changed = [] if attack == "no-attack" else ["clients 3 and 4 byzantine"]
    if group == "long":
        group = "rules"
        changed.append("of a run of 50 rounds")
    rule, of_rule = _RULES_SINCE.get(rule, (rule, ""))
    attack, of_attack = _ATTACKS_SINCE.get(attack, (attack, ""))
    if attack == _AGNOSTIC and rule not in ("mean", "median", OURS):
        attack, of_attack = f"tailored-{attack}", "asks the rule"
    told = "; ".join(filter(None, [*changed, of_rule, of_attack]))
    return f"{group}/{rule} under {attack}", told


FEDSECA = {
    "made": lambda folder: made(folder, byzantine="3,4"),
    "own": _own,
    "grid": _grid,
    "min-max": _min_max,
    "mimic": _mimic,
    "ratios": _ratios,
    "parts": _parts,
    "before": lambda folder: beside_before(folder, Runs(folder, byzantine="3,4"), heir),
}
CIFAR = {
    "made": made,
    "grid": lambda folder: _grid(folder, 10, ("mean", "median", "krum:f=2,bound=definition")),
}
