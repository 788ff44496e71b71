"""Every registered attack passes the suite, and equals its naive oracle."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import fedward as fw
from fedward import attacks
from fedward.attacks import View
from fedward.attacks.forge import alie_z
from fedward.stack import Dense, materialise
from fedward.testing import check_attack
from tests.conformance.attack_cases import CASES, CONTEXT, DIRECTIONS, ELSEWHERE, EXAMPLES, ORACLES, Oracle, previous
from tests.oracles import attacks as oracle


def rows(seed: int, h: int, m: int, d: int, spread: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    common = rng.normal(size=d)
    return common + spread * rng.normal(size=(h, d)), common + spread * rng.normal(size=(m, d))


def forge(attack: attacks.Attack, H: np.ndarray, own: np.ndarray, block: int | None = None) -> np.ndarray:
    """What the attack sends when there was a round before."""
    known, mine = (Dense(torch.from_numpy(x), block=block) for x in (H, own))
    return materialise(
        attack.forge(View(honest=known, own=mine, context=CONTEXT, previous=torch.from_numpy(previous(known.d))))
    ).numpy()


def test_none_is_missing() -> None:
    ours = {e.name: e for e in fw.catalogue("attack", packaged=True)}
    assert not CASES.keys() & ELSEWHERE.keys()
    assert {*CASES, *ELSEWHERE} == set(ours)
    assert all(type(attack) is ours[name].cls for name, cases in CASES.items() for attack, _ in cases)
    for name, file in ELSEWHERE.items():
        text = (Path(__file__).parents[1] / "attacks" / file).read_text()
        assert f"attacks.{ours[name].cls.__name__}(" in text, f"{file} has no test of {name}"


@pytest.mark.parametrize("attack", [*(p.values[0] for p in ORACLES), *(p.values[0] for p in EXAMPLES)], ids=repr)
def test_conforms(attack: attacks.Attack) -> None:
    if not (isinstance(attack, attacks.ALIE) and attack.z is None):  # z_max is infinite for one of two clients
        check_attack(attack)


@pytest.mark.parametrize(("attack", "run"), ORACLES)
@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), h=st.integers(3, 12), m=st.integers(1, 4), d=st.integers(1, 40))
def test_equals_its_oracle(attack: attacks.Attack, run: Oracle, seed: int, h: int, m: int, d: int) -> None:
    if isinstance(attack, attacks.FangKrum):
        assume(h > m + 1)  # n > 2m + 1
    H, own = rows(seed, h, m, d)
    if isinstance(attack, attacks.ALIE) and attack.z is None and not np.isfinite(oracle.lie_zmax(h + m, m)):
        with pytest.raises(ValueError, match="give z"):
            forge(attack, H, own)
        return
    expected = run(H, own)
    size = abs(expected[np.isfinite(expected)]).max(initial=1.0)
    np.testing.assert_allclose(forge(attack, H, own), expected, rtol=1e-7, atol=1e-7 * size)
    np.testing.assert_allclose(forge(attack, H, own, block=7), expected, rtol=1e-7, atol=1e-7 * size)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
@pytest.mark.parametrize(("attack", "run"), ORACLES)
def test_equals_its_oracle_on_small_and_large_rows(attack: attacks.Attack, run: Oracle, scale: float) -> None:
    H, own = rows(8, 9, 3, 30)
    expected = run(scale * H, scale * own)
    size = abs(expected[np.isfinite(expected)]).max(initial=0.0)
    np.testing.assert_allclose(forge(attack, scale * H, scale * own), expected, rtol=1e-7, atol=1e-7 * size)


# --- distances ----------------------------------------------------------------------------------------------

FARTHEST = [(attack, direction) for attack in (attacks.MinMax, attacks.MinSum) for direction in DIRECTIONS]


def room(attack: type, row: np.ndarray, H: np.ndarray) -> float:
    """What the constraint leaves of its bound, as a share of the bound; negative where it is broken."""
    apart = np.array([((H - g) ** 2).sum(1) for g in H])
    away = ((row - H) ** 2).sum(1)
    used, bound = (away.max(), apart.max()) if attack is attacks.MinMax else (away.sum(), apart.sum(1).max())
    return float(1 - used / bound)


@pytest.mark.parametrize(("attack", "direction"), FARTHEST)
@pytest.mark.parametrize("spread", [1.0, 1e-3])
def test_min_max_and_min_sum_end_on_the_feasible_side(attack: type, direction: str, spread: float) -> None:
    for seed in range(20):
        H, own = rows(seed, 12, 3, 300, spread)
        assert abs(room(attack, attack(direction=direction)(H, own)[0], H)) <= 1e-6


@pytest.mark.parametrize(("attack", "direction"), FARTHEST)
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("spread", [1.0, 0.01])
def test_so_they_do_with_many_columns_in_single_precision(
    attack: type, direction: str, scale: float, spread: float
) -> None:
    H, own = (np.float32(scale * x) for x in rows(4, 12, 3, 20_000, spread))
    row = attack(direction=direction)(H, own)[0]
    assert row.dtype == np.float32
    assert abs(room(attack, row.astype(np.float64) / scale, H.astype(np.float64) / scale)) <= 1e-6


@pytest.mark.parametrize(("attack", "direction"), FARTHEST)
@pytest.mark.parametrize("far", [1e3, 1e6])
def test_so_they_do_beside_a_row_that_is_far_away(attack: type, direction: str, far: float) -> None:
    H, own = rows(5, 12, 3, 300)
    H[4] *= far
    assert abs(room(attack, attack(direction=direction)(H, own)[0], H)) <= 1e-6


def test_rows_without_a_spread_leave_no_room() -> None:
    H = np.tile(np.arange(1.0, 6.0), (5, 1))
    for attack, direction in FARTHEST:
        np.testing.assert_allclose(attack(direction=direction)(H, H[:2]), H[:2], rtol=1e-7)
        np.testing.assert_allclose(attack(direction=direction)(0 * H, H[:2]), 0 * H[:2], atol=1e-12)


def test_min_max_and_min_sum_agree_with_the_published_search() -> None:
    H, own = rows(1, 12, 2, 60)
    expected = oracle.attack_min_max(H, 2, method="search")
    np.testing.assert_allclose(attacks.MinMax()(H, own), expected, atol=1e-4)
    expected = oracle.attack_min_sum(H, 2, method="search")
    np.testing.assert_allclose(attacks.MinSum()(H, own), expected, atol=1e-4)


# --- cost ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attack", "decision"),
    [
        (attacks.NoAttack(), 0),
        (attacks.SignFlip(), 0),
        (attacks.IPM(), 0),
        (attacks.ALIE(), 0),
        (attacks.Deviation(), 0),
        *((attack(direction=direction), 1) for attack, direction in FARTHEST),
        (attacks.MinMax(knows="all"), 1),
        (attacks.FangKrum(), 1),
        (attacks.Mimic(), 1),
    ],
    ids=str,
)
def test_costs_one_pass_for_the_decision_and_one_for_the_rows(attack: attacks.Attack, decision: int) -> None:
    H, own = (Dense(torch.from_numpy(x), block=16) for x in rows(0, 8, 2, 100))
    forged = attack.forge(View(honest=H, own=own, context=CONTEXT))
    assert H.columns_read == decision * H.d
    materialise(forged)
    assert H.columns_read <= (decision + 1) * H.d
    assert own.columns_read <= (decision + 1) * H.d


# --- one by one ---------------------------------------------------------------------------------------------


def test_byz_mean_hits_its_mean_exactly() -> None:
    for split in (0.5, 0.8):
        H, own = rows(3, 40, 10, 50)
        forged = attacks.ByzMean(inner=attacks.ALIE(z=0.3), split=split)(H, own)
        target = attacks.ALIE(z=0.3)(H, own)[0]
        np.testing.assert_allclose(np.concatenate([H, forged]).mean(0), target, atol=1e-12)
        assert (forged[: int(split * 10)] == forged[0]).all()


@pytest.mark.parametrize(("n", "f", "z"), [(50, 10, 0.2533), (50, 24, 1.426)])
def test_alie_z_max(n: int, f: int, z: float) -> None:
    assert alie_z(n, f) == pytest.approx(z, abs=5e-4)


@pytest.mark.parametrize("n", range(2, 60))
def test_alie_z_max_of_every_number_of_clients(n: int) -> None:
    for f in range(n):
        assert alie_z(n, f) == pytest.approx(oracle.lie_zmax(n, f), abs=1e-9)


def test_fang_values_lie_beyond_the_honest_ones_on_the_far_side() -> None:
    H, own = rows(2, 9, 4, 500)
    forged, mean = attacks.FangTrimmedMean()(H, own), H.mean(0)
    assert (np.where(mean < 0, forged - H.max(0), H.min(0) - forged) >= 0).all()
    assert len(np.unique(forged)) == forged.size  # every client and column draws anew


def test_fang_krum_is_picked_by_krum() -> None:
    for seed in range(5):
        H, own = rows(seed, 11, 3, 200, 3.0)
        forged = attacks.FangKrum()(H, own)
        assert (forged == forged[0]).all()
        assert (np.sign(forged[0]) == -np.sign(H.mean(0))).all()
        picked = fw.rules.Krum(f=3)(np.concatenate([forged, H]))
        assert np.array_equal(picked, forged[0])
        assert not np.array_equal(fw.rules.Krum(f=3)(np.concatenate([2 * forged, H])), 2 * forged[0])


def test_a_free_rider_sends_zeros_in_the_first_round() -> None:
    H, own = rows(0, 4, 2, 10)
    assert not attacks.FreeRider()(H, own).any()


def test_rop_is_orthogonal_to_the_mean_in_the_first_round() -> None:
    H, own = rows(0, 6, 3, 50)
    sent, mean = attacks.ROP(z=3.0)(H, own), H.mean(0)
    assert abs(sent[0] @ mean) < 1e-9 * np.linalg.norm(sent[0]) * np.linalg.norm(mean)
    assert np.linalg.norm(sent[0]) == pytest.approx(3)
    assert (sent[0] == sent[1]).all()
    z = oracle.lie_zmax(9, 3)
    np.testing.assert_allclose(attacks.ROP(z=None)(H, own), z / 3 * sent, rtol=1e-9)


def test_model_replacement_puts_the_mean_at_the_attackers_own() -> None:
    own = rows(0, 1, 3, 40)[1]
    sent = attacks.Scaling(factor=None)(np.zeros((9, 40)), own)
    np.testing.assert_allclose(np.concatenate([np.zeros((9, 40)), sent]).mean(0), own.mean(0), rtol=1e-12)


@pytest.mark.parametrize(
    "attack", [e.build() for e in fw.catalogue("attack") if e.name != "random-schedule"], ids=lambda a: type(a).__name__
)
def test_noise_differs_between_rounds_and_clients_only_where_it_is_random(attack: attacks.Attack) -> None:
    H, own = map(torch.from_numpy, rows(0, 6, 3, 20))
    first, second = (attack(H, own, context=fw.Context(round=r, seed=1)).nan_to_num() for r in (0, 1))
    random = isinstance(attack, attacks.Random | attacks.Noise | attacks.FangTrimmedMean)
    assert torch.equal(first, second) is not random
    if random:
        assert not torch.equal(first[0] - own[0], first[1] - own[1])
        assert not torch.equal(first, attack(H, own, context=fw.Context(round=0, seed=2)))


@pytest.mark.parametrize(
    ("honest", "own", "words"),
    [
        ((3, 4), (2, 5), "4 columns, own rows 5"),
        ((0, 4), (2, 4), "at least one row"),
        ((3, 4), (0, 4), "at least one row"),
        ((3, 4), (4,), r"one row is G\[None, :\]"),
    ],
)
def test_rows_that_do_not_fit(honest: tuple[int, ...], own: tuple[int, ...], words: str) -> None:
    for entry in fw.catalogue("attack"):
        if inspect.isabstract(entry.cls):
            continue
        with pytest.raises(ValueError, match=words):
            entry.build()(torch.ones(honest), torch.ones(own))  # type: ignore[operator]  # an attack
