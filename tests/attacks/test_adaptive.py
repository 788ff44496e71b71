"""The search against the defence: it finds the worst, says truly how bad it is, and costs no more than one try."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

import fedward as fw
from fedward import attacks, rules
from fedward.attacks import View
from fedward.attacks.adaptive import OBJECTIVES
from fedward.stack import Dense, materialise
from tests.oracles import attacks as forge_oracle
from tests.oracles import attacks_tailored as tailored

CONTEXT = fw.Context(round=2, seed=5)
H, M, D = 9, 3, 150
DEFENCES: dict[str, fw.Rule] = {
    "mean": rules.Mean(),
    "krum": rules.Krum(f=M),
    "multi-krum": rules.MultiKrum(f=M),
    "sign-guard": rules.SignGuard(),
}


def rows(seed: int = 0, d: int = D, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    common = rng.normal(size=d)
    honest, own = (torch.from_numpy(scale * (common + rng.normal(size=(k, d)))) for k in (H, M))
    return honest, own


def view(honest: Tensor, own: Tensor, rule: fw.Rule, block: int | None = None, state: fw.State | None = None) -> View:
    return View(
        honest=Dense(honest, block=block),
        own=Dense(own, block=block),
        context=CONTEXT,
        decide=lambda updates: rule.decide(updates, state or {}, CONTEXT),
    )


def harms(row: np.ndarray, honest: Tensor, rule: fw.Rule, m: int = M) -> dict[str, float]:
    """Every objective from its definition: the m rows, below the honest ones, go to the rule as a tensor."""
    G = torch.cat([honest, torch.from_numpy(np.atleast_2d(row)).expand(m, -1)])
    plan = rule.decide(Dense(G), {}, CONTEXT)
    output = plan.execute().numpy()
    weights = None if plan.weights is None else plan.updates.to_clients(plan.weights)
    return {
        "distance": float(np.linalg.norm(output - honest.numpy().mean(0))),
        "regress": -tailored.progress(output, honest.numpy()),
        "accepted": 1.0 if weights is None else float((weights[len(honest) :] > 0).double().mean()),
    }


def harm(row: np.ndarray, honest: Tensor, rule: fw.Rule, objective: str) -> float:
    return harms(row, honest, rule)[objective]


# --- how bad it is ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(
    "rule",
    [
        *DEFENCES.values(),
        rules.Median(),
        rules.TrimmedMean(f=M),
        rules.GeometricMedian(),
        rules.CenteredClipping(radius=5.0),
        rules.DnC(f=M),
        fw.mixers.NNM(f=M) >> rules.Krum(f=M),
        fw.mixers.Bucketing(s=2) >> rules.Median(),
        fw.mixers.ClipNorm(radius=9.0) >> rules.Mean(),
    ],
    ids=str,
)
def test_what_a_search_says_of_its_best_is_true(rule: fw.Rule, objective: str) -> None:
    for inner, over in ((attacks.ALIE, "z"), (attacks.IPM, "epsilon"), (attacks.SignFlip, "scale")):
        honest, own = rows(3)
        if inner is attacks.SignFlip:
            own = own[:1].expand(M, -1)  # so that they send one row
        search = attacks.Maximise(inner, over=over, bounds=(0.1, 2.0), objective=objective, candidates=4)
        seen = view(honest, own, rule)
        attack, value, found = search.best(seen)
        assert getattr(attack, over) == value
        sent = materialise(search.forge(seen))
        assert torch.equal(sent, materialise(attack.forge(seen)))
        assert found == pytest.approx(harm(sent[0].numpy(), honest, rule, objective), rel=1e-6, abs=1e-9)


def test_a_rule_with_memory_is_asked_with_its_memory() -> None:
    honest, own = rows(1)
    rule, previous = rules.CenteredClipping(radius=2.0), {"previous": torch.full((D,), 3.0, dtype=torch.float64)}
    search = attacks.Maximise(attacks.IPM, over="epsilon", bounds=(0.0, 2.0), candidates=3)
    attack, _, found = search.best(view(honest, own, rule, state=previous))
    G = torch.cat([honest, materialise(attack.forge(view(honest, own, rule)))])
    output = rule.decide(Dense(G), previous, CONTEXT).execute()
    assert found == pytest.approx(float((output - honest.mean(0)).norm()), rel=1e-6)


def test_rows_of_the_servers_own_count_below_some_of_the_clients() -> None:
    """A rule that drops clients and then puts weight on a row that is nobody's."""
    anchor = torch.full((D,), 5.0, dtype=torch.float64)

    def decide(updates: fw.Updates) -> fw.Plan:
        stack = updates.take(torch.arange(4)).anchored(anchor)
        return fw.Plan(stack, torch.full((5,), 0.2, dtype=torch.float64))

    honest, own = rows()
    seen = replace(view(honest, own, rules.Mean()), decide=decide)
    _, _, found = attacks.Maximise(attacks.ALIE, over="z", bounds=(0.0, 1.0)).best(seen)
    output = 0.2 * (honest[:4].sum(0) + anchor)
    assert found == pytest.approx(float((output - honest.mean(0)).norm()), rel=1e-6)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_of_equally_bad_values_the_largest_is_played(objective: str) -> None:
    """A rule that looks at nothing: every value is as bad as every other."""
    honest, own = rows()
    search = attacks.Maximise(attacks.ALIE, over="z", bounds=(-1.0, 3.5), objective=objective)
    seen = replace(view(honest, own, rules.Mean()), decide=lambda u: fw.average_of(u, torch.tensor([0])))
    assert search.best(seen)[1] == 3.5


