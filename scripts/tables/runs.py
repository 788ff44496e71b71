"""The tables that are made of runs."""

from __future__ import annotations

from pathlib import Path

from .pieces import (
    ATTACKS,
    PENDING,
    RULES,
    Run,
    Runs,
    best,
    both,
    difference,
    last,
    number,
    paper,
    share,
    table,
)

CHANCE = 15.0  # per cent; a model with ten classes that is no better has learnt nothing, or lost it


# --- signguard ----------------------------------------------------------------------------------------------

_THREE = ("sign-guard", "sign-guard-sim:warmup=60", "sign-guard-dist:warmup=60")
_FIVE = ("byz-mean", "sign-flip", "alie", "min-max", "min-sum")
_TABLE_1 = [("mean", "no-attack"), *((rule, attack) for rule in _THREE for attack in _FIVE)]
_TABLE_1 += [("median", "alie"), ("mean", "min-max")]


def _beside_table_1(folder: Path, cells: list[tuple[str, str]]) -> str:
    runs = Runs(folder)
    published = paper(folder)["accuracy"]
    head = ["rule", "attack", "best accuracy", "published", "difference", "last accuracy"]
    rows = []
    for rule, attack in cells:
        run = runs.of(rule, attack)
        theirs = published[rule.partition(":")[0]].get(attack)
        accepted = [_accepted(run, rule, key) for key in ("byzantine_accepted", "honest_accepted")]
        figures = [number(best(run), 2), number(theirs, 2) if theirs else "", difference(best(run), theirs, 2)]
        rows.append([RULES[rule], ATTACKS[attack], *figures, number(last(run), 2), *accepted])
    return table([*head, "byzantine accepted", "honest accepted"], rows)


def _accepted(run: Run | None, rule: str, key: str) -> str:
    return "-" if rule == "median" else share(run, key, 3)


def _table_2(folder: Path) -> str:
    runs = Runs(folder)
    published = paper(folder)["accepted"]
    head = ["rule", "attack", "honest accepted", "published", "byzantine accepted", "published"]
    rows = []
    for rule in _THREE:
        for attack in _FIVE:
            run = runs.of(rule, attack)
            theirs = published[rule.partition(":")[0]][attack]
            shares = share(run, "honest_accepted", 3), number(theirs[0], 3)
            more = share(run, "byzantine_accepted", 3), number(theirs[1], 3)
            rows.append([RULES[rule], ATTACKS[attack], *shares, *more])
    return table(head, rows)


def _variants(folder: Path) -> str:
    runs = Runs(folder)
    head = ["first 100 rounds under ALIE", "honest accepted", "byzantine accepted", "best accuracy"]
    rows = []
    for rule in ("sign-guard", "sign-guard:variant=official"):
        run = runs.of(rule, "alie", "variants")
        shares = [share(run, key, 3) for key in ("honest_accepted", "byzantine_accepted")]
        rows.append([f"`{rule}`", *shares, number(best(run))])
    return table(head, rows)


SIGNGUARD = {
    "table-1": lambda folder: _beside_table_1(folder, _TABLE_1),
    "table-2": _table_2,
    "variants": _variants,
}


# --- behaviour ----------------------------------------------------------------------------------------------

_RULES = ("mean", "krum", "median", "sign-guard", "sign-guard-sim:warmup=60", "fedseca")
_SELECTING = ("krum", "sign-guard", "sign-guard-sim:warmup=60")
_ATTACKS = ("no-attack", "alie", "min-max", "min-sum", "byz-mean", "sign-flip", "scaling")
_HEAD = ["rule", "no attack", *(ATTACKS[attack] for attack in _ATTACKS[1:])]


def _accuracy(folder: Path) -> str:
    runs = Runs(folder)
    return table(_HEAD, ([RULES[r], *(both(runs.of(r, a)) for a in _ATTACKS)] for r in _RULES))


def _both_shares(run: Run | None) -> str:
    return f"{share(run, 'byzantine_accepted')} / {share(run, 'honest_accepted')}"


def _rates(folder: Path) -> str:
    runs = Runs(folder)
    return table(_HEAD, ([RULES[r], *(_both_shares(runs.of(r, a)) for a in _ATTACKS)] for r in _SELECTING))


def _losses(folder: Path) -> str:
    """What each rule loses at most, where it ends at chance, and rounds that left the model as it was."""
    runs = Runs(folder)
    rows = []
    for rule in _RULES:
        own = best(runs.of(rule, "no-attack"))
        found = {a: run for a in _ATTACKS[1:] if (run := runs.of(rule, a)) is not None}
        worst = min(found, key=lambda a: found[a]["best_accuracy"])
        lost = [ATTACKS[a] for a, run in found.items() if 100 * run["final_accuracy"] < CHANCE]
        skipped = [f"{ATTACKS[a]} {run['skipped']}" for a, run in found.items() if run["skipped"]]
        loss = f"{difference(own, best(found[worst]), sign=False)} ({ATTACKS[worst]})"
        rows.append([RULES[rule], loss, ", ".join(lost) or "-", ", ".join(skipped) or "-"])
    head = ["rule", "best accuracy lost at most", "ends at chance under", "rounds that left the model as it was"]
    return table(head, rows)


BEHAVIOUR = {"accuracy": _accuracy, "accepted": _rates, "losses": _losses}


# --- time-varying -------------------------------------------------------------------------------------------

_DRAWN = (
    "random-schedule:every=20,attacks=(no-attack | random | sign-flip | noise | label-flip | alie | byz-mean"
    " | min-max | min-sum)"
)


def _redrawn(folder: Path) -> str:
    runs = Runs(folder)
    cells = [("mean", "no-attack"), *((rule, _DRAWN) for rule in ("sign-guard", "sign-guard-sim:warmup=60"))]
    cells += [(rule, _DRAWN) for rule in ("dnc", "bulyan", "multi-krum", "mean")]
    rows = []
    for rule, attack in cells:
        run = runs.of(rule, attack)
        name = RULES[rule] + ", no attack" * (attack == "no-attack")
        shares = [share(run, key) for key in ("byzantine_accepted", "honest_accepted")]
        skipped = PENDING if run is None else str(run["skipped"])
        rows.append([name, number(best(run)), number(last(run)), *shares, skipped])
    head = ["rule", "best accuracy", "last accuracy", "byzantine accepted", "honest accepted"]
    return table([*head, "rounds that left the model as it was"], rows)


TIME_VARYING = {"rules": _redrawn}
