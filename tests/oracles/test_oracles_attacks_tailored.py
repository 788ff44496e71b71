"""Checks of the reference attacks tailored to a rule: hand-computed examples, properties, edge cases."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.oracles import attacks_tailored as tailored
from tests.oracles.attacks import perturbation
from tests.oracles.rules import krum, krum_scores, mean, trimmed_mean
from tests.oracles.test_oracles_attacks import sample


def test_fang_lambda_bound_by_hand() -> None:
    # rows 0, 1, 3, 6, 10; n = 7, f = 2: 3 neighbours; sums 1+3+6, 1+2+5, 2+3+3, 3+4+5, 4+7+9: least 8;
    # divisor 7 - 4 - 1 = 2; farthest from 0: 10, from 4: 6
    G = [[0.0], [1.0], [3.0], [6.0], [10.0]]
    assert tailored.fang_krum_lambda_bound(G, 7, 2) == pytest.approx(8 / 2 + 10)
    assert tailored.fang_krum_lambda_bound(G, 7, 2, [4.0]) == pytest.approx(8 / 2 + 6)
    wide = np.repeat(np.array(G), 4, axis=1)  # distances double, sqrt d = 2
    assert tailored.fang_krum_lambda_bound(wide, 7, 2) == pytest.approx(8 / 2 + 10)
    with pytest.raises(ValueError, match="2f"):
        tailored.fang_krum_lambda_bound(G, 5, 2)


def test_fang_krum_by_hand() -> None:
    # rows 4, 5, 6, 7, f = 1, n = 5, 2 neighbours.  Bound: least sum 2, divisor 2, farthest 7: 8.
    # -8: crafted score 144 + 169, honest least 2; as lambda -> 0 still 16 + 25: never picked
    rows, lam = tailored.attack_fang_krum([[4.0], [5.0], [6.0], [7.0]], 1)
    assert lam == 8.0 / 2**20
    assert lam <= 1e-5 < 2 * lam
    assert rows.tolist() == [[-lam]]
    # the same with the reference 5: bound 1 + 2 = 3; crafted 5 - lambda.  3: row 2, 4 + 9 > 2; 1.5: row 3.5,
    # .25 + 2.25 = 2.5 against 4: .25 + 1, 5: 1 + 1: not; .75: row 4.25, .0625 + .5625 = .625 against 4: .0625 + 1
    # and 5: .5625 + 1: picked
    rows, lam = tailored.attack_fang_krum([[4.0], [5.0], [6.0], [7.0]], 1, reference=[5.0])
    assert lam == 0.75
    assert rows.tolist() == [[4.25]]


@pytest.mark.parametrize("seed", range(4))
def test_fang_krum_properties(seed: int) -> None:
    G = sample(seed, b=8, d=4)
    for f in (1, 3):
        rows, lam = tailored.attack_fang_krum(G, f)
        assert rows.shape == (f, 4)
        np.testing.assert_allclose(rows, np.tile(-lam * np.sign(G.mean(axis=0)), (f, 1)))
        ratio = tailored.fang_krum_lambda_bound(G, 8 + f, f) / lam
        assert math.log2(ratio) == pytest.approx(round(math.log2(ratio)))
        picked = krum(np.concatenate([rows, G]), f)[1][0] < f
        assert picked or lam <= 1e-5
        if ratio > 1.5:  # twice as much was tried and not picked
            assert krum(np.concatenate([2 * rows, G]), f)[1][0] >= f
    assert tailored.attack_fang_krum(G, 0)[0].shape == (0, 4)


def test_fang_krum_partial() -> None:
    # f = 3 own rows 4, 5, 6: one copy, n = 4, one neighbour, honest scores 1, the copy at -lambda more than 16:
    # never picked.  Two copies: distance 0, picked at lambda = 1.
    rows, lam = tailored.attack_fang_krum([[4.0], [5.0], [6.0]], 3, partial=True)
    assert lam == 1.0
    assert rows.tolist() == [[-1.0]] * 3
    # from reference 5.5, the first lambda is picked with one copy: row 4.5, distance .5 against .5 (tie)
    rows, lam = tailored.attack_fang_krum([[4.0], [5.0], [6.0]], 3, reference=[5.5], partial=True)
    assert lam == 1.0
    assert rows.tolist() == [[4.5]] * 3
    # f = 4, 2 neighbours: one copy never wins; two copies: 0 + more than 16 against 1 + 1; three: 0 + 0
    rows, lam = tailored.attack_fang_krum([[4.0], [5.0], [6.0], [7.0]], 4, partial=True)
    assert lam == 1.0
    assert rows.tolist() == [[-1.0]] * 4
    # f = 5, 3 neighbours: four copies win at once; f = 2: only k = 1, one neighbour: 1 against 4+, never: last tried
    assert tailored.attack_fang_krum([[4.0], [5.0], [6.0], [7.0], [8.0]], 5, partial=True)[1] == 1.0
    rows, lam = tailored.attack_fang_krum([[4.0], [5.0]], 2, partial=True)
    assert lam == 2.0**-17
    assert rows.tolist() == [[-lam]] * 2
    assert tailored.attack_fang_krum([[4.0]], 1, partial=True)[1] == 1.0
    with pytest.raises(ValueError, match="own"):
        tailored.attack_fang_krum([[4.0], [5.0]], 3, partial=True)


def test_fang_trmean_by_hand() -> None:
    G = np.array([[1.0, -4.0, -1.0, 3.0, 1.0], [3.0, -2.0, 5.0, -7.0, -1.0]])  # signs + - + - 0
    low, high = tailored.attack_fang_trmean(G, [[0.0] * 5, [1.0] * 5])
    assert low.tolist() == [0.5, -2.0, -2.0, 3.0, 0.0]
    assert high.tolist() == [1.0, -1.0, -1.0, 6.0, 0.0]
    assert tailored.attack_fang_trmean(G, [[0.25] * 5], b=4.0)[0].tolist() == [0.4375, -1.625, -3.25, 5.25, 0.0]
    # own rows: mean 2, -3, 0, sd 1
    own = [[1.0, -4.0, 1.0], [3.0, -2.0, -1.0]]
    assert tailored.attack_fang_trmean_partial(own, [[0.0] * 3]).tolist() == [[-2.0, 0.0, 0.0]]
    assert tailored.attack_fang_trmean_partial(own, [[1.0] * 3]).tolist() == [[-1.0, 1.0, 0.0]]
    with pytest.raises(ValueError, match="draw"):
        tailored.attack_fang_trmean(G, [[0.0]])


@pytest.mark.parametrize("seed", range(4))
def test_fang_trmean_outside_the_honest_range(seed: int) -> None:
    G = sample(seed)
    rows = tailored.attack_fang_trmean(G, np.random.default_rng(seed).random((3, 5)))
    s = np.sign(G.mean(axis=0))
    assert ((rows <= G.min(axis=0)) | (s < 0)).all()
    assert ((rows >= G.max(axis=0)) | (s > 0)).all()
    assert (s * (trimmed_mean(np.concatenate([rows, G]), 3) - G.mean(axis=0)) <= 1e-12).all()


def test_adaptive_repo() -> None:
    G = np.array([[1.0, 1.0], [3.0, 1.0]])  # mean (2, 1), unbiased sd (sqrt 2, 0)
    # always as good as before: 2, 1.5 (step 1 -> .5), 1.25, 1.125 (.25 -> .125), then .0625, .05 ... down to <= 0
    tried: list[float] = []

    def flat(row: np.ndarray) -> float:
        tried.append(float((2.0 - row[0]) / math.sqrt(2.0)))
        return 0.0

    gamma, row = tailored.attack_adaptive_repo(G, "std", flat)
    np.testing.assert_allclose(tried[:6], [2.0, 1.5, 1.25, 1.125, 1.0625, 1.0125])
    assert -0.05 < gamma <= 1e-9
    assert tried[-1] > 0
    np.testing.assert_allclose(row, [2.0 - gamma * math.sqrt(2.0), 1.0])
    # full at once: one trial, the decreased gamma is sent
    gamma, row = tailored.attack_adaptive_repo(G, "sign", lambda _: 1.0, full=1.0)
    assert gamma == 0.375
    np.testing.assert_allclose(row, [1.625, 0.625])
    # only the first gamma does damage: 2 ok, 1.5, 1.75, 1.875, 1.9375, 1.9875, 2.0375 and on: not within .01
    gamma, _ = tailored.attack_adaptive_repo(
        G, "std", lambda r: 1.0 if abs(r[0] - (2 - 2 * 2**0.5)) < 1e-9 else 0.0, max_trials=30
    )
    assert gamma == pytest.approx(1.9375 + 0.05 * 26)
    # more gamma, more damage: 2, then 1.5 worse, 1.75 (worse), ...: the same path
    assert tailored.attack_adaptive_repo(G, "std", lambda r: -r[0], max_trials=2)[0] == pytest.approx(1.75)
    base, p, start = tailored.adaptive_repo_start(G, "uv")
    np.testing.assert_allclose(base + p * 5**0.5, 0.0, atol=1e-12)
    assert start == pytest.approx(5 * 5**0.5)
    assert tailored.attack_adaptive_repo(np.zeros((2, 2)), "uv", lambda _: 1.0)[1].tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="kind"):
        tailored.adaptive_repo_start(G, "none")


def test_agr_tailored() -> None:
    G = sample(1)
    p = perturbation(G, "unit")
    # the mean: damage grows with gamma, so every trial succeeds: 10 + 5 + 2.5 + ... -> 20
    assert tailored.agr_tailored_gamma(G, 2, p, mean) == pytest.approx(20.0, abs=1e-4)
    np.testing.assert_allclose(
        tailored.attack_agr_tailored(G, 2, p, mean), np.tile(mean(G) + 20.0 * p, (2, 1)), rtol=0, atol=1e-4
    )
    # an aggregate that never moves: nothing succeeds
    np.testing.assert_allclose(tailored.attack_agr_tailored(G, 2, p, lambda _: mean(G)), np.tile(mean(G), (2, 1)))
    # a rule that drops crafted rows beyond gamma = 3 ends just below 3
    centre = mean(G)

    def cut(rows: np.ndarray) -> np.ndarray:
        assert rows.shape == (10, 5)
        return rows[0] if np.linalg.norm(rows[0] - centre) <= 3.0 else centre

    assert tailored.agr_tailored_gamma(G, 2, p, cut) == pytest.approx(3.0, abs=1e-4)
    # all crafted rows are alike, so their Krum scores are
    rows = tailored.attack_agr_tailored(G, 2, p, lambda X: krum(X, 2)[0])
    assert krum_scores(np.concatenate([rows, G]), 2)[0] == krum_scores(np.concatenate([rows, G]), 2)[1]


def test_objectives() -> None:
    G = [[1.0, 0.0], [3.0, 0.0]]  # mean (2, 0), farthest 1
    assert tailored.deviation_ratio([2.0, 3.0], G) == 3.0
    assert tailored.deviation_ratio([2.0, 0.0], G) == 0.0
    assert tailored.deviation_ratio([2.0, 0.0], [[2.0, 0.0]]) == 0.0
    assert tailored.deviation_ratio([2.0, 1.0], [[2.0, 0.0]]) == math.inf
    assert tailored.progress([2.0, 9.0], G) == 1.0
    assert tailored.progress([-1.0, 0.0], G) == -0.5
    assert tailored.progress([1.0], [[0.0]]) == 0.0