def test_a_rule_that_refuses_every_candidate_is_played_against_all_the_same() -> None:
    def refuses(updates: fw.Updates) -> fw.Plan:
        raise fw.BoundError("too few")

    seen = replace(view(*rows(), rules.Mean()), decide=refuses)
    _, value, found = attacks.Maximise(attacks.IPM, over="epsilon", bounds=(0.0, 2.0)).best(seen)
    assert (value, found) == (2.0, -float("inf"))


# --- that nothing is worse ----------------------------------------------------------------------------------

FAMILIES: dict[str, tuple[attacks.Attack, str, tuple[float, float], Callable[[np.ndarray, float], np.ndarray]]] = {
    "alie": (attacks.ALIE(), "z", (0.0, 4.0), lambda G, z: forge_oracle.attack_lie(G, 1, z)[0]),
    "ipm": (attacks.IPM(), "epsilon", (0.0, 3.0), lambda G, e: forge_oracle.attack_ipm(G, 1, e)[0]),
    "ipm-wide": (attacks.IPM(), "epsilon", (0.0, 10.0), lambda G, e: forge_oracle.attack_ipm(G, 1, e)[0]),
    **{
        k: (
            attacks.Deviation(direction=k),
            "gamma",
            (0.0, most),
            lambda G, g, k=k: forge_oracle.mean(G) + g * forge_oracle.perturbation(G, {"std": "sd"}.get(k, k)),
        )
        for k, most in (("std", 10.0), ("unit", 30.0), ("sign", 3.0))
    },
}


@cache
def grid(family: str, defence: str) -> dict[str, np.ndarray]:
    """Each objective at 200 values between the bounds."""
    _, _, bounds, row = FAMILIES[family]
    honest, _ = rows()
    found = [harms(row(honest.numpy(), value), honest, DEFENCES[defence]) for value in np.linspace(*bounds, 200)]
    return {objective: np.array([f[objective] for f in found]) for objective in OBJECTIVES}


def unimodal(values: np.ndarray) -> bool:
    """Rising, then falling; level stretches are neither."""
    steps = np.diff(values)
    turns = np.sign(steps[abs(steps) > 1e-9 * abs(values).max()])
    return bool((np.diff(turns) <= 0).all())


SEARCHED = [
    (family, defence)
    for defence in DEFENCES
    for family in FAMILIES
    if defence != "sign-guard" or family == "alie"  # its clustering takes its time
]


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(("family", "defence"), SEARCHED)
def test_nothing_on_a_fine_grid_is_worse(family: str, defence: str, objective: str) -> None:
    """Within 1% of the objective's range where it has one hill; elsewhere, within a quarter of it."""
    attack, over, bounds, _ = FAMILIES[family]
    values = grid(family, defence)[objective]
    search = attacks.Maximise(attack, over=over, bounds=bounds, objective=objective)
    _, _, found = search.best(view(*rows(), DEFENCES[defence]))
    slack = 0.01 if unimodal(values) else 0.25
    assert found >= values.max() - slack * (values.max() - values.min()) - 1e-9


