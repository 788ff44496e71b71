"""The claims of FedSECA."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from . import fedseca
from .claim import NEAR, SEEDS, Claim, Found, Measured, all_hold, at_least, beside
from .pieces import PENDING, Runs, last, number, until


def _fedseca(results: Path) -> Runs:
    return Runs(results / "fedseca", rounds=fedseca.ROUNDS)


def _stays(attack: str) -> Measured:
    """FedSECA under an attack beside itself without, over seeds."""

    def measured(results: Path) -> Found:
        runs = _fedseca(results)
        found = runs.seeds(fedseca.OURS, attack, "rules")
        own = runs.seeds(fedseca.OURS, "no-attack", "rules")
        return beside(found, own, lambda mean, top: mean >= top - NEAR, seeds=SEEDS)

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
    """Attacks under which both byzantine clients are outvoted in most rounds of all seeds."""
    runs = _fedseca(results)
    under = []
    for attack, name in fedseca.SEVEN.items():
        rounds = fedseca.ratios_of(runs.seeds(fedseca.OURS, attack, "rules"))
        if not rounds:
            return Found(text=PENDING)
        out = sum(all(ratios[client] == 0 for client in fedseca.BYZANTINE) for ratios in rounds)
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
    return Found(text=text, holds=all_hold([at_least(own, other) for other in others]))


FEDSECA = [
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
        setting="both byzantine clients with ratio 0 in most rounds, 3 seeds",
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
