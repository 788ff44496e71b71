"""The claims of DeSGD."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from . import desgd
from .claim import NEAR, SEEDS, Claim, Figure, Found, Measured, all_hold, at_least, mean_of, rivals
from .pieces import PENDING, Runs, best, difference, last, number, over_seeds


def _gains(attacks: Sequence[str], figure: Figure) -> Measured:
    """How many of the rules of Table I are better with DeSGD."""

    def measured(results: Path) -> Found:
        runs = Runs(results / "desgd-cnn")
        better: list[bool | None] = []
        for attack in attacks:
            for base, inner in desgd.WITHIN.items():
                alone = figure(runs.of(base, attack, "without"))
                better.append(at_least(figure(runs.of(desgd.wrapped(inner), attack, "with")), alone))
        known = [b for b in better if b is not None]
        return Found(text=f"{sum(known)} of {len(known)}" if known else PENDING, holds=all_hold(better))

    return measured


def _headline(base: str, figure: Figure) -> Measured:
    """With and without DeSGD under ALIE, over seeds, the small network."""

    def measured(results: Path) -> Found:
        runs = Runs(results / "desgd")
        pair = [
            runs.seeds(rule, "alie:z=1", group) for rule, group in ((desgd.wrapped(base), "with"), (base, "without"))
        ]
        return rivals(*pair, figure, SEEDS)

    return measured


def _strategies(results: Path) -> Found:
    runs = Runs(results / "desgd-cnn")
    krum = desgd.wrapped(desgd.WITHIN["krum"])
    whole = best(runs.of(krum, "sign-flip", "with"))
    others = [best(runs.of("krum", "sign-flip", group)) for group in ("gradients", "without")]
    others += [best(runs.of(f"{krum},gamma=0", "sign-flip", group)) for group in ("class-gradients", "with")]
    text = f"{number(whole)} against {', '.join(map(number, others))}"
    return Found(text=text, holds=all_hold([at_least(whole, other) for other in others]))


def _less_lost(figure: Figure) -> Measured:
    """Under ALIE, with DeSGD against bucketing."""

    def measured(results: Path) -> Found:
        runs = Runs(results / "desgd-cnn")
        better = []
        texts = []
        for base in ("multi-krum", "trimmed-mean", "dnc", "cosine-clustering:linkage=complete"):
            around = figure(runs.of(desgd.wrapped(desgd.WITHIN[base]), "alie:z=1", "with"))
            buckets = figure(runs.of(f"bucketing:s=2 >> {base}", "alie:z=1", "without"))
            better.append(at_least(around, buckets))
            texts.append(f"{desgd.TABLE_1[base]} {difference(around, buckets)}")
        return Found(text=", ".join(texts), holds=all_hold(better))

    return measured


def _reaches(results: Path) -> Found:
    found = [desgd.baseline(Runs(results / name)) for name in ("desgd", "desgd-cnn")]
    text = ", ".join(over_seeds(runs, best) for runs in found)
    return Found(text=text, holds=at_least(mean_of(found[1], figure=best), 90.58 - NEAR))


DESGD = [
    *(
        Claim(
            said=f"{name} under ALIE is better with DeSGD ({published})",
            place="Table I",
            setting=f"MLP, 2000 iterations, 3 seeds, {which} test",
            mark="mean above",
            measured=_headline(base, figure),
        )
        for base, name, published in (
            ("trimmed-mean", "TrMean", "80.44 against 68.21"),
            ("dnc", "DnC", "85.36 against 76.94"),
            ("cosine-clustering:linkage=complete", "Clustering", "88.66 against 73.63"),
        )
        for which, figure in (("best", best), ("last", last))
    ),
    *(
        Claim(
            said=f"every rule is better with DeSGD under {names}",
            place="Table I",
            setting=f"CNN, 300 iterations, 6 rules, {which} test",
            mark="all of them",
            measured=_gains(attacks, figure),
        )
        for names, attacks in (("ALIE", ["alie:z=1"]), ("SignFlip", ["sign-flip"]), ("IPM", ["ipm"]))
        for which, figure in (("best", best), ("last", last))
    ),
    *(
        Claim(
            said="less is lost than with bucketing under ALIE",
            place="Table II",
            setting=f"CNN, 300 iterations, {which} test, points ahead of bucketing",
            mark="all four not below",
            measured=_less_lost(figure),
        )
        for which, figure in (("best", best), ("last", last))
    ),
    Claim(
        said="Krum under SignFlip: each step towards DeSGD helps",
        place="Fig. 3",
        setting="CNN, 300 iterations, best test: DeSGD against four other strategies (as we read them)",
        mark="DeSGD not below any",
        measured=_strategies,
    ),
    Claim(said="Mimic, constant, Gaussian and label-flip columns", place="Table I", setting=""),
    Claim(
        said="SGD with momentum reaches 90.58",
        place="Table I",
        setting="MLP, 2000 iterations; CNN, 300; best test",
        mark=f"the CNN within {NEAR:g} points",
        measured=_reaches,
    ),
]