def test_most_of_these_have_one_hill() -> None:
    """Else the test before would show little."""
    for defence, least in (("mean", 6), ("krum", 6), ("multi-krum", 2)):
        assert sum(unimodal(grid(family, defence)["distance"]) for family in FAMILIES) >= least


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e6])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_units_of_the_rows_do_not_matter(objective: str, scale: float) -> None:
    """The value found is that of rows of another size; rounding must not make candidates alike."""
    search = attacks.Maximise(attacks.ALIE, over="z", bounds=(0.0, 4.0), objective=objective)
    _, value, found = search.best(view(*rows(), DEFENCES["multi-krum"]))
    _, other, scaled = search.best(view(*rows(scale=scale), DEFENCES["multi-krum"]))
    assert other == pytest.approx(value, abs=1e-9)
    assert scaled == pytest.approx(found * (scale if objective == "distance" else 1), rel=1e-4, abs=0)


# --- what it costs ------------------------------------------------------------------------------------------

MIXES = [
    (attacks.IPM(), "epsilon"),
    (attacks.IPM(knows="all"), "epsilon"),
    (attacks.IPM(knows="own"), "epsilon"),
    (attacks.ALIE(), "z"),
    (attacks.ALIE(knows="all"), "z"),
    (attacks.Deviation(), "gamma"),
    (attacks.Deviation(direction="unit"), "gamma"),
    (attacks.Deviation(direction="sign"), "gamma"),
    (attacks.SignFlip(), "scale"),
    (attacks.Scaling(), "factor"),
    (attacks.ByzMean(), "split"),
]
FROM_GRAM = {
    "krum": rules.Krum(f=M),
    "multi-krum": rules.MultiKrum(f=M),
    "geometric-median": rules.GeometricMedian(),
    "dnc": rules.DnC(f=M),
    "centered-clipping": rules.CenteredClipping(radius=10.0),
    "nnm-krum": fw.mixers.NNM(f=M) >> rules.Krum(f=M),
}


def columns_read(rule: fw.Rule, attack: attacks.Attack, over: str, candidates: int) -> float:
    """Columns of all clients' rows that a search of this many candidates, and half as many again, reads."""
    honest, own = rows(d=2000)
    seen = view(honest, own, rule, block=512)
    tried = []

    def decide(updates: fw.Updates) -> fw.Plan:
        tried.append(updates.n)
        return rule.decide(updates, {}, CONTEXT)

    search = attacks.Maximise(attack, over=over, bounds=(0.0, 1.0), candidates=candidates)
    search.best(replace(seen, decide=decide))
    assert len(tried) >= 1.4 * candidates
    return (seen.honest.columns_read * H + seen.own.columns_read * M) / (H + M)


@pytest.mark.parametrize("defence", FROM_GRAM)
@pytest.mark.parametrize(("attack", "over"), MIXES, ids=lambda a: repr(a) if isinstance(a, attacks.Attack) else a)
def test_forty_candidates_cost_as_much_as_one(defence: str, attack: attacks.Attack, over: str) -> None:
    rule = FROM_GRAM[defence]
    honest, own = rows(d=2000)
    seen = view(honest, own, rule, block=512)
    # One candidate by hand: its rows below the honest ones, the decision, and the Gram matrix of the objective.
    forged = replace(attack, **{over: 0.5}).forge(seen)
    stack = seen.sent(forged)
    seen.decide(stack)
    stack.gram()
    one = (seen.honest.columns_read * H + seen.own.columns_read * M) / (H + M)
    assert columns_read(rule, attack, over, 20) <= 1.2 * one


def test_rules_on_columns_may_cost_more_but_no_more_than_a_pass_or_three_a_candidate() -> None:
    assert columns_read(rules.Median(), attacks.ALIE(), "z", 6) <= 3 * 12 * 2000


# --- the released search ------------------------------------------------------------------------------------

