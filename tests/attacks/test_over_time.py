"""Attacks that work over many rounds equal their oracles in each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

import fedward as fw
from fedward import attacks
from fedward.attacks import View
from fedward.stack import Dense, materialise
from tests.oracles import attacks_over_time as oracle

ROUNDS, H, M, D = 8, 9, 3, 40
SEEDS = range(5)


def honest_rows(seed: int, round: int, h: int = H, d: int = D) -> np.ndarray:
    """Clients that differ by data of their own, every round with new noise."""
    client = np.random.default_rng((seed, 0)).normal(size=(h, d))
    rng = np.random.default_rng((seed, 1, round))
    return rng.normal(size=d) + client + 0.5 * rng.normal(size=(h, d))


def play(
    attack: attacks.Attack,
    seed: int,
    rows: Callable[[int], np.ndarray],
    previous: Callable[[int], np.ndarray | None] = lambda round: None,
    ids: Callable[[int], Sequence[object] | None] = lambda round: None,
    dtype: torch.dtype = torch.float64,
    rounds: int = ROUNDS,
) -> Iterator[Tensor]:
    """What the attack sends, round by round, remembering what it asks to remember."""
    state: fw.State = {}
    for round in range(rounds):
        known, step = torch.from_numpy(rows(round)).to(dtype), previous(round)
        own = Dense(torch.zeros(M, known.shape[1], dtype=dtype))
        view = View(
            honest=Dense(known, ids=ids(round), block=16),
            own=own,
            context=fw.Context(round=round, seed=seed),
            previous=None if step is None else torch.from_numpy(step).to(dtype),
            state=state,
        )
        sent = materialise(attack.forge(view))
        assert torch.equal(sent, materialise(attack.forge(view)))  # asking changes nothing
        state = attack.advance(view, sent)
        yield sent


# --- Mimic --------------------------------------------------------------------------------------------------


def start(seed: int) -> np.ndarray:
    return torch.randn(D, generator=fw.Context(seed=seed).generator("direction")).double().numpy()


@pytest.mark.parametrize("warmup", [1, 2, 5, 20])
@pytest.mark.parametrize("seed", SEEDS)
def test_mimic_copies_whom_the_oracle_copies(seed: int, warmup: int) -> None:
    expected = oracle.Mimic(start(seed), warmup)
    chosen = []
    for round, sent in enumerate(play(attacks.Mimic(warmup=warmup), seed, lambda r: honest_rows(seed, r))):
        rows = honest_rows(seed, round)
        chosen.append(expected.round(rows))
        np.testing.assert_array_equal(sent, np.tile(rows[chosen[-1]], (M, 1)))
    assert len(set(chosen[warmup - 1 :])) == (1 if warmup < 20 else 0)  # there are fewer rounds than twenty


@pytest.mark.parametrize("seed", SEEDS)
def test_the_direction_of_largest_variance_is_learned(seed: int) -> None:
    """Where two clients differ most, it is one of the two, whatever the start."""

    def rows(round: int) -> np.ndarray:
        noise = np.random.default_rng((seed, round)).normal(size=(H, D))
        noise[[2, 4], 7] += [-30, 30]
        return noise

    *_, last = play(attacks.Mimic(), seed, rows)
    assert np.array_equal(last[0], rows(ROUNDS - 1)[2 if last[0, 7] < 0 else 4])


@pytest.mark.parametrize("seed", SEEDS)
def test_mimic_copies_the_same_in_single_precision(seed: int) -> None:
    expected = oracle.Mimic(start(seed), 5)
    played = play(attacks.Mimic(), seed, lambda r: honest_rows(seed, r), dtype=torch.float32)
    for round, sent in enumerate(played):
        rows = honest_rows(seed, round)
        assert sent.dtype == torch.float32
        np.testing.assert_array_equal(sent[0], rows[expected.round(rows)].astype(np.float32))


def test_without_a_warm_up_it_is_the_first_honest_row() -> None:
    for round, sent in enumerate(play(attacks.Mimic(warmup=0), 0, lambda r: honest_rows(0, r))):
        np.testing.assert_array_equal(sent, np.tile(honest_rows(0, round)[0], (M, 1)))


@pytest.mark.parametrize("name", [int, str], ids=["numbers", "names"])
def test_the_target_is_a_client_wherever_its_row_is(name: Callable[[int], object]) -> None:
    """Participation varies: after the warm-up the rows come in another order."""
    warmup = 3
    expected = oracle.Mimic(start(1), warmup)
    clients = [10 + i for i in range(H)]

    def order(round: int) -> np.ndarray:
        return np.arange(H) if round < warmup else np.random.default_rng(round).permutation(H)

    played = play(
        attacks.Mimic(warmup=warmup),
        1,
        lambda r: honest_rows(1, r)[order(r)],
        ids=lambda r: [name(clients[i]) for i in order(r)],
    )
    targets = set()
    for round, sent in enumerate(played):
        target = expected.round(honest_rows(1, round))
        targets.add(target)
        np.testing.assert_array_equal(sent[0], honest_rows(1, round)[target])
    assert targets != {0}  # the first row would not tell


def test_a_target_that_is_away_is_replaced_by_the_first_one() -> None:
    expected = oracle.Mimic(start(1), 2)
    target = [expected.round(honest_rows(1, r)) for r in range(2)][-1]
    present = [i for i in range(H) if i != target]
    played = play(
        attacks.Mimic(warmup=2),
        1,
        lambda r: honest_rows(1, r) if r < 2 else honest_rows(1, r)[present],
        ids=lambda r: None if r < 2 else present,
        rounds=4,
    )
    np.testing.assert_array_equal(list(played)[-1][0], honest_rows(1, 3)[present[0]])


# --- PoisonedFL ---------------------------------------------------------------------------------------------


def signs(seed: int) -> np.ndarray:
    generator = fw.Context(seed=seed).generator("signs")
    return (torch.randint(0, 2, (D,), generator=generator) * 2 - 1).numpy()


def step(seed: int, round: int) -> np.ndarray | None:
    """The server's steps: none yet, then of any size, once none at all."""
    if round == 0:
        return None
    rng = np.random.default_rng((seed, 2, round))
    return np.zeros(D) if round == 5 else rng.uniform(0.1, 3) * rng.normal(size=D)


