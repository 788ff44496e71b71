"""The tables that are made of runs."""

from __future__ import annotations

from collections.abc import Iterator
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
    until,
)

CHANCE = 15.0  # per cent; a model with ten classes that is no better has learnt nothing, or lost it


# --- signguard ----------------------------------------------------------------------------------------------

_THREE = ("sign-guard", "sign-guard-sim:warmup=60", "sign-guard-dist:warmup=60")
_FIVE = ("byz-mean", "sign-flip", "alie", "min-max", "min-sum")
_TABLE_1 = [("mean", "no-attack"), *((rule, attack) for rule in _THREE for attack in _FIVE)]
_TABLE_1 += [("median", "alie"), ("mean", "min-max")]
_SUMMARY = [("mean", "no-attack"), *(("sign-guard", a) for a in ("alie", "min-max", "sign-flip"))]
_SUMMARY += [("median", "alie"), ("mean", "min-max")]


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
SUMMARY = {"signguard": lambda folder: _beside_table_1(folder, _SUMMARY)}


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
    head = ["rule", "best accuracy lost at most", "ends at chance under", "rounds without enough finite rows"]
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
    return table([*head, "rounds without enough finite rows"], rows)


TIME_VARYING = {"rules": _redrawn}


# --- fedseca ------------------------------------------------------------------------------------------------

_OURS = "fedseca:momentum=0.5"
_SEVEN = ("alie:z=1", "ipm:epsilon=1.3", "min-max:direction=unit", "scaling:factor=10")
_SEVEN += ("deviation:direction=sign,gamma=0.1", "mimic:warmup=5", "label-flip")
_OTHERS = {
    "mean": "Mean",
    "median": "Median",
    "krum:f=1": "Krum, f = 1",
    "bucketing:s=2 >> centered-clipping:radius=100,iterations=3": "bucketing (2) and CenteredClipping",
}
_PARTS = {
    "fedseca:momentum=0.5,clip=False": "without clip",
    "fedseca:momentum=0.5,clamp=False": "without clamp",
    "fedseca:momentum=0.5,sparsity=None": "without sparsify",
    "fedseca:momentum=0.5,clip=False,clamp=False,sparsity=None,merge=mean": (
        "CRISE alone (`clip=False, clamp=False, sparsity=None, merge=mean`)"
    ),
    "fedseca:momentum=0.5,vote=none": "RoCA alone (`vote=None`)",
}


def _own(folder: Path) -> str:
    runs = Runs(folder)
    own = last(runs.of(_OURS, "no-attack", "rules"))
    head = ["attack", "10 rounds", "against none", "20 rounds", "against none"]
    longer = last(runs.of(_OURS, "no-attack", "long"))
    rows = [["none", number(own), "", number(longer), ""]]
    for attack in _SEVEN:
        found = last(runs.of(_OURS, attack, "rules"))
        more = runs.of(_OURS, attack, "long")
        twice = [number(last(more)), difference(last(more), longer)] if attack == "mimic:warmup=5" else ["", ""]
        rows.append([ATTACKS[attack], number(found), difference(found, own), *twice])
    return table(head, rows)


def _beside_others(folder: Path) -> str:
    runs = Runs(folder)
    columns = [("others", rule) for rule in _OTHERS] + [("rules", _OURS)]
    rows = []
    worst = [100.0 for _ in columns]
    for attack in ("no-attack", *_SEVEN):
        found = [last(runs.of(rule, attack, group)) for group, rule in columns]
        worst = [w if f is None else min(w, f) for w, f in zip(worst, found, strict=True)]
        rows.append([ATTACKS[attack], *map(number, found)])
    rows.append(["worst", *map(number, worst)])
    return table(["attack", *_OTHERS.values(), "FedSECA"], rows)


def _parts(folder: Path) -> str:
    runs = Runs(folder)
    attacks = ("no-attack", "alie:z=1", "ipm:epsilon=1.3")
    rows = [["all", *(number(last(runs.of(_OURS, a, "rules"))) for a in attacks)]]
    rows += [[name, *(number(last(runs.of(r, a, "ablation"))) for a in attacks)] for r, name in _PARTS.items()]
    return table(["parts of FedSECA", *(ATTACKS[a] for a in attacks)], rows)


FEDSECA = {"own": _own, "others": _beside_others, "parts": _parts}


# --- siren --------------------------------------------------------------------------------------------------

