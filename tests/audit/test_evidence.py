"""What an audit says equals what plain loops say."""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from typing import cast

import numpy as np
import pytest
import torch

import fedward as fw
from fedward.audit import calibrate, evidence_of, members_of, usual_panel
from fedward.audit.panel import ask, stand_apart, tally, verdict_of, votes_needed
from fedward.core import Context
from fedward.failures import ContractError
from fedward.stack import Dense, Layers, Layout, nearness
from tests.oracles import audit as oracle

SHAPES = ((3, 5), (7,), (2, 2, 2))


def rows(n: int = 9) -> np.ndarray:
    random = np.random.default_rng(4)
    G = random.standard_normal((n, 30)) + random.standard_normal(30)
    G[:, ::7] = np.round(G[:, ::7])  # ties and zeros
    return G


def stack(G: np.ndarray, block: int | None = None) -> Layers:
    layers = [[], *([] for _ in range(len(G) - 1))]
    for row, tensors in zip(torch.from_numpy(G), layers, strict=True):
        at = 0
        for shape in SHAPES:
            tensors.append(row[at : at + int(np.prod(shape))].reshape(shape))
            at += int(np.prod(shape))
    layout = Layout.of({f"l{k}": tensor for k, tensor in enumerate(layers[0])})
    return Layers(layers, layout=layout, block=block)


@pytest.mark.parametrize("block", [None, 4])
def test_evidence(block: int | None) -> None:
    G = rows()
    weights = np.array([0.5, 0, 0.1, 0, 0, 0.2, 0, 0, 0.3])
    found = evidence_of(stack(G, block), torch.from_numpy(weights))
    medians = oracle.column_medians(G)
    np.testing.assert_allclose(found.norms, [np.sqrt(row @ row) for row in G], rtol=1e-12)
    edges = [(0, 15), (15, 22), (22, 30)]
    expected = [[np.sqrt(row[a:b] @ row[a:b]) for a, b in edges] for row in G]
    np.testing.assert_allclose(found.layer_norms, expected, rtol=1e-12)
    np.testing.assert_allclose(found.to_median, [oracle.cosine(row, medians) for row in G], atol=1e-12)
    assert found.to_aggregate is not None
    np.testing.assert_allclose(found.to_aggregate, [oracle.cosine(row, weights @ G) for row in G], atol=1e-12)
    np.testing.assert_allclose(found.signs, [oracle.sign_shares(row) for row in G], atol=1e-12)
    assert [list(near) for near in found.neighbours] == [oracle.nearest(G, i, 3) for i in range(9)]
    assert sorted(found.order) == list(range(9))
    assert found.layers == ("l0", "l1", "l2")


def test_clusters_are_groups_that_are_alike() -> None:
    random = np.random.default_rng(1)
    centres = random.standard_normal((2, 30))
    G = np.concatenate(
        [centres[0] + 0.1 * random.standard_normal((6, 30)), centres[1] + 0.1 * random.standard_normal((3, 30))]
    )
    assert evidence_of(Dense(torch.from_numpy(G))).clusters == (0,) * 6 + (1,) * 3
    alike = centres[0] + 0.5 * random.standard_normal((9, 30))
    assert set(evidence_of(Dense(torch.from_numpy(alike))).clusters) == {0}
    assert evidence_of(Dense(torch.ones(2, 3))).clusters == (0, 0)


