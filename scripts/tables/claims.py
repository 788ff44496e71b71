"""The page that goes claim by claim through the papers: our figure beside each, and whether the claim holds here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from . import desgd, fedseca, siren
from .pieces import PENDING, Run, Runs, best, difference, last, lowest, number, over_seeds, reached, table, until

NEAR = 3.0  # points that a short training may lie below the same system without attack
NOT_TRIED = "not tried"


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was measured for a claim; nothing is said of whether it holds until all of it is there."""

    text: str
    holds: bool | None = None


Measured = Callable[[Path], Found]
Figure = Callable[[Run | None], float | None]
SEEDS = 3  # of the headlines


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a paper says, where it says so, what that was tried with here, and what counts as holding."""

    said: str
    place: str
    setting: str
    mark: str = ""
    measured: Measured | None = None

    def row(self, results: Path) -> list[str]:
        """A line of the table."""
        if self.measured is None:
            return [self.said, self.place, self.setting, "", "", NOT_TRIED]
        found = self.measured(results)
        verdict = {None: "not run yet", True: "holds", False: "**does not**"}[found.holds]
        return [self.said, self.place, self.setting, self.mark, found.text, verdict]


def _table(claims: Sequence[Claim]) -> Callable[[Path], str]:
    head = ["claim", "place", "tried with", "holds if", "figure", "verdict"]
    return lambda results: table(head, (claim.row(results) for claim in claims))


def _mean(runs: Sequence[Run], seeds: int = 1, figure: Figure = last) -> float | None:
    """The mean of a figure over seeds; None until there are so many."""
    known = [value for run in runs if (value := figure(run)) is not None]
    return fmean(known) if len(known) >= seeds else None


def _all(conditions: Sequence[bool | None]) -> bool | None:
    """Whether all hold; None while one is not known."""
    return None if None in conditions or not conditions else all(conditions)


def _at_least(a: float | None, b: float | None) -> bool | None:
    return None if a is None or b is None else a >= b


# --- siren --------------------------------------------------------------------------------------------------


def _siren(results: Path) -> Runs:
    return siren.runs_of(results / "siren")


def as_long(runs: Sequence[Run], others: Sequence[Run]) -> list[Run]:
    """Runs as they were after as many rounds as the shortest of others has; as they are where there are none."""
    rounds = min((int(max(other["accuracy_by_round"], key=int)) for other in others), default=None)
    if rounds is None:
        return list(runs)
    return [run for whole in runs if (run := until(whole, rounds)) is not None]


def _near_own(name: str, reference: str, seeds: int = 1) -> Measured:
    """Last accuracy over seeds, beside the same without attack."""

    def measured(results: Path) -> Found:
        runs = _siren(results)
        found = runs.called(name)
        own = as_long(runs.called(reference), found)
        text = f"{over_seeds(found, last)} against {over_seeds(own, last)}"
        mean, top = _mean(found, seeds), _mean(own, seeds)
        return Found(text=text, holds=None if mean is None or top is None else mean >= top - NEAR)

    return measured


def _above(name: str, other: str) -> Measured:
    """Last accuracy above that of another rule under the same attack."""

    def measured(results: Path) -> Found:
        runs = _siren(results)
        ours, theirs = runs.called(name), runs.called(other)
        mean, limit = _mean(ours), _mean(theirs)
        text = f"{over_seeds(ours, last)} against {over_seeds(theirs, last)}"
        return Found(text=text, holds=None if mean is None or limit is None else mean > limit)

    return measured


def _index(results: Path) -> Found:
    """The malicious index at the end: of every attacker above C_p, of every honest client not."""
    sides: list[bool | None] = []
    texts = []
    for attack in (siren.FLIP, siren.ALWAYS):
        run = _siren(results).named.get(f"iid-40/siren under {attack}")
        if run is None or siren.INDEX not in run:
            return Found(text=PENDING)
        final = list(run[siren.INDEX].values())[-1]
        bad, good = ([index for index in side if index is not None] for side in (final[:4], final[4:]))
        texts.append(f"attackers {min(bad):g} to {max(bad):g}, honest {min(good):g} to {max(good):g}")
        sides.append(min(bad) > 4.5 >= max(good))
    return Found(text="; always alarming: ".join(texts), holds=_all(sides))


def _angles(results: Path) -> Found:
    runs = _siren(results).named
    names = (f"iid-40/siren under {siren.FLIP}", f"angles/siren:weight_analysis=False under {siren.FLIP}")
    lows = [lowest(runs.get(name), 5) for name in names]
    return Found(text=" against ".join(map(number, lows)), holds=_at_least(*lows))


def _recovery(results: Path) -> Found:
    runs = _siren(results)
    names = {
        "SIREN": "late/delayed:base=siren,start=10",
        "Median": "others-late/delayed:base=median,start=10",
        "Krum": "others-late/delayed:base=(krum:f=4,bound=definition),start=10",
    }
    ends = {name: last(runs.named.get(f"{run} under {siren.FLIP}")) for name, run in names.items()}
    text = ", ".join(f"{name} {number(end)}" for name, end in ends.items())
    own = ends.pop("SIREN")
    return Found(text=text, holds=_all([None if e is None or own is None else own > e + NEAR for e in ends.values()]))


def _confidence(results: Path) -> Found:
    runs = _siren(results).named
    found = [runs.get(f"{name} under targeted-poisoning") for name in ("iid-40/siren", "others-40/mean")]
    if None in found:
        return Found(text=PENDING)
    ours, theirs = (list(run["confidence_by_round"].values())[-1] for run in found if run is not None)
    return Found(text=f"{ours:.3f}, FedAvg {theirs:.3f}", holds=ours < 0.1 < theirs)


def _rounds_to(results: Path) -> Found:
    runs = _siren(results)
    names = ["iid-0/siren under no-attack"]
    names += [f"iid-40/siren under {attack}" for attack in (siren.FLIP, siren.ALWAYS)]
    found = [runs.named.get(name) for name in names]
    if None in found:
        return Found(text=PENDING)
    when = [reached(run, 75) for run in found]
    text = ", ".join("never" if r is None else str(r) for r in when)
    return Found(text=text, holds=None not in when and max(r for r in when if r is not None) <= 2 * (when[0] or 0))


_SIREN = [
    Claim(
        said="40 % boosted sign-flippers cost half a point (90.94 of 91.46)",
        place="section 5, IID",
        setting="honest alarms, 20 short rounds, 3 seeds",
        mark=f"last within {NEAR:g} points of no attack",
        measured=_near_own(f"iid-40/siren under {siren.FLIP}", "iid-0/siren under no-attack", SEEDS),
    ),
    Claim(
        said="the same",
        place="section 5, IID",
        setting="always alarming, as the authors' code plays it, 3 seeds",
        mark=f"last within {NEAR:g} points",
        measured=_near_own(f"iid-40/siren under {siren.ALWAYS}", "iid-0/siren under no-attack", SEEDS),
    ),
    Claim(
        said="40 % label-flippers cost a point (90.64 of 91.46)",
        place="section 5, IID",
        setting="honest alarms",
        mark=f"last within {NEAR:g} points",
        measured=_near_own("iid-40/siren under label-flip", "iid-0/siren under no-attack"),
    ),
    Claim(
        said="p = 0.5: 40 % sign-flippers cost 1.7 points (88.88 of 90.53)",
        place="section 5, non-IID",
        setting="honest alarms",
        mark=f"last within {NEAR:g} points",
        measured=_near_own(f"degree-40/siren under {siren.FLIP}", "degree-0/siren under no-attack"),
    ),
    Claim(
        said="p = 0.5: 40 % label-flippers cost 0.6 points (89.89 of 90.53)",
        place="section 5, non-IID",
        setting="honest alarms",
        mark=f"last within {NEAR:g} points",
        measured=_near_own("degree-40/siren under label-flip", "degree-0/siren under no-attack"),
    ),
    Claim(
        said="80 % sign-flippers are withstood",
        place="sections 1 and 5",
        setting="honest alarms, 3 seeds",
        mark=f"last within {NEAR:g} points",
        measured=_near_own(f"iid-80/siren under {siren.FLIP}", "iid-0/siren under no-attack", SEEDS),
    ),
    Claim(
        said="the same",
        place="sections 1 and 5",
        setting="always alarming, 3 seeds",
        mark=f"last within {NEAR:g} points",
        measured=_near_own(f"iid-80/siren under {siren.ALWAYS}", "iid-0/siren under no-attack", SEEDS),
    ),
    Claim(
        said="80 % label-flippers: above 85, coomed is near 0",
        place="section 5.4",
        setting="honest alarms, against Median",
        mark="last above Median's",
        measured=_above("iid-80/siren under label-flip", "others-80/median under label-flip"),
    ),
    Claim(
        said="better than Krum at 40 % (90.94 against 88.18)",
        place="section 5, IID",
        setting="honest alarms; Krum with f = 4 of 10, beyond the bound of its theorem",
        mark="last above Krum's",
        measured=_above(f"iid-40/siren under {siren.FLIP}", f"others-40/krum:f=4,bound=definition under {siren.FLIP}"),
    ),
    Claim(
        said="better than coomed at 40 % (90.94 against 68.8)",
        place="section 5, IID",
        setting="honest alarms, against Median",
        mark="last above Median's",
        measured=_above(f"iid-40/siren under {siren.FLIP}", f"others-40/median under {siren.FLIP}"),
    ),
    Claim(
        said="50 clients, 80 %: 84 and more",
        place="section 5",
        setting="8 local steps a client, honest alarms, 40 rounds",
        mark=f"last within {NEAR:g} points of no attack",
        measured=_near_own(f"fifty-80/siren under {siren.FLIP}", "fifty-0/siren under no-attack"),
    ),
    Claim(
        said="angles between updates tell more than accuracies alone",
        place="Figs. 5 and 6",
        setting="40 %, honest alarms, one seed: with angles against `weight_analysis=False`",
        mark="lowest test after round 5 not below",
        measured=_angles,
    ),
    Claim(
        said="the malicious index tells attackers from honest clients",
        place="Figs. 11 to 14",
        setting="40 %, honest alarms; always alarming; after 20 rounds",
        mark="attackers all above C_p = 4.5, honest clients not",
        measured=_index,
    ),
    Claim(
        said="convergence is hardly slower under attack",
        place="Fig. 16 (85 %)",
        setting="rounds to 75 %: no attack; 40 %, honest alarms; always alarming",
        mark="at most twice as many",
        measured=_rounds_to,
    ),
    Claim(
        said="switched on late, only SIREN recovers",
        place="section 5.9, Fig. 17",
        setting="from round 11 on, 40 % sign-flippers",
        mark=f"last {NEAR:g} points above the others",
        measured=_recovery,
    ),
    Claim(
        said="targeted poisoning loses its hold",
        place="section 5.7 (CIFAR-10)",
        setting="Fashion-MNIST, 40 %, confidence of the wrong label after 20 rounds",
        mark="below 0.1, FedAvg's above",
        measured=_confidence,
    ),
    Claim(said="CIFAR-10: 51.58 and 45.50 of 55.33 at 40 % and 80 %", place="Table 3", setting=""),
]

# --- desgd --------------------------------------------------------------------------------------------------


def _gains(attacks: Sequence[str], figure: Figure) -> Measured:
    """How many of the rules of Table I are better with DeSGD."""

    def measured(results: Path) -> Found:
        runs = Runs(results / "desgd-cnn")
        better: list[bool | None] = []
        for attack in attacks:
            for base, inner in desgd.WITHIN.items():
                alone = figure(runs.of(base, attack, "without"))
                better.append(_at_least(figure(runs.of(desgd.wrapped(inner), attack, "with")), alone))
        known = [b for b in better if b is not None]
        return Found(text=f"{sum(known)} of {len(known)}" if known else PENDING, holds=_all(better))

    return measured


def _headline(base: str, figure: Figure) -> Measured:
    """With and without DeSGD under ALIE, over seeds, the small network."""

    def measured(results: Path) -> Found:
        runs = Runs(results / "desgd")
        pair = [
            runs.seeds(rule, "alie:z=1", group) for rule, group in ((desgd.wrapped(base), "with"), (base, "without"))
        ]
        text = " against ".join(over_seeds(found, figure) for found in pair)
        means = [_mean(found, SEEDS, figure) for found in pair]
        return Found(text=text, holds=_at_least(*means))

    return measured


def _strategies(results: Path) -> Found:
    runs = Runs(results / "desgd-cnn")
    krum = desgd.wrapped(desgd.WITHIN["krum"])
    whole = best(runs.of(krum, "sign-flip", "with"))
    others = [best(runs.of("krum", "sign-flip", group)) for group in ("gradients", "without")]
    others += [best(runs.of(f"{krum},gamma=0", "sign-flip", group)) for group in ("class-gradients", "with")]
    text = f"{number(whole)} against {', '.join(map(number, others))}"
    return Found(text=text, holds=_all([_at_least(whole, other) for other in others]))


def _less_lost(results: Path) -> Found:
    """Under ALIE, with DeSGD against bucketing."""
    runs = Runs(results / "desgd-cnn")
    better = []
    texts = []
    for base in ("multi-krum", "trimmed-mean", "dnc", "cosine-clustering:linkage=complete"):
        around = best(runs.of(desgd.wrapped(desgd.WITHIN[base]), "alie:z=1", "with"))
        buckets = best(runs.of(f"bucketing:s=2 >> {base}", "alie:z=1", "without"))
        better.append(_at_least(around, buckets))
        texts.append(f"{desgd.TABLE_1[base]} {difference(around, buckets)}")
    return Found(text=", ".join(texts), holds=_all(better))


def _reaches(results: Path) -> Found:
    tops = [desgd.baseline(Runs(results / name)) for name in ("desgd", "desgd-cnn")]
    return Found(text=", ".join(map(number, tops)), holds=_at_least(tops[1], 90.58 - NEAR))


_DESGD = [
    *(
        Claim(
            said=f"{name} under ALIE is better with DeSGD ({published})",
            place="Table I",
            setting=f"MLP, 2000 iterations, 3 seeds, {which} test",
            mark="mean not below",
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
    Claim(
        said="less is lost than with bucketing under ALIE",
        place="Table II",
        setting="CNN, 300 iterations, best test, points ahead of bucketing",
        mark="all four not below",
        measured=_less_lost,
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

# --- fedseca ------------------------------------------------------------------------------------------------


def _fedseca(results: Path) -> Runs:
    return Runs(results / "fedseca", rounds=fedseca.ROUNDS)


def _stays(attack: str) -> Measured:
    """FedSECA under an attack beside itself without, over seeds."""

    def measured(results: Path) -> Found:
        runs = _fedseca(results)
        found = runs.seeds(fedseca.OURS, attack, "rules")
        own = runs.seeds(fedseca.OURS, "no-attack", "rules")
        mean, top = _mean(found, SEEDS), _mean(own, SEEDS)
        text = f"{over_seeds(found, last)} against {over_seeds(own, last)}"
        return Found(text=text, holds=None if mean is None or top is None else mean >= top - NEAR)

    return measured


def _worst_of_all(results: Path) -> Found:
    return _worst(_fedseca(results), fedseca.OTHERS)


def _worst_on_cifar(results: Path) -> Found:
    three = ("mean", "median", "krum:f=2,bound=definition")
    return _worst(Runs(results / "fedseca-cifar10"), {rule: fedseca.OTHERS[rule] for rule in three})


def _worst(runs: Runs, others: Mapping[str, str]) -> Found:
    """The lowest accuracy under the seven attacks, of FedSECA and of the best of the others in that."""
    lows: dict[str, float] = {}
    for rule, name in {fedseca.OURS: "FedSECA", **others}.items():
        group = "rules" if rule == fedseca.OURS else "others"
        found = [last(runs.of(rule, attack, group)) for attack in fedseca.SEVEN]
        if None in found:
            return Found(text=PENDING)
        lows[name] = min(figure for figure in found if figure is not None)
    own = lows.pop("FedSECA")
    rival = max(lows, key=lambda name: lows[name])
    return Found(text=f"{number(own)}, next {rival} {number(lows[rival])}", holds=own >= lows[rival])


def _outvoted(results: Path) -> Found:
    """Attacks under which both byzantine clients are outvoted in most rounds."""
    runs = _fedseca(results)
    under = []
    for attack, name in fedseca.SEVEN.items():
        run = runs.of(fedseca.OURS, attack, "rules")
        if run is None or "concordance" not in run:
            return Found(text=PENDING)
        rounds = list(run["concordance"].values())
        out = sum(ratios[3] == 0 and ratios[4] == 0 for ratios in rounds)
        if 2 * out > len(rounds):
            under.append(name)
    text = f"{len(under)} of {len(fedseca.SEVEN)}" + (f": {', '.join(under)}" if under else "")
    return Found(text=text, holds=len(under) == len(fedseca.SEVEN))


def _level(results: Path) -> Found:
    runs = _fedseca(results)
    own, mean = last(runs.of(fedseca.OURS, "no-attack", "rules")), last(runs.of("mean", "no-attack", "others"))
    near = None if own is None or mean is None else own >= mean - NEAR
    return Found(text=f"{number(own)} against {number(mean)}", holds=near)


def _needs_concordance(results: Path) -> Found:
    """Under IPM, weighing by concordance against one vote each and by size."""
    folder = Runs(results / "fedseca")
    ipm = "ipm:epsilon=1.3,jitter=0.05,knows=all"
    own = last(until(_fedseca(results).of(fedseca.OURS, ipm, "rules"), 20))
    others = [last(folder.of(f"{fedseca.OURS},vote={vote}", ipm, "ablation")) for vote in ("count", "mass")]
    text = f"{number(own)} against {', '.join(map(number, others))}"
    return Found(text=text, holds=_all([_at_least(own, other) for other in others]))


_FEDSECA = [
    *(
        Claim(
            said=f"withstands {name}",
            place="section 5",
            setting="Fashion-MNIST, 5 silos, 2 byzantine, 50 rounds, 3 seeds",
            mark=f"last within {NEAR:g} points of no attack",
            measured=_stays(attack),
        )
        for attack, name in fedseca.SEVEN.items()
    ),
    Claim(
        said="is the most robust of all: highest accuracy under the worst attack",
        place="abstract, section 5",
        setting="ten baselines, Mean and Median, one seed",
        mark="worst of seven not below any other's",
        measured=_worst_of_all,
    ),
    Claim(
        said="costs nothing without attack",
        place="section 5",
        setting="against Mean, 50 rounds",
        mark=f"last within {NEAR:g} points",
        measured=_level,
    ),
    Claim(
        said="concordance finds byzantine clients out",
        place="section 4, Fig. 1",
        setting="both byzantine clients with ratio 0 in most rounds",
        mark="under all seven attacks",
        measured=_outvoted,
    ),
    Claim(
        said="the weighted vote is what withstands",
        place="ablation",
        setting="IPM, 20 rounds: against one vote each, votes by size",
        mark="not below",
        measured=_needs_concordance,
    ),
    Claim(
        said="is the most robust of all on CIFAR-10",
        place="section 5",
        setting="small network, 10 rounds, against Mean, Median and Krum, one seed",
        mark="worst of seven not below any other's",
        measured=_worst_on_cifar,
    ),
    Claim(said="EuroSAT with DeiT-S, ISIC-2019 with ConvNeXt-nano", place="section 5", setting=""),
]

CLAIMS: Mapping[str, Callable[[Path], str]] = {
    "siren": _table(_SIREN),
    "desgd": _table(_DESGD),
    "fedseca": _table(_FEDSECA),
}