_FLIP = "sign-flip:scale=4"
_FALSE = "false-alarms:inner=(sign-flip:scale=4)"
_HONEST = "sign-flip x 4, honest alarms"
_ALWAYS = "sign-flip x 4, always alarming"
_LATE = "delayed:base=siren,start=10"
_LATE_MEDIAN = "delayed:base=median,start=10"
_SYSTEM = [
    ("SIREN", "IID", "0", "none", "iid-0/siren under no-attack"),
    ("SIREN", "IID", "40%", _ALWAYS, f"iid-40/siren under {_FALSE}"),
    ("SIREN", "IID", "40%", _HONEST, f"iid-40/siren under {_FLIP}"),
    ("SIREN", "IID", "40%", "label-flip, honest alarms", "iid-40/siren under label-flip"),
    ("SIREN", "IID", "40%", "targeted, n / m boosted", "iid-40/siren under targeted-poisoning"),
    ("SIREN", "IID", "80%", _HONEST, f"iid-80/siren under {_FLIP}"),
    ("SIREN", "IID", "80%", "label-flip, honest alarms", "iid-80/siren under label-flip"),
    ("SIREN, 40 rounds", "IID", "0", "none", "iid-0/siren under no-attack"),
    ("SIREN, 40 rounds", "IID", "40%", _HONEST, f"iid-40-long/siren under {_FLIP}"),
    ("SIREN, 40 rounds", "IID", "80%", _ALWAYS, f"iid-80-long/siren under {_FALSE}"),
    ("SIREN, 40 rounds", "IID", "80%", _HONEST, f"iid-80-long/siren under {_FLIP}"),
    ("SIREN from round 11 on", "IID", "40%", _HONEST, f"late/{_LATE} under {_FLIP}"),
    ("SIREN", "p = 0.5", "0", "none", "degree-0/siren under no-attack"),
    ("SIREN", "p = 0.5", "40%", _HONEST, f"degree-40/siren under {_FLIP}"),
    ("SIREN", "p = 0.5", "40%", "label-flip, honest alarms", "degree-40/siren under label-flip"),
    ("SIREN", "p = 0.5", "80%", _HONEST, f"degree-80/siren under {_FLIP}"),
    ("SIREN", "p = 0.5", "80%", "label-flip, honest alarms", "degree-80/siren under label-flip"),
    ("SIREN, 50 clients of 8 steps", "IID", "40%", _HONEST, f"fifty/siren under {_FLIP}"),
    ("SIREN, a fifth of the clients lost a round", "IID", "40%", "none", "dropout-0/siren under no-attack"),
    ("SIREN, a fifth lost", "IID", "40%", _HONEST, f"dropout-40/siren under {_FLIP}"),
    ("Krum, f = 3", "IID", "40%", "sign-flip x 4", f"others-40/krum:f=3 under {_FLIP}"),
    ("Krum, f = 3", "IID", "40%", "label-flip", "others-40/krum:f=3 under label-flip"),
    ("Mean", "IID", "40%", "targeted, n / m boosted", "others-40/mean under targeted-poisoning"),
    ("Median from round 11 on", "IID", "40%", "sign-flip x 4", f"others-late/{_LATE_MEDIAN} under {_FLIP}"),
    ("Median", "IID", "40%", "sign-flip x 4", f"others-40/median under {_FLIP}"),
    ("Median", "IID", "40%", "label-flip", "others-40/median under label-flip"),
    ("Median", "IID", "80%", "sign-flip x 4", f"others-80/median under {_FLIP}"),
]


def _system(folder: Path) -> str:
    runs = Runs(folder).named
    rows = []
    for rule, data, malicious, attack, name in _SYSTEM:
        run = runs.get(name)
        if name.startswith("iid-0/") and "40" not in rule:
            run = until(run, 20)
        shares = [share(run, key) for key in ("byzantine_accepted", "honest_accepted")]
        if rule.startswith(("Mean", "Median")):
            shares = ["", ""]
        rows.append([rule, data, malicious, attack, number(best(run)), number(last(run)), *shares])
    head = ["rule", "data", "malicious", "attack", "best", "last", "malicious accepted", "honest accepted"]
    return table(head, rows)


def _confidence(folder: Path) -> str:
    runs = Runs(folder).named
    both_rules = {"SIREN": "iid-40", "Mean": "others-40"}
    found = {n: runs[f"{g}/{n.lower()} under targeted-poisoning"]["confidence_by_round"] for n, g in both_rules.items()}
    rounds = list(found["SIREN"])
    return table(["round", *rounds], ([n, *(f"{c[r]:.3f}" for r in rounds)] for n, c in found.items()))


SIREN = {"system": _system, "confidence": _confidence}


# --- desgd --------------------------------------------------------------------------------------------------

