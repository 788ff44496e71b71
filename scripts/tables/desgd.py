"""The tables of DeSGD's two folders: a small network for long, and its own network in a shorter training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean

from .claim import Figure
from .pieces import (
    ATTACKS,
    PENDING,
    Heir,
    Run,
    Runs,
    ahead,
    beside_before,
    best,
    by_seed,
    difference,
    last,
    made,
    number,
    over_seeds,
    paper,
    share_over_seeds,
    spread,
    table,
)

BASES = {
    "trimmed-mean": "TrimmedMean",
    "dnc": "DnC",
    "cosine-clustering:linkage=complete": "Clustering (complete linkage)",
}
LINKAGES = {
    "cosine-clustering": "Clustering, single linkage",
    "cosine-clustering:linkage=average": "Clustering, average linkage",
}
WORKERS = ("sign-flip", "ipm", "alie:z=1", "no-attack")
# The rows of Table I; those without a name of a class-wise rule have no DeSGD in the paper.
TABLE_1 = {
    "clip-mean": "ClipMean",
    "krum": "Krum",
    "geometric-median": "GeoMed",
    "cosine-clustering:linkage=complete": "Clustering (complete linkage)",
    "centered-clipping:radius=10": "CenteredClip, radius 10",
    "multi-krum": "M-Krum",
    "trimmed-mean": "TrMean",
    "faba": "FABA",
    "dnc": "DnC",
}
WITHIN = {
    "krum": "krum:bound=definition",
    "multi-krum": "multi-krum:bound=definition",
    "geometric-median": "geometric-median",
    "trimmed-mean": "trimmed-mean",
    "dnc": "dnc",
    "cosine-clustering:linkage=complete": "cosine-clustering:linkage=complete",
}
_TABLE_2 = ("multi-krum", "trimmed-mean", "dnc", "cosine-clustering:linkage=complete")
_HEADLINE = "alie:z=1"


def wrapped(base: str) -> str:
    """A rule in rounds of a class."""
    return f"class-wise:base=({base})" if ":" in base else f"class-wise:base={base}"


def _beside(published: Mapping[str, Mapping[str, float]], rule: str, attack: str) -> str:
    theirs = published.get(rule, {}).get(attack)
    return "" if theirs is None else number(theirs, 2)


def _pair(runs: Sequence[Run]) -> list[str]:
    return [over_seeds(runs, best), over_seeds(runs, last)]


# --- a small network ----------------------------------------------------------------------------------------


def _with_and_without(folder: Path) -> str:
    runs = Runs(folder)
    published = paper(folder)
    rows = []
    for base, name in {**BASES, **LINKAGES}.items():
        for attack in WORKERS:
            if attack == "no-attack" and base in LINKAGES:
                continue
            row = [name, ATTACKS[attack]]
            for group, rule in (("without", base), ("with", wrapped(base))):
                row += [*_pair(runs.seeds(rule, attack, group)), _beside(published[group], base, attack)]
            rows.append(row)
    head = ["rule", "attack", "without: best", "last", "published", "with DeSGD: best", "last", "published"]
    return table(head, rows)


def _ahead(folder: Path) -> str:
    """By how many points DeSGD is ahead, by the best and by the last test, over the seeds that both have."""
    runs = Runs(folder)
    published = paper(folder)
    rows = []
    for base, name in {**BASES, **LINKAGES}.items():
        for attack in WORKERS[:3]:
            alone, around = runs.seeds(base, attack, "without"), runs.seeds(wrapped(base), attack, "with")
            theirs = [published[group].get(base, {}).get(attack) for group in ("with", "without")]
            told = "" if None in theirs else difference(theirs[0], theirs[1], 2)
            gaps = [spread(ahead(around, alone, figure), sign=True) for figure in (best, last)]
            rows.append([name, ATTACKS[attack], *gaps, told])
    return table(["rule", "attack", "DeSGD ahead by: best", "last", "published (best)"], rows)


def _orders(folder: Path) -> str:
    runs = Runs(folder)
    rows = []
    for base, name in BASES.items():
        three = [runs.of(wrapped(base), _HEADLINE, group) for group in ("with", "printed", "beta-0")]
        tried = three if base in ("trimmed-mean", "dnc") else three[:2]
        cells = [cell for run in tried for cell in _cells(run)]
        rows.append([f"{name}, {ATTACKS[_HEADLINE]}", *cells, *[""] * (6 - len(cells))])
    two = [runs.of(wrapped("dnc"), "sign-flip", group) for group in ("with", "printed")]
    rows.append(["DnC, SignFlip", *(cell for run in two for cell in _cells(run)), "", ""])
    head = ["momentum of DeSGD", "usual order: best", "last", "printed order: best", "last", "beta = 0: best", "last"]
    return table(head, rows)


def _cells(run: Run | None) -> Iterator[str]:
    yield from (number(best(run)), number(last(run)))


def _compensation(folder: Path) -> str:
    runs = Runs(folder)
    rows = []
    for base in ("trimmed-mean", "dnc"):
        row = [BASES[base]]
        for gamma in (",gamma=0", "", ",gamma=0.75"):
            row += _cells(runs.of(wrapped(base) + gamma, _HEADLINE, "with"))
        rows.append(row)
    return table(["compensation, ALIE", "gamma = 0: best", "last", "0.5: best", "last", "0.75: best", "last"], rows)


def _draws(folder: Path) -> str:
    """Which classes a round has."""
    runs = Runs(folder)
    ways = {
        "one, in turn": "with",
        "one, drawn at random": "one-drawn",
        "three, in turn": "three-classes",
        "three, drawn at random": "three-drawn",
    }
    rows = [[title, *_cells(runs.of(wrapped("trimmed-mean"), _HEADLINE, group))] for title, group in ways.items()]
    return table(["classes of a round, TrimmedMean under ALIE", "best", "last"], rows)


def _drops(folder: Path) -> str:
    """Table II, measured from SGD with momentum."""
    return _below(Runs(folder), paper(folder)["drop"], BASES, BASES)


def _below(
    runs: Runs,
    published: Mapping[str, Mapping[str, Sequence[float]]],
    bases: Sequence[str] | Mapping[str, str],
    titles: Mapping[str, str],
    within: Mapping[str, str] | None = None,
) -> str:
    """By the best test and by the last, over the seeds that a rule and SGD with momentum both have."""
    rows = []
    for base in bases:
        inner = (within or {}).get(base, base)
        pairs = ("without", f"bucketing:s=2 >> {base}", "bucketing"), ("with", wrapped(inner), "desgd")
        for title, figure in (("best", best), ("last", last)):
            top = baseline(runs, figure)
            row = [titles[base], title]
            for group, rule, key in pairs:
                row += [spread(ahead(top, runs.seeds(rule, attack, group), figure)) for attack in WORKERS[:3]]
                row.append(", ".join(f"{value:.2f}" for value in published[base][key]) * (figure is best))
            rows.append(row)
    three = ["IPM", "ALIE", "published (best)"]
    return table(["rule", "test", "bucketing (2): SignFlip", *three, "DeSGD: SignFlip", *three], rows)


def baseline(runs: Runs, figure: Figure = best) -> list[Run]:
    """SGD with momentum over seeds, with the learning rate that is the better of two by a figure; none of one alone."""
    found = [runs.seeds("mean", "no-attack", group) for group in ("baseline", "baseline-0.01")]
    seeds = set.intersection(*(set(by_seed(side)) for side in found))
    if not seeds:
        return []
    return max(found, key=lambda side: fmean(figure(by_seed(side)[seed]) or 0.0 for seed in seeds))


def _tops(folder: Path) -> str:
    runs = Runs(folder)
    titles = {"baseline": "learning rate 0.1", "baseline-0.01": "learning rate 0.01"}
    rows = [[title, *_pair(runs.seeds("mean", "no-attack", group)), "90.58"] for group, title in titles.items()]
    return table(["SGD with momentum 0.9, no attack, no defence", "best", "last", "published"], rows)


def _accepted_rows(folder: Path) -> str:
    runs = Runs(folder)
    rows = []
    for base in ("cosine-clustering", "cosine-clustering:linkage=complete", "cosine-clustering:linkage=average"):
        linkage = base.rpartition("=")[2] if ":" in base else "single"
        pair = runs.seeds(base, _HEADLINE, "without"), runs.seeds(wrapped(base), _HEADLINE, "with")
        keys = ("byzantine_accepted", "honest_accepted")
        rows.append([linkage, *(share_over_seeds(found, key) for found in pair for key in keys)])
    head = ["linkage, under ALIE", "without: byzantine accepted", "honest", "with DeSGD: byzantine accepted", "honest"]
    return table(head, rows)


def heir(name: str) -> Heir:
    """The run that has taken the place of one of before, which had single linkage throughout."""
    if not name.startswith(("without/bucketing", "printed/")) or "cosine-clustering" not in name:
        return name, ""
    base = "class-wise:base=cosine-clustering"
    complete = "cosine-clustering:linkage=complete"
    now = name.replace(base, wrapped(complete)) if base in name else name.replace("cosine-clustering", complete)
    return now, "complete linkage"


DESGD = {
    "made": made,
    "baseline": _tops,
    "table-1": _with_and_without,
    "ahead": _ahead,
    "linkages": _accepted_rows,
    "orders": _orders,
    "compensation": _compensation,
    "draws": _draws,
    "drops": _drops,
    "before": lambda folder: beside_before(folder, Runs(folder), heir),
}


# --- its own network ----------------------------------------------------------------------------------------


def _table_1(folder: Path) -> str:
    """Every cell: best / last, and the best that is published."""
    runs = Runs(folder)
    published = paper(folder)
    rows = [_row(runs, published["without"], base, base, "without", name) for base, name in TABLE_1.items()]
    for base, inner in WITHIN.items():
        rows.append(_row(runs, published["with"], base, wrapped(inner), "with", f"{TABLE_1[base]} + DeSGD"))
    head = [cell for attack in WORKERS for cell in (f"{ATTACKS[attack]}: best / last", "published")]
    return table(["rule", *head], rows)


def _row(
    runs: Runs, published: Mapping[str, Mapping[str, float]], base: str, rule: str, group: str, name: str
) -> list[str]:
    row = [name]
    for attack in WORKERS:
        run = runs.of(rule, attack, group)
        row.append(PENDING if run is None else " / ".join(_cells(run)))
        row.append(_beside(published, base, attack))
    return row


def _table_2(folder: Path) -> str:
    return _below(Runs(folder), paper(folder)["drop"], _TABLE_2, TABLE_1, WITHIN)


def _figure_3(folder: Path) -> str:
    """Krum under SignFlip with more and more of DeSGD."""
    runs = Runs(folder)
    krum = wrapped(WITHIN["krum"])
    ways = {
        "gradients": runs.of("krum", "sign-flip", "gradients"),
        "worker momentum": runs.of("krum", "sign-flip", "without"),
        "gradients class by class": runs.of(f"{krum},gamma=0", "sign-flip", "class-gradients"),
        "class momentum": runs.of(f"{krum},gamma=0", "sign-flip", "with"),
        "class momentum and compensation: DeSGD": runs.of(krum, "sign-flip", "with"),
    }
    rows = [[title, *_cells(run)] for title, run in ways.items()]
    return table(["Krum under SignFlip (Fig. 3)", "best", "last"], rows)


DESGD_CNN = {"made": made, "baseline": _tops, "table-1": _table_1, "table-2": _table_2, "figure-3": _figure_3}