@pytest.mark.parametrize("c", [8.0, 0.4])
@pytest.mark.parametrize("seed", SEEDS)
def test_poisoned_fl_sends_what_the_oracle_sends(seed: int, c: float) -> None:
    expected = oracle.PoisonedFL(signs(seed), c)
    attack = attacks.PoisonedFL(c=c)
    for round, sent in enumerate(play(attack, seed, lambda r: honest_rows(seed, r), lambda r: step(seed, r))):
        last = step(seed, round)
        row = np.zeros(D) if last is None else expected.round(last)
        np.testing.assert_allclose(sent, np.tile(row, (M, 1)), rtol=1e-9, atol=1e-9 * max(1.0, abs(row).max()))


@pytest.mark.parametrize("every", [1, 2, 3])
@pytest.mark.parametrize("seed", SEEDS)
def test_poisoned_fl_shrinks_where_the_model_does_not_follow(seed: int, every: int) -> None:
    """Every so many rounds the progress along the signs is looked at; steps that follow them leave c as it is."""
    rounds = 30
    follows = [seed % 2 == 1 and r % 2 == 0 for r in range(rounds)]

    def moved(round: int) -> np.ndarray | None:
        if round == 0:
            return None
        size = np.random.default_rng((seed, 3, round)).uniform(0.5, 2, size=D)
        return 10.0 * size * signs(seed) if follows[round] else step(seed, round if round != 5 else 1)

    expected, so_far, factors = oracle.PoisonedFL(signs(seed)), np.zeros(D), [8.0]
    attack = attacks.PoisonedFL(every=every)
    for round, sent in enumerate(play(attack, seed, lambda r: honest_rows(seed, r), moved, rounds=rounds)):
        last = moved(round)
        if last is None:
            assert not sent.any()
            continue
        row = expected.round(last)
        np.testing.assert_allclose(sent[0], row, rtol=1e-9, atol=1e-9 * abs(row).max())
        so_far += last
        if round % every == 0:
            along = int((np.sign(so_far) == signs(seed)).sum())
            expected.c = oracle.poisonedfl_adjust(expected.c, along, D)
            so_far = np.zeros(D)
            factors.append(expected.c)
    assert min(factors) >= 0.5
    if seed % 2 == 0:
        assert factors[-1] < 8.0
    elif every == 2:  # every look comes after a step along the signs
        assert set(factors) == {8.0}


def test_the_least_factor_is_reached_and_kept() -> None:
    against = [None, *(-signs(0) * (1.0 + r) for r in range(40))]
    sizes = []
    for round, sent in enumerate(
        play(attacks.PoisonedFL(every=1), 0, lambda r: honest_rows(0, 0), lambda r: against[r], rounds=41)
    ):
        if round:
            sizes.append(float(sent[0].norm()) / np.linalg.norm(against[round]))
    expected = [8.0]
    while 0.7 * expected[-1] >= 0.5:
        expected.append(0.7 * expected[-1])
    np.testing.assert_allclose(sizes, expected + [expected[-1]] * (40 - len(expected)), rtol=1e-9)


def test_poisoned_fl_pushes_one_way_for_ever() -> None:
    for round, sent in enumerate(play(attacks.PoisonedFL(), 3, lambda r: honest_rows(3, r), lambda r: step(3, r))):
        assert (sent.numpy() * signs(3) >= 0).all()
        assert torch.equal(sent[0], sent[1])
        if round not in (0, 5):
            assert float(sent[0].norm()) == pytest.approx(8 * np.linalg.norm(step(3, round)))
    assert not np.array_equal(signs(3), signs(4))
