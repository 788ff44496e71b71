"""The tables of SIREN's folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .pieces import (
    PENDING,
    Run,
    Runs,
    beside_before,
    best,
    last,
    lowest,
    made,
    number,
    over_seeds,
    reached,
    share_over_seeds,
    table,
    until,
)

FLIP = "sign-flip:scale=4"
ALWAYS = "false-alarms:inner=(sign-flip:scale=4)"
HOLE = "false-alarms:inner=(groups:attacks=(sign-flip:scale=4 | sign-flip:scale=0.5))"
INDEX = "malicious index"
_SHORT = 20
_SETTLED = 5  # rounds after which a model that is not attacked has left the worst behind
_MARK = 75  # per cent; the paper's is out of reach in so short a training
_PAPERS = 85
_MARKS = (75, 80, 84, _PAPERS)  # in trainings of 40 rounds

_NAMES = {
    "no-attack": "none",
    FLIP: "sign-flip x 4, honest alarms",
    ALWAYS: "sign-flip x 4, always alarming",
    "label-flip": "label-flip, honest alarms",
    "targeted-poisoning": "targeted, n / m boosted",
}
_SYSTEM = [
    ("SIREN", "IID", "0", "iid-0/siren under no-attack"),
    ("FedAvg", "IID", "0", "others-0/mean under no-attack"),
    ("SIREN", "IID", "40%", f"iid-40/siren under {FLIP}"),
    ("SIREN", "IID", "40%", f"iid-40/siren under {ALWAYS}"),
    ("SIREN", "IID", "40%", "iid-40/siren under label-flip"),
    ("SIREN", "IID", "40%", "iid-40/siren under targeted-poisoning"),
    ("SIREN", "IID", "80%", f"iid-80/siren under {FLIP}"),
    ("SIREN", "IID", "80%", f"iid-80/siren under {ALWAYS}"),
    ("SIREN", "IID", "80%", "iid-80/siren under label-flip"),
    ("SIREN, 40 rounds", "IID", "0", "iid-0/siren under no-attack"),
    ("FedAvg, 40 rounds", "IID", "0", "others-0/mean under no-attack"),
    ("SIREN, 40 rounds", "IID", "40%", f"iid-40-long/siren under {FLIP}"),
    ("SIREN, 40 rounds", "IID", "40%", f"iid-40-long/siren under {ALWAYS}"),
    ("SIREN, 40 rounds", "IID", "80%", f"iid-80-long/siren under {FLIP}"),
    ("SIREN, 40 rounds", "IID", "80%", f"iid-80-long/siren under {ALWAYS}"),
    ("SIREN", "p = 0.5", "0", "degree-0/siren under no-attack"),
    ("FedAvg", "p = 0.5", "0", "others-degree-0/mean under no-attack"),
    ("SIREN", "p = 0.5", "40%", f"degree-40/siren under {FLIP}"),
    ("SIREN", "p = 0.5", "40%", "degree-40/siren under label-flip"),
    ("SIREN", "p = 0.5", "80%", f"degree-80/siren under {FLIP}"),
    ("SIREN", "p = 0.5", "80%", "degree-80/siren under label-flip"),
    ("SIREN, root data apart", "IID", "40%", f"apart/siren under {FLIP}"),
    ("SIREN, a fifth of the clients lost a round", "IID", "40%", "dropout-0/siren under no-attack"),
    ("SIREN, a fifth lost", "IID", "40%", f"dropout-40/siren under {FLIP}"),
    ("FedAvg", "IID", "40%", f"others-40/mean under {FLIP}"),
    ("FedAvg", "IID", "40%", "others-40/mean under label-flip"),
    ("FedAvg", "IID", "40%", "others-40/mean under targeted-poisoning"),
    ("FedAvg", "IID", "80%", f"others-80/mean under {FLIP}"),
    ("FedAvg", "IID", "80%", "others-80/mean under label-flip"),
    ("Krum, f = 4", "IID", "40%", f"others-40/krum:f=4,bound=definition under {FLIP}"),
    ("Krum, f = 4", "IID", "40%", "others-40/krum:f=4,bound=definition under label-flip"),
    ("Median (coomed)", "IID", "40%", f"others-40/median under {FLIP}"),
    ("Median (coomed)", "IID", "40%", "others-40/median under label-flip"),
    ("Median (coomed)", "IID", "80%", f"others-80/median under {FLIP}"),
    ("Median (coomed)", "IID", "80%", "others-80/median under label-flip"),
]
_JUDGING = ("SIREN", "Krum")


def runs_of(folder: Path) -> Runs:
    """Those that are tested in every round."""
    return Runs(folder, evaluate_every=1)


def attack_of(name: str) -> str:
    """The attack of a run, in words."""
    return _NAMES[name.partition(" under ")[2]]


def _figures(found: Sequence[Run]) -> list[str]:
    """Best, last and lowest accuracy over seeds."""
    lows = over_seeds(found, lambda run: lowest(run, _SETTLED))
    return [over_seeds(found, best), over_seeds(found, last), lows]


def _shares(found: Sequence[Run]) -> list[str]:
    return [share_over_seeds(found, key) for key in ("byzantine_accepted", "honest_accepted")]


_HEAD = ["best", "last", f"lowest after round {_SETTLED}"]
_ACCEPTED = ["malicious accepted", "honest accepted"]


def _system(folder: Path) -> str:
    runs = runs_of(folder)
    rows = []
    for rule, data, malicious, name in _SYSTEM:
        found = runs.called(name)
        if malicious == "0" and "40" not in rule:
            found = [short for run in found if (short := until(run, _SHORT)) is not None]
        shares = _shares(found) if rule.startswith(_JUDGING) else ["", ""]
        rows.append([rule, data, malicious, attack_of(name), *_figures(found), *shares])
    return table(["rule", "data", "malicious", "attack", *_HEAD, *_ACCEPTED], rows)


def _rows(folder: Path, wanted: Sequence[tuple[str, str]]) -> list[list[str]]:
    """Title, accuracies and shares of some runs."""
    runs = runs_of(folder)
    return [[title, *_figures(found := runs.called(name)), *_shares(found)] for title, name in wanted]


def _awards(folder: Path) -> str:
    wanted = []
    for data, default, group in (("IID", "iid-40", "awards"), ("p = 0.5", "degree-40", "degree-awards")):
        wanted.append((f'{data}, `award="examined"`', f"{default}/siren under {FLIP}"))
        for award in ("alarm rounds", "quiet rounds"):
            wanted.append((f'{data}, `award="{award}"`', f"{group}/siren:award={award} under {FLIP}"))
    return table(["40 %, sign-flip x 4, honest alarms", *_HEAD, *_ACCEPTED], _rows(folder, wanted))


def _hole(folder: Path) -> str:
    wanted = [(f'`divergent="{way}"`', f"hole/{rule} under {HOLE}") for way, rule in _DIVERGENT.items()]
    return table(["2 of 10, both alarm, unlike each other", *_HEAD, *_ACCEPTED], _rows(folder, wanted))


_DIVERGENT = {"printed": "siren", "best-of-all": "siren:divergent=best-of-all"}


def _variants(folder: Path) -> str:
    rules = {
        "as it is": ("iid-40", "siren"),
        '`divergent="best-of-all"`': ("best-of-all", "siren:divergent=best-of-all"),
        "`weight_analysis=False`": ("angles", "siren:weight_analysis=False"),
        '`variant="official"`': ("official", "siren:variant=official"),
    }
    wanted = []
    for title, (group, rule) in rules.items():
        for attack in (FLIP, ALWAYS, "label-flip"):
            if attack != "label-flip" or group in ("iid-40", "angles"):
                wanted.append((f"{title}: {_NAMES[attack]}", f"{group}/{rule} under {attack}"))
    return table(["40 %", *_HEAD, *_ACCEPTED], _rows(folder, wanted))


def _constants(folder: Path) -> str:
    wanted = [("C_c = 4 %, C_s = 10 %, C_p = 0.45 n", f"iid-40/siren under {FLIP}")]
    wanted += [(f"C_c = {c} %", f"c-c-{c / 100:g}/siren under {FLIP}") for c in (2, 10)]
    wanted += [(f"C_s = {c} %", f"constants/siren:threshold={c / 100:g} under {FLIP}") for c in (5, 20)]
    wanted += [(f"C_p = {c} n", f"constants/siren:penalty={c} under {FLIP}") for c in (0.25, 0.65)]
    return table(["40 %, sign-flip x 4, honest alarms", *_HEAD, *_ACCEPTED], _rows(folder, wanted))


def _many(folder: Path) -> str:
    """50 and 200 clients: who is above C_p at the end, and when all malicious ones first were; other rules beside."""
    runs = runs_of(folder)
    rows = []
    for n, group in ((50, "fifty"), (200, "two-hundred")):
        rows.append(_one_of_many(runs, f"{n} clients, none", f"{group}-0/siren under no-attack", 0, 0.0))
        for per_cent, suffix in ((40, ""), (80, "-80")):
            byzantine = n * per_cent // 100
            share = f"{n} clients, {per_cent} %"
            for added, attack in (("", FLIP), ("-always", ALWAYS)):
                alarms = ", always alarming" if added else ""
                for rule, limit, way in (("siren", 0.45 * n, "clients"), ("siren:penalty_of=rounds", 18.0, "rounds")):
                    name = f"{group}{suffix}{added}/{rule} under {attack}"
                    title = f"{share}{alarms}, C_p = {limit:g} (`penalty_of={way}`)"
                    rows.append(_one_of_many(runs, title, name, byzantine, limit))
            if n == 50:
                name = f"{group}{suffix}-labels/siren under label-flip"
                rows.append(_one_of_many(runs, f"{share}, label-flip", name, byzantine, 0.45 * n))
            others = {"Median": "median"}
            if 2 * byzantine < n:  # Krum is not defined beyond
                others[f"Krum, f = {byzantine}"] = f"krum:f={byzantine},bound=definition"
            for title, rule in others.items():
                found = runs.called(f"others-{group}{suffix}/{rule} under {FLIP}")
                shares = _shares(found) if title.startswith(_JUDGING) else ["", ""]
                rows.append([f"{share}, {title}", *_figures(found), *shares, "", "", ""])
    above = ["above C_p at the end: malicious", "honest", "all malicious first in round"]
    return table(["40 rounds; sign-flip x 4, honest alarms", *_HEAD, *_ACCEPTED, *above], rows)


def _one_of_many(runs: Runs, title: str, name: str, byzantine: int, limit: float) -> list[str]:
    found = runs.called(name)
    cells = [title, *_figures(found), *_shares(found)]
    if not byzantine:
        return [*cells, "", "", ""]
    if not found or any(INDEX not in run for run in found):
        return [*cells, PENDING, PENDING, PENDING]
    counts = [_above_limit(run, byzantine, limit) for run in found]
    return [*cells, *(one[0] if len(set(one)) == 1 else "; ".join(one) for one in zip(*counts, strict=True))]


def _above_limit(run: Run, byzantine: int, limit: float) -> tuple[str, str, str]:
    """Malicious and honest clients above C_p at the end, and the first round with all malicious ones above."""
    above = {r: [index is not None and index > limit for index in every] for r, every in run[INDEX].items()}
    final = list(above.values())[-1]
    honest = len(final) - byzantine
    first = next((str(r) for r, clients in above.items() if all(clients[:byzantine])), "never")
    return f"{sum(final[:byzantine])} of {byzantine}", f"{sum(final[byzantine:])} of {honest}", first


def _late(folder: Path) -> str:
    rules = {
        "SIREN": ("late", "siren"),
        "Median": ("others-late", "median"),
        "Krum, f = 4": ("others-late", "(krum:f=4,bound=definition)"),
    }
    runs = runs_of(folder)
    rows = []
    for title, (group, rule) in rules.items():
        run = runs.named.get(f"{group}/delayed:base={rule},start=10 under {FLIP}")
        rows.append([title, number(last(until(run, 10))), number(last(until(run, 15))), number(last(run))])
    return table(["switched on after round 10 (Fig. 17)", "round 10", "15", "20"], rows)


def _convergence(folder: Path) -> str:
    """Rounds until a mark is reached (Fig. 16), in the first 20."""
    runs = runs_of(folder)
    rows = []
    for rule, data, malicious, name in _SYSTEM:
        if "40 rounds" in rule or not rule.startswith(("SIREN", "FedAvg", "Krum", "Median")):
            continue
        found = runs.called(name)
        when = [reached(until(run, _SHORT), _MARK) for run in found]
        told = ", ".join("never" if r is None else str(r) for r in when) or PENDING
        rows.append([rule, data, malicious, attack_of(name), told])
    return table(["rule", "data", "malicious", "attack", f"first round at {_MARK} %, seed by seed"], rows)


def _long(folder: Path) -> str:
    """Rounds until several marks are reached, in trainings of 40 rounds (Fig. 16)."""
    runs = runs_of(folder)
    rows = []
    count = all_ = 0
    for rule, data, malicious, name in _SYSTEM:
        if "40 rounds" not in rule:
            continue
        found = runs.called(name)
        when = {mark: [reached(run, mark) for run in found] for mark in _MARKS}
        cells = [", ".join("never" if r is None else str(r) for r in each) or PENDING for each in when.values()]
        rows.append([rule.partition(",")[0], data, malicious, attack_of(name), *cells])
        all_ += len(found)
        count += sum(r is not None for r in when[_PAPERS])
    head = ["40 rounds", "data", "malicious", "attack", *(f"first round at {mark} %" for mark in _MARKS)]
    told = f"Of these {all_} runs {count or 'none'} reached {_PAPERS} %."
    return f"{table(head, rows)}\n\n{told}"


def _confidence(folder: Path) -> str:
    runs = runs_of(folder)
    both_rules = {"SIREN": "iid-40/siren", "FedAvg": "others-40/mean"}
    rounds = [str(r) for r in range(2, _SHORT + 1, 2)]
    rows = []
    for title, name in both_rules.items():
        run = runs.named.get(f"{name} under targeted-poisoning")
        told = {} if run is None else run["confidence_by_round"]
        rows.append([title, *(f"{told[r]:.3f}" if r in told else PENDING for r in rounds)])
    return table(["round", *rounds], rows)


SIREN = {
    "made": lambda folder: made(folder, evaluate_every=1),
    "system": _system,
    "awards": _awards,
    "hole": _hole,
    "variants": _variants,
    "constants": _constants,
    "many": _many,
    "late": _late,
    "convergence": _convergence,
    "long": _long,
    "confidence": _confidence,
    "before": lambda folder: beside_before(folder, runs_of(folder)),
}