@pytest.mark.parametrize("n", [8, 9])
def test_trimmed_columns(n: int) -> None:
    G = rows(n)
    expected = {
        "median": oracle.trimmed_by_rank(G, (n - 1) // 2),
        "trimmed-mean:f=2": oracle.trimmed_by_rank(G, 2),
        "mea-med:f=2": oracle.trimmed_by_distance(G, oracle.column_medians(G), n - 2),
        "phocas:f=2": oracle.trimmed_by_distance(G, np.array([np.mean(sorted(c)[2:-2]) for c in G.T]), n - 2),
    }
    for rule, shares in expected.items():
        found = verdict_of(fw.parse(rule, "rule"), Dense(torch.from_numpy(G)), Context()).scores["trimmed"]
        np.testing.assert_allclose(found, shares, atol=1e-12, err_msg=rule)


def test_trimmed_columns_after_mixers_and_filters() -> None:
    G = torch.from_numpy(rows())
    spoilt = torch.cat([G[:4], torch.full((1, 30), torch.nan, dtype=torch.float64), G[4:]])
    found = verdict_of(fw.parse("clip-norm:radius=1000 >> trimmed-mean:f=2", "rule"), Dense(spoilt), Context())
    shares = oracle.trimmed_by_rank(G.numpy(), 2)
    np.testing.assert_allclose(found.scores["trimmed"], [*shares[:4], np.nan, *shares[4:]])
    filtered = verdict_of(fw.parse("multi-krum:f=1,m=8 >> median", "rule"), Dense(G), Context())
    kept = [i for i, ok in enumerate(filtered.accepted.tolist()) if ok]
    shares = oracle.trimmed_by_rank(G.numpy()[kept], 3)
    np.testing.assert_allclose(filtered.scores["trimmed"][kept], shares)


@pytest.mark.parametrize("side", ["high", "low", "both"])
def test_scores_that_stand_apart(side: str) -> None:
    random = np.random.default_rng(2)
    for scores in (
        random.standard_normal(12),
        np.r_[np.ones(11), 1.2],
        np.r_[np.ones(11), 1.1],
        np.r_[np.nan, 1, 2, 50],
    ):
        for least in (0.05, 0.2):
            found = stand_apart(torch.from_numpy(scores), side, least).tolist()  # type: ignore[arg-type]
            assert found == oracle.stands_apart(scores.tolist(), side, least)
    assert not bool(stand_apart(torch.full((3,), torch.nan), "high", 0.05).any())


@pytest.mark.parametrize("n", [2, 5, 8])
def test_weights_are_told_from_updates_by_how_near_they_are(n: int) -> None:
    random = np.random.default_rng(3)
    weights = random.standard_normal(200) + 0.05 * random.standard_normal((n, 200))
    assert nearness(Dense(torch.from_numpy(weights))) == pytest.approx(oracle.nearness(weights), rel=1e-6)
    assert nearness(Dense(torch.from_numpy(weights - weights.mean(0)))) is None
    assert nearness(Dense(torch.from_numpy(random.standard_normal((n, 200))))) is None
    assert nearness(Dense(torch.ones(1, 4))) is None
    assert nearness(Dense(torch.ones(5, 4))) is None


def test_fewer_than_half_cannot_hide_that_the_others_sent_weights() -> None:
    random = np.random.default_rng(5)
    weights = random.standard_normal(200) + 0.02 * random.standard_normal((11, 200))
    for forged in (1e6 * random.standard_normal((5, 200)), np.zeros((5, 200)), np.repeat(weights[:1], 5, 0)):
        G = torch.from_numpy(np.concatenate([weights[:6], forged]))
        assert nearness(Dense(G)) is not None
    updates = random.standard_normal((11, 200))
    updates[6:] = updates[0]  # nor that they sent updates
    assert nearness(Dense(torch.from_numpy(updates))) is None


def test_votes_are_counted_and_two_of_five_are_enough() -> None:
    G = torch.from_numpy(rows(12))
    G[0] *= -1
    G[1] *= 20
    opinions = [ask(member, Dense(G), Context()) for member in usual_panel(12)]
    votes = tally(opinions, 12)
    assert votes.tolist() == [sum(bool(o.suspects[i]) for o in opinions) for i in range(12)]
    assert votes_needed(opinions) == 2
    assert votes_needed(opinions, 4) == 4
    assert set((votes >= 2).nonzero().flatten().tolist()) == {0, 1}
    few = [ask(member, Dense(G[:3]), Context()) for member in usual_panel(3)]
    assert [o.member.idea for o in few if o.refused] == ["distance"]
    assert "n >= 2f + 3" in few[2].refused


@dataclass(frozen=True, kw_only=True)
class Stumbles(fw.Rule):
    """Raises an error, or decides on something that is no plan."""

    error: str = "RuntimeError"

    def decide(self, updates: fw.Updates, state: fw.State, context: fw.Context) -> fw.Plan:
        if self.error:
            raise getattr(builtins, self.error)("no convergence")
        return cast(fw.Plan, "no plan")


@pytest.mark.parametrize("error", ["RuntimeError", "TypeError", "IndexError", "MemoryError"])
def test_a_rule_that_raises_has_no_opinion_and_the_others_are_heard(error: str) -> None:
    G = torch.from_numpy(rows(9))
    members = members_of([Stumbles(error=error), fw.rules.MultiKrum(f=2)])
    stumbled, heard = (ask(member, Dense(G), Context()) for member in members)
    assert stumbled.refused == f"{error}: no convergence"
    assert not bool(stumbled.suspects.any())
    assert heard.refused == ""
    assert int(heard.suspects.sum()) > 0


def test_a_rule_that_breaks_its_contract_ends_an_audit_for_its_author_to_mend() -> None:
    with pytest.raises(ContractError):
        ask(members_of([Stumbles(error="")])[0], Dense(torch.from_numpy(rows(9))), Context())


def test_rules_of_ones_own_are_taken_at_their_word() -> None:
    G = torch.from_numpy(rows(9))
    (opinion,) = (ask(m, Dense(G), Context()) for m in members_of([fw.rules.MultiKrum(f=2)]))
    result = fw.Aggregator(fw.rules.MultiKrum(f=2))(G)
    assert opinion.suspects.tolist() == (~result.accepted).tolist()
    low, high = opinion.limits["krum"]
    kept = result.scores["krum"][result.accepted]
    assert (low, high) == (float(kept.min()), float(kept.max()))


def test_calibration_is_what_the_panel_says_of_rows_that_were_forged() -> None:
    G = torch.from_numpy(rows(12))
    panel = usual_panel(12)
    found = calibrate(panel, Dense(G), Context(seed=3), forgers=3, attacks=("no-attack", "sign-flip:scale=4.0"))
    order = torch.randperm(12, generator=Context(seed=3).generator("forgers"))
    own, honest = order[:3].sort().values, order[3:].sort().values
    for caught, scale in zip(found.attacks, (1.0, -4.0), strict=True):
        forged = Dense(torch.cat([G[honest], scale * G[own]]))
        opinions = [ask(member, forged, Context(seed=3)) for member in panel]
        assert caught.by_rule == tuple(float(o.suspects[9:].double().mean()) for o in opinions)
        assert caught.wrongly == tuple(float(o.suspects[:9].double().mean()) for o in opinions)
        together = tally(opinions, 12) >= 2
        assert caught.together == float(together[9:].double().mean())
        suspected = tally(opinions, 12) >= 1
        assert caught.by_any == float(suspected[9:].double().mean())
        assert caught.wrongly_by_any == float(suspected[:9].double().mean())
    with pytest.raises(ValueError, match="takes 1 to 1 forgers among 3 accepted rows, got 2"):
        calibrate(panel, Dense(G[:3]), Context(), forgers=2)


def test_rows_that_were_mixed_are_trimmed_with_their_mixture() -> None:
    G = torch.from_numpy(rows(9))
    rule = fw.parse("bucketing:s=3 >> median", "rule")
    M = rule.mixer.matrix(Dense(G), Context().fold("mixer"))
    shares = oracle.trimmed_by_rank((M @ G).numpy(), 1)
    found = verdict_of(rule, Dense(G), Context()).scores["trimmed"]
    np.testing.assert_allclose(found, [shares[k] for k in M.argmax(0).tolist()], atol=1e-12)