RELEASED = {"std": ("std", 2.0), "sign": ("sign", 0.5), "unit": ("uv", None)}
TARGETS: dict[str, tuple[fw.Rule, str]] = {
    "multi-krum": (rules.MultiKrum(f=M), "accepted"),
    "bulyan": (rules.Bulyan(f=2), "accepted"),
    "dnc": (rules.DnC(f=M), "accepted"),
    "sign-guard": (rules.SignGuard(), "accepted"),
    "mean": (rules.Mean(), "distance"),
    "median": (rules.Median(), "distance"),
    "trimmed-mean": (rules.TrimmedMean(f=M), "distance"),
    "geometric-median": (rules.GeometricMedian(), "distance"),
    "multi-krum by distance": (rules.MultiKrum(f=M), "distance"),
    "krum by distance": (rules.Krum(f=M), "distance"),
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("family", RELEASED)
def test_no_adaptive_family_of_the_signguard_code_does_more_harm(family: str, target: str) -> None:
    """Its own search ends at some gamma; within the same reach, this one's is at least as harmful."""
    rule, objective = TARGETS[target]
    for seed in range(3):
        honest, own = rows(seed)
        everyone = torch.cat([honest, own]).numpy()
        gamma, row = tailored.attack_adaptive_repo(
            everyone,
            RELEASED[family][0],
            lambda row, h=honest: harm(row, h, rule, objective),
            full=1.0 if objective == "accepted" else None,
            max_trials=40,
        )
        theirs = harm(row, honest, rule, objective)
        start = RELEASED[family][1] or 5 * float(np.linalg.norm(everyone.mean(0)))
        most = max(2 * start, gamma)
        inner = attacks.Deviation(direction=family, ddof=1, knows="all")
        search = attacks.Maximise(inner, over="gamma", bounds=(0.0, most), objective=objective)
        sent = materialise(search.forge(view(honest, own, rule)))[0].numpy()
        assert harm(sent, honest, rule, objective) >= theirs - 1e-9


@pytest.mark.parametrize("direction", ["std", "unit", "sign"])
def test_it_does_at_least_the_harm_of_an_attack_tailored_by_halving(direction: str) -> None:
    for rule in (rules.MultiKrum(f=M), rules.Krum(f=M), rules.Median()):
        honest, own = rows(4)
        p = forge_oracle.perturbation(honest.numpy(), {"std": "sd"}.get(direction, direction))
        row = tailored.attack_agr_tailored(
            honest.numpy(), M, p, lambda G, r=rule: r.decide(Dense(torch.from_numpy(G)), {}, CONTEXT).execute().numpy()
        )[0]
        theirs = harm(row, honest, rule, "distance")
        search = attacks.Maximise(attacks.Deviation(direction=direction), over="gamma", bounds=(0.0, 20.0))
        sent = materialise(search.forge(view(honest, own, rule)))[0].numpy()
        ours = harm(sent, honest, rule, "distance")
        assert ours >= 0.99 * theirs


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_model_that_has_diverged_is_attacked_all_the_same(objective: str) -> None:
    honest, own = rows(scale=1e200)  # products of rows overflow, and their differences are NaN
    search = attacks.Maximise(attacks.IPM, over="epsilon", bounds=(0.0, 2.0), objective=objective)
    with np.errstate(over="ignore"):
        _, value, found = search.best(view(honest, own, rules.Mean()))
    assert 0.0 <= value <= 2.0
    assert not np.isnan(found)


def test_rows_of_candidates_that_are_no_mixes_are_not_kept() -> None:
    """Sixty candidates of noise would otherwise be in memory at once."""
    seen = view(*rows(), rules.Krum(f=M))
    attacks.Maximise(attacks.Gaussian, over="std", bounds=(0.0, 2.0)).best(seen)
    assert not seen._stacks
    attacks.Maximise(attacks.IPM, over="epsilon", bounds=(0.0, 2.0)).best(seen)
    assert len(seen._stacks) == 1


@pytest.mark.parametrize("bounds", [(0.1, 1.0), (0.05, 0.95), (-0.3, 0.1)])
@pytest.mark.parametrize("candidates", [3, 4, 7, 8, 12, 20])
def test_a_search_stays_within_its_bounds(bounds: tuple[float, float], candidates: int) -> None:
    """A share of 1.0000000000000002 is none: the attack would refuse it in the middle of a run."""
    low, high = bounds
    tried: list[float] = []

    class Spying(attacks.Maximise):
        def _with(self, value: float) -> attacks.Attack:
            tried.append(value)
            return super()._with(value)

    search = Spying(attacks.IPM, over="epsilon", bounds=bounds, candidates=candidates)
    search.best(view(*rows(1), rules.Mean()))
    assert min(tried) == low
    assert max(tried) == high
    share = attacks.Maximise(attacks.ByzMean, over="split", bounds=(0.1, 1.0), candidates=candidates)
    assert 0.1 <= share.best(view(*rows(1), rules.Mean()))[1] <= 1.0
