"""Min-Max and Min-Sum against a rule that is known: what the naive search sends, the worst there is, at one pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

import fedward as fw
from fedward import attacks, rules
from fedward.attacks import View
from fedward.attacks.adaptive import tried
from fedward.attacks.tailored import halved, most_harmful
from fedward.attacks.tailored import harm as harm_of
from fedward.stack import Dense, materialise
from tests.oracles import attacks as forge_oracle
from tests.oracles import attacks_tailored as oracle
from tests.oracles import rules as rule_oracle

H, M, D = 9, 3, 60
CONTEXT = fw.Context(round=2, seed=5)
DIRECTIONS = {"std": "sd", "unit": "unit", "sign": "sign"}
TAILORED: dict[str, tuple[Any, Any, Callable[..., float]]] = {
    "max": (attacks.TailoredMinMax, attacks.MinMax, forge_oracle.min_max_gamma),
    "sum": (attacks.TailoredMinSum, attacks.MinSum, forge_oracle.min_sum_gamma),
}


@dataclass(frozen=True, kw_only=True)
class Server:
    """A rule, its naive reference, and which rows that one uses; by the reference the forged rows come first."""

    rule: fw.Rule
    aggregate: Callable[[np.ndarray], np.ndarray]
    chosen: Callable[[np.ndarray], Any]

    def admits(self, G: np.ndarray) -> bool:
        return bool(min(self.chosen(G)) < M)


def everybody(G: np.ndarray) -> range:
    return range(len(G))


SERVERS = {
    "mean": Server(rule=rules.Mean(), aggregate=rule_oracle.mean, chosen=everybody),
    "median": Server(rule=rules.Median(), aggregate=rule_oracle.median, chosen=everybody),
    "trimmed-mean": Server(
        rule=rules.TrimmedMean(f=M), aggregate=lambda G: rule_oracle.trimmed_mean(G, M), chosen=everybody
    ),
    "krum": Server(
        rule=rules.Krum(f=M), aggregate=lambda G: rule_oracle.krum(G, M)[0], chosen=lambda G: rule_oracle.krum(G, M)[1]
    ),
    "multi-krum": Server(
        rule=rules.MultiKrum(f=M),
        aggregate=lambda G: rule_oracle.multi_krum(G, M)[0],
        chosen=lambda G: rule_oracle.multi_krum(G, M)[1],
    ),
}


def rows(seed: int = 0, d: int = D, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    common = rng.normal(size=d)
    return scale * (common + rng.normal(size=(H, d))), scale * (common + rng.normal(size=(M, d)))


def view(seed: int, rule: fw.Rule | None, block: int | None = None, d: int = D, scale: float = 1.0) -> View:
    honest, own = rows(seed, d, scale)
    return View(
        honest=Dense(torch.from_numpy(honest), block=block),
        own=Dense(torch.from_numpy(own), block=block),
        context=CONTEXT,
        decide=None if rule is None else lambda updates: rule.decide(updates, {}, CONTEXT),
    )


def known(knows: str, seed: int) -> np.ndarray:
    honest, own = rows(seed)
    return honest if knows == "honest" else np.concatenate([honest, own])


def gamma_of(row: np.ndarray, centre: np.ndarray, p: np.ndarray) -> float:
    """How far the row is from the centre; p is where it must have gone."""
    gamma = float((row - centre) @ p / (p @ p))
    np.testing.assert_allclose(row, centre + gamma * p, rtol=1e-9, atol=1e-9 * max(1.0, abs(gamma)))
    return gamma


# --- what is sent -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("which", TAILORED)
def test_equals_the_naive_search(which: str, name: str, direction: str) -> None:
    tailored, _, agnostic = TAILORED[which]
    server = SERVERS[name]
    for seed, ddof in ((0, 0), (1, 1)) if which == "max" else ((2, 1),):
        honest, _ = rows(seed)
        p = forge_oracle.perturbation(honest, DIRECTIONS[direction], ddof)
        expected = oracle.tailored_gamma(honest, M, p, agnostic(honest, p), server.aggregate, server.admits)
        sent = materialise(tailored(direction=direction, ddof=ddof).forge(view(seed, server.rule))).numpy()
        np.testing.assert_allclose(sent, np.tile(sent[:1], (M, 1)), rtol=1e-12)
        assert gamma_of(sent[0], honest.mean(0), p) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_without_selection_it_is_the_search_of_the_literature() -> None:
    """The one that looks at nothing but the harm, where the agnostic attack does less."""
    server = SERVERS["median"]
    honest, _ = rows(2)
    p = forge_oracle.perturbation(honest, "unit")
    expected = oracle.agr_tailored_gamma(honest, M, p, server.aggregate)
    sent = materialise(attacks.TailoredMinMax(direction="unit").forge(view(2, server.rule))).numpy()
    assert gamma_of(sent[0], honest.mean(0), p) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("knows", ["honest", "all"])
def test_the_rows_are_those_that_it_knows(knows: str) -> None:
    sent = materialise(attacks.TailoredMinMax(knows=knows).forge(view(3, rules.Krum(f=M)))).numpy()
    G = known(knows, 3)
    gamma_of(sent[0], G.mean(0), forge_oracle.perturbation(G, "sd"))


@pytest.mark.parametrize("which", TAILORED)
def test_a_rule_that_is_not_known_gets_the_agnostic_attack(which: str) -> None:
    tailored, agnostic, _ = TAILORED[which]
    given = {"direction": "unit", "ddof": 1, "knows": "all"}
    seen = view(0, None)
    attack, found = tailored(**given).best(seen)
    assert attack == agnostic(**given)
    assert np.isnan(found)
    assert torch.equal(materialise(tailored(**given).forge(seen)), materialise(agnostic(**given).forge(seen)))


@pytest.mark.parametrize("which", TAILORED)
def test_a_rule_that_admits_nothing_gets_the_agnostic_attack(which: str) -> None:
    tailored, agnostic, _ = TAILORED[which]

    def first(updates: fw.Updates) -> fw.Plan:
        return fw.average_of(updates, torch.tensor([0]))

    def refuses(updates: fw.Updates) -> fw.Plan:
        raise fw.BoundError("too few")

    for decide in (first, refuses):
        attack, found = tailored().best(replace(view(0, None), decide=decide))
        assert (attack, found) == (agnostic(), -np.inf)


def test_knowledge_is_of_what_the_server_gets() -> None:
    with pytest.raises(ValueError, match="knows is one of honest, all, got 'own'"):
        attacks.TailoredMinMax(knows="own")  # type: ignore[arg-type]  # the point


# --- how bad it is ------------------------------------------------------------------------------------------

EVERY = [
    *(server.rule for server in SERVERS.values()),
    rules.Bulyan(f=2),
    rules.GeometricMedian(),
    rules.CenteredClipping(radius=5.0),
    rules.DnC(f=M),
    rules.FedSECA(),
    rules.SignMajority(),
    fw.mixers.NNM(f=M) >> rules.Krum(f=M),
]


def harm(row: np.ndarray, seed: int, rule: fw.Rule) -> float:
    honest = torch.from_numpy(rows(seed)[0])
    G = torch.cat([honest, torch.from_numpy(row).expand(M, -1)])
    return float((rule.decide(Dense(G), {}, CONTEXT).execute() - honest.mean(0)).norm())


@pytest.mark.parametrize(("rule", "which"), [*((rule, "max") for rule in EVERY), (rules.FedSECA(), "sum")], ids=str)
def test_it_does_at_least_the_harm_of_the_agnostic_attack(rule: fw.Rule, which: str) -> None:
    tailored, agnostic, _ = TAILORED[which]
    for direction in DIRECTIONS:
        seen = view(4, rule)
        attack, found = tailored(direction=direction).best(seen)
        sent = materialise(tailored(direction=direction).forge(seen))[0].numpy()
        assert torch.equal(torch.from_numpy(sent), materialise(attack.forge(seen))[0])
        assert found == pytest.approx(harm(sent, 4, rule), rel=1e-6)
        without = agnostic(direction=direction).forge(seen)
        if admitted(without, seen):
            assert found >= harm(materialise(without)[0].numpy(), 4, rule) * (1 - 1e-6)


def admitted(forged: fw.Updates, seen: View) -> bool:
    """Whether a forged row has a part in the output of the rule."""
    assert seen.decide is not None
    plan = seen.decide(Dense(torch.cat([materialise(seen.honest), materialise(forged)])))
    weights = torch.ones(plan.updates.n, dtype=torch.float64) if plan.weights is None else plan.weights
    return bool((plan.updates.to_clients(weights)[H:] > 0).any())


@pytest.mark.parametrize("name", ["mean", "krum", "multi-krum"])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_nothing_on_a_dense_grid_is_worse(name: str, direction: str) -> None:
    """Where harm grows with gamma as long as rows are admitted."""
    server = SERVERS[name]
    honest, _ = rows(5)
    p = forge_oracle.perturbation(honest, DIRECTIONS[direction])
    grid = np.linspace(0.05, 19.999, 150)
    harms = [oracle.tailored_harm(honest, M, p, gamma, server.aggregate, server.admits) for gamma in grid]
    found = attacks.TailoredMinMax(direction=direction).best(view(5, server.rule))[1]
    assert found >= max(harms) * (1 - 1e-4)


@dataclass(frozen=True, kw_only=True)
class MedianOfSelected(fw.Rule):
    """The median of what Multi-Krum selects: it works on columns, and not on those of everybody."""

    def decide(self, updates: fw.Updates, state: fw.State, context: fw.Context) -> fw.Plan:
        weights = rules.MultiKrum(f=M).decide(updates, {}, context).weights
        assert weights is not None
        return rules.Median().decide(updates.take(weights.nonzero().flatten()), {}, context)


@pytest.mark.parametrize("rule", [rules.Krum(f=M), rules.MultiKrum(f=M), MedianOfSelected()], ids=repr)
def test_rows_that_selection_leaves_out_are_no_success(rule: fw.Rule) -> None:
    """Under a rule that selects rows before it takes columns as well."""
    seen = view(6, rule, scale=0.1)
    for gamma, expected in ((10.0, False), (0.0, True)):
        attack = attacks.Deviation(direction="unit", gamma=gamma)
        trial = tried(seen, attack)
        assert trial is not None
        assert trial.admits() is admitted(attack.forge(seen), seen) is expected
        assert (harm_of(seen, attack) > -np.inf) is expected
    for direction in DIRECTIONS:
        assert admitted(attacks.TailoredMinMax(direction=direction).forge(seen), seen)


def test_both_names_search_alike() -> None:
    """What they send where the rule is known, and the search does more harm than what is agnostic of it."""
    seen = view(7, rules.FedSECA())
    both = [attacks.TailoredMinMax(direction="std").best(seen), attacks.TailoredMinSum(direction="std").best(seen)]
    assert both[0] == both[1]
    assert isinstance(both[0][0], attacks.Deviation)


def test_a_model_that_has_diverged_is_attacked_all_the_same() -> None:
    with np.errstate(over="ignore"):
        sent = materialise(attacks.TailoredMinMax().forge(view(0, rules.Mean(), scale=1e200)))
    assert sent.shape == (M, D)


# --- the search ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [0.0, 1e-6, 0.3, 1.0, 9.99, 10.0, 14.2, 19.9, 25.0])
def test_halving_ends_at_the_most_that_succeeds(most: float) -> None:
    found = halved(lambda gamma: gamma <= most, 10.0, 1e-5)
    assert found == forge_oracle.gamma_search(lambda gamma: gamma <= most)
    assert found <= most
    assert found == pytest.approx(min(most, 20.0), abs=2e-5)


def test_the_search_starts_where_the_most_harm_is() -> None:
    """Not at 10 if what is large does little: the published search would stay there."""
    peak = 0.07

    def bounded(gamma: float) -> float:
        return 1.0 - abs(gamma - peak) / peak if gamma < 2 * peak else 0.01

    gamma, most = most_harmful(bounded, 10.0, 1e-5)
    assert (gamma, most) == (10 / 2**7, bounded(10 / 2**7))
    assert most > 0.8
    assert most_harmful(lambda gamma: 1.0, 10.0, 1e-5) == (10.0, 1.0)
    assert most_harmful(lambda gamma: -np.inf, 10.0, 1e-5) == (0.0, 0.0)


# --- what it costs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rule", [rules.Krum(f=M), rules.MultiKrum(f=M), rules.GeometricMedian(), rules.DnC(f=M)], ids=str
)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_all_candidates_cost_as_much_as_one(rule: fw.Rule, direction: str) -> None:
    one = view(0, rule, block=512, d=2000)
    forged = attacks.Deviation(direction=direction).forge(one)
    assert one.decide is not None
    stack = one.sent(forged)
    one.decide(stack)
    stack.gram()
    seen = view(0, rule, block=512, d=2000)
    attacks.TailoredMinMax(direction=direction).best(seen)
    # The agnostic attack, tried too, has a Gram matrix of the known rows alone.
    assert seen.honest.columns_read <= 1.2 * one.honest.columns_read + seen.honest.d
    assert seen.own.columns_read == 0


@pytest.mark.parametrize("tolerance", [10.0, 3.4e38])
def test_a_tolerance_wider_than_the_search_finds_nothing(tolerance: float) -> None:
    assert most_harmful(lambda gamma: gamma, 10.0, tolerance)[0] == 0