_BASES = {
    "trimmed-mean": "TrimmedMean",
    "dnc": "DnC",
    "cosine-clustering": "CosineClustering, single linkage",
    "cosine-clustering:linkage=complete": "CosineClustering, complete",
    "cosine-clustering:linkage=average": "CosineClustering, average",
}
_WORKERS = ("sign-flip", "ipm", "alie:z=1", "no-attack")


def _wrapped(base: str) -> str:
    return f"class-wise:base=({base})" if ":" in base else f"class-wise:base={base}"


def _cells(run: Run | None) -> Iterator[str]:
    yield from (number(best(run)), number(last(run)))


def _with_and_without(folder: Path) -> str:
    runs = Runs(folder)
    published = paper(folder)
    rows = []
    for base, name in _BASES.items():
        for attack in _WORKERS:
            pair = {"without": runs.of(base, attack, "without"), "with": runs.of(_wrapped(base), attack, "with")}
            if all(run is None for run in pair.values()):
                continue
            row = [name, ATTACKS[attack]]
            for group, run in pair.items():
                theirs = published[group].get(base, {}).get(attack)
                row += [*_cells(run), "" if theirs is None else number(theirs, 2)]
            rows.append(row)
    head = ["rule", "attack", "without: best", "last", "published", "with DeSGD: best", "last", "published"]
    return table(head, rows)


def _orders(folder: Path) -> str:
    runs = Runs(folder)
    rows = []
    for base, attack in [("trimmed-mean", "alie:z=1"), ("dnc", "alie:z=1"), ("cosine-clustering", "alie:z=1")]:
        three = [runs.of(_wrapped(base), attack, group) for group in ("with", "printed", "beta-0")]
        tried = three if base != "cosine-clustering" else three[:2]
        cells = [cell for run in tried for cell in _cells(run)]
        rows.append([f"{RULES[base]}, {ATTACKS[attack]}", *cells, *[""] * (6 - len(cells))])
    two = [runs.of(_wrapped("dnc"), "sign-flip", group) for group in ("with", "printed")]
    rows.append(["DnC, SignFlip", *(cell for run in two for cell in _cells(run)), "", ""])
    head = ["momentum of DeSGD", "usual order: best", "last", "printed order: best", "last", "beta = 0: best", "last"]
    return table(head, rows)


def _compensation(folder: Path) -> str:
    runs = Runs(folder)
    rows = []
    for base in ("trimmed-mean", "dnc"):
        row = [RULES[base]]
        for gamma in (",gamma=0", "", ",gamma=0.75"):
            row += _cells(runs.of(_wrapped(base) + gamma, "alie:z=1", "with"))
        rows.append(row)
    three = runs.of("class-wise:base=trimmed-mean", "alie:z=1", "three-classes")
    rows.append(["TrimmedMean, three classes a round", "", "", *_cells(three), "", ""])
    head = ["compensation (Fig. 3), ALIE", "gamma = 0: best", "last", "0.5: best", "last", "0.75: best", "last"]
    return table(head, rows)


def _drops(folder: Path) -> str:
    runs = Runs(folder)
    published = paper(folder)["drop"]
    rows = []
    top = best(runs.of("dnc", "no-attack", "without"))
    for base in ("trimmed-mean", "dnc", "cosine-clustering"):
        row = [RULES[base]]
        pairs = ("without", f"bucketing:s=2 >> {base}", "bucketing"), ("with", _wrapped(base), "desgd")
        for group, rule, key in pairs:
            row += [difference(top, best(runs.of(rule, a, group)), sign=False) for a in _WORKERS[:3]]
            row.append(", ".join(f"{value:.2f}" for value in published[base][key]))
        rows.append(row)
    three = ["IPM", "ALIE", "published"]
    return table(["rule", "bucketing (2): SignFlip", *three, "DeSGD: SignFlip", *three], rows)


def _accepted_rows(folder: Path) -> str:
    runs = Runs(folder)
    rows = []
    for linkage in ("single", "complete", "average"):
        base = "cosine-clustering" + f":linkage={linkage}" * (linkage != "single")
        pair = runs.of(base, "alie:z=1", "without"), runs.of(_wrapped(base), "alie:z=1", "with")
        rows.append([linkage, *(share(run, key) for run in pair for key in ("byzantine_accepted", "honest_accepted"))])
    head = ["linkage, under ALIE", "without: byzantine accepted", "honest", "with DeSGD: byzantine accepted", "honest"]
    return table(head, rows)


DESGD = {
    "table-1": _with_and_without,
    "linkages": _accepted_rows,
    "orders": _orders,
    "compensation": _compensation,
    "drops": _drops,
}
