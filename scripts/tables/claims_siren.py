"""The claims of SIREN."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from . import siren
from .claim import NEAR, SEEDS, Claim, Found, Measured, all_hold, at_least, beside, rivals
from .pieces import PENDING, Run, Runs, last, lowest, number, reached, until


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
        return beside(found, own, lambda mean, top: mean >= top - NEAR, seeds=seeds)

    return measured


def _above(name: str, other: str, seeds: int = 1) -> Measured:
    """Last accuracy above that of another rule under the same attack."""

    def measured(results: Path) -> Found:
        runs = _siren(results)
        return rivals(runs.called(name), runs.called(other), seeds=seeds)

    return measured


def _index(results: Path) -> Found:
    """The malicious index at the end, of all seeds: of every attacker above C_p, of every honest client not."""
    sides: list[bool | None] = []
    texts = []
    for attack in (siren.FLIP, siren.ALWAYS):
        found = _siren(results).called(f"iid-40/siren under {attack}")
        if not found or any(siren.INDEX not in run for run in found):
            return Found(text=PENDING)
        finals = [list(run[siren.INDEX].values())[-1] for run in found]
        bad, good = ([i for final in finals for i in final[part] if i is not None] for part in (_BAD, _GOOD))
        texts.append(f"attackers {min(bad):g} to {max(bad):g}, honest {min(good):g} to {max(good):g}")
        sides.append(min(bad) > 4.5 >= max(good))
    return Found(text="; always alarming: ".join(texts), holds=all_hold(sides))


_BAD, _GOOD = slice(0, 4), slice(4, None)


def _angles(results: Path) -> Found:
    """The lowest test with and without the angles, under each attack; whether the runs differ at all."""
    runs = _siren(results).named
    pairs = []
    for attack in (siren.FLIP, siren.ALWAYS, "label-flip"):
        names = (f"iid-40/siren under {attack}", f"angles/siren:weight_analysis=False under {attack}")
        pairs.append([runs.get(name) for name in names])
    lows = [[lowest(run, 5) for run in pair] for pair in pairs]
    text = "; ".join(" against ".join(map(number, low)) for low in lows)
    alike = all(a and b and a["accuracy_by_round"] == b["accuracy_by_round"] for a, b in pairs)
    return Found(
        text=text + ": every test the same" * alike,
        holds=all_hold([at_least(a, b) for a, b in lows]),
        nothing=all(a == b for a, b in lows),
    )


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
    return Found(
        text=text, holds=all_hold([None if e is None or own is None else own > e + NEAR for e in ends.values()])
    )


def _confidence(results: Path) -> Found:
    runs = _siren(results).named
    found = [runs.get(f"{name} under targeted-poisoning") for name in ("iid-40/siren", "others-40/mean")]
    if None in found:
        return Found(text=PENDING)
    ours, theirs = (list(run["confidence_by_round"].values())[-1] for run in found if run is not None)
    return Found(text=f"{ours:.3f}, FedAvg {theirs:.3f}", holds=ours < 0.1 < theirs)


def _rounds_to(results: Path) -> Found:
    """Rounds to a mark, seed by seed: under attack at most twice as many as the same seed needs without."""
    runs = _siren(results)
    names = ["iid-0/siren under no-attack"]
    names += [f"iid-40/siren under {attack}" for attack in (siren.FLIP, siren.ALWAYS)]
    when = [[reached(run, 75) for run in runs.called(name)] for name in names]
    if not all(when) or len({len(each) for each in when}) > 1:
        return Found(text=PENDING)
    text = "; ".join(", ".join("never" if r is None else str(r) for r in each) for each in when)
    own, *attacked = when
    soon = [a is not None and b is not None and b <= 2 * a for each in attacked for a, b in zip(own, each, strict=True)]
    return Found(text=text, holds=all(soon))


SIREN = [
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
        setting="honest alarms; Krum with f = 4 of 10, beyond the bound of its theorem; 3 seeds of each",
        mark="mean of the last above Krum's",
        measured=_above(
            f"iid-40/siren under {siren.FLIP}", f"others-40/krum:f=4,bound=definition under {siren.FLIP}", SEEDS
        ),
    ),
    Claim(
        said="better than coomed at 40 % (90.94 against 68.8)",
        place="section 5, IID",
        setting="honest alarms, against Median, 3 seeds of each",
        mark="mean of the last above Median's",
        measured=_above(f"iid-40/siren under {siren.FLIP}", f"others-40/median under {siren.FLIP}", SEEDS),
    ),
    Claim(
        said="50 clients, 80 %: 84 and more",
        place="section 5",
        setting="8 local steps a client, honest alarms, 40 rounds, 3 seeds of each",
        mark=f"mean of the last within {NEAR:g} points of no attack",
        measured=_near_own(f"fifty-80/siren under {siren.FLIP}", "fifty-0/siren under no-attack", SEEDS),
    ),
    Claim(
        said="50 clients, 80 %: 84 and more",
        place="section 5",
        setting="8 local steps a client, always alarming, 40 rounds, one seed",
        mark=f"last within {NEAR:g} points of no attack",
        measured=_near_own(f"fifty-80-always/siren under {siren.ALWAYS}", "fifty-0/siren under no-attack"),
    ),
    Claim(
        said="angles between updates tell more than accuracies alone",
        place="Figs. 5 and 6",
        setting="40 %, one seed, against `weight_analysis=False`: honest alarms; always alarming; label-flip",
        mark="lowest test after round 5 not below, and not the same",
        measured=_angles,
    ),
    Claim(
        said="the malicious index tells attackers from honest clients",
        place="Figs. 11 to 14",
        setting="40 %, honest alarms; always alarming; after 20 rounds, 3 seeds",
        mark="attackers all above C_p = 4.5, honest clients not",
        measured=_index,
    ),
    Claim(
        said="convergence is hardly slower under attack",
        place="Fig. 16 (85 %)",
        setting="rounds to 75 %, 3 seeds: no attack; 40 %, honest alarms; always alarming",
        mark="at most twice as many, seed by seed",
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
