"""Whom Mimic copies when the target is fixed: the same client, whatever the rule made of the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

import fedward as fw
from fedward import attacks, rules
from fedward.attacks import View
from fedward.redteam import Captured, play
from fedward.sim import Dataset, FederatedData, Split
from fedward.stack import Dense, materialise
from fedward.testing import QuadraticEvaluator
from tests.oracles import attacks_over_time as oracle

H, M, D, ROUNDS = 6, 2, 30, 6


def rows(seed: int, round: int, path: float = 0.0) -> np.ndarray:
    """Honest rows; from the second round on they depend on the path that training took, as a rule has it."""
    client = np.random.default_rng((seed, 0)).normal(size=(H, D))
    noise = np.random.default_rng((seed, 1, round)).normal(size=(H, D))
    turn = np.random.default_rng((seed, 2)).normal(size=(H, D))
    return client + 0.5 * noise + round * path * turn


def copied(
    attack: attacks.Attack, seed: int, path: float = 0.0, ids: Sequence[object] | None = None, start: int = 0
) -> list[int]:
    """The honest row that is copied in each round."""
    state: fw.State = {}
    found = []
    for round in range(start, start + ROUNDS):
        honest = rows(seed, round, path)
        view = View(
            honest=Dense(torch.from_numpy(honest), ids=ids, block=8),
            own=Dense(torch.zeros(M, D, dtype=torch.float64), ids=["own 1", "own 2"]),
            context=fw.Context(round=round, seed=seed).fold("attack"),
            state=state,
        )
        sent = materialise(attack.forge(view))
        state = attack.advance(view, sent)
        assert torch.equal(sent[0], sent[1])
        found.append(next(i for i, row in enumerate(honest) if np.array_equal(row, sent[0].numpy())))
    return found


def start(seed: int) -> np.ndarray:
    generator = fw.Context(seed=seed).fold("attack").generator("direction")
    return torch.randn(D, generator=generator).double().numpy()


@pytest.mark.parametrize("ids", [None, ["a", "b", "c", "d", "e", "f"], [7, 3, 9, 1, 0, 2]])
def test_a_client_by_id(ids: Sequence[object] | None) -> None:
    for place, target in enumerate(range(H) if ids is None else ids):
        attack = attacks.Mimic(target=target)  # type: ignore[arg-type]  # whole numbers and text
        assert copied(attack, 0, ids=ids) == [place] * ROUNDS


@pytest.mark.parametrize("seed", range(8))
def test_the_first_round_decides_for_every_rule(seed: int) -> None:
    expected = oracle.mimic_first_round(rows(seed, 0), start(seed))
    for path in (0.0, 1.0, -3.0):
        assert copied(attacks.Mimic(target="first-round"), seed, path) == [expected] * ROUNDS


def test_what_is_published_copies_others_on_other_paths() -> None:
    """The reason why a target can be fixed."""
    differ = [copied(attacks.Mimic(), seed, 0.0)[-1] != copied(attacks.Mimic(), seed, -3.0)[-1] for seed in range(8)]
    assert any(differ)


def test_seeds_choose_differently() -> None:
    assert len({copied(attacks.Mimic(target="first-round"), seed)[0] for seed in range(8)}) > 1
    assert oracle.mimic_first_round(rows(0, 0), start(0)) != oracle.mimic_first_round(rows(0, 0), -start(0))


def test_the_first_round_is_the_first_that_is_played() -> None:
    """An attack that sets in later learns then."""
    expected = oracle.mimic_first_round(rows(1, 3), start(1))
    assert copied(attacks.Mimic(target="first-round"), 1, start=3) == [expected] * ROUNDS


def test_only_what_is_learned_is_remembered() -> None:
    assert attacks.Mimic().traits().history
    assert attacks.Mimic(target="first-round").traits().history
    assert not attacks.Mimic(target=4).traits().history


def test_rounds_of_several_classes_have_pairs_for_ids() -> None:
    ids = [(client, 2) for client in (4, 5, 6, 7, 8, 9)]
    assert copied(attacks.Mimic(target=7), 0, ids=ids) == [3] * ROUNDS


def test_a_target_that_is_away_is_replaced_by_the_first_one() -> None:
    assert copied(attacks.Mimic(target="z"), 0, ids=list("abcdef")) == [0] * ROUNDS


def test_a_byzantine_target_is_an_error() -> None:
    with pytest.raises(ValueError, match="target='own 2' is byzantine: one of 'a', 'b'"):
        copied(attacks.Mimic(target="own 2"), 0, ids=list("abcdef"))


@pytest.mark.parametrize("target", [2.5, True, (1,)])
def test_a_target_is_a_number_or_text(target: object) -> None:
    with pytest.raises(ValueError, match="target is a whole number or text or None"):
        attacks.Mimic(target=target)  # type: ignore[arg-type]  # the point


def test_a_warm_up_beside_a_target_is_refused() -> None:
    with pytest.raises(ValueError, match="target=4 nothing is learned in warmup=3"):
        attacks.Mimic(target=4, warmup=3)


# --- in a simulation ----------------------------------------------------------------------------------------

SAMPLES = 60


def simulation(attack: attacks.Attack, rule: fw.Rule | None = None) -> fw.Simulation:
    """Five clients, of whom the first two are byzantine."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(SAMPLES, 5, generator=generator)
    split = Split(inputs=inputs, labels=inputs[:, :3].argmax(1))
    data = FederatedData(
        dataset=Dataset(name="drawn", train=split, test=split, classes=3), shards=torch.arange(SAMPLES).split(12)
    )
    return fw.Simulation(
        model=lambda: torch.nn.Linear(5, 3),
        data=data,
        rule=rule or rules.Mean(),
        attack=attack,
        byzantine=2,
        clients=fw.clients.Gradient(batch_size=6),
        server=fw.ServerSGD(lr=2.0),
        seed=1,
    )


def copied_in(run: fw.Simulation, rounds: int = 3) -> list[int]:
    found = []
    for _ in range(rounds):
        for _record in run.run(rounds=run.round + 1):
            pass
        found.append(next(i for i in (2, 3, 4) if torch.equal(run.rows[i], run.rows[0])))
    return found


@pytest.mark.parametrize("target", [2, 3, 4])
def test_a_simulation_copies_the_client(target: int) -> None:
    assert copied_in(simulation(attacks.Mimic(target=target))) == [target] * 3


def test_all_rules_have_one_client_copied() -> None:
    every: list[fw.Rule] = [rules.Mean(), rules.Median(), rules.FedSECA(), rules.Krum(f=1)]
    found = [copied_in(simulation(attacks.Mimic(target="first-round"), rule)) for rule in every]
    assert found == [[found[0][0]] * 3] * len(every)


@pytest.mark.parametrize(("target", "what"), [(1, "byzantine"), (5, "no client"), ("4", "no client")])
@pytest.mark.parametrize(
    "around",
    [
        lambda a: a,
        lambda a: attacks.ByzMean(inner=a),
        lambda a: attacks.Schedule({0: attacks.NoAttack(), 9: a}),
        lambda a: attacks.Groups([attacks.NoAttack(), a]),
    ],
    ids=["alone", "byz-mean", "schedule", "groups"],
)
def test_a_target_that_cannot_be_is_an_error_before_the_run(
    around: Callable[[attacks.Attack], attacks.Attack], target: int | str, what: str
) -> None:
    with pytest.raises(ValueError, match=rf"target={target!r} is {what}: one of 2, 3, 4"):
        simulation(around(attacks.Mimic(target=target)))


def test_the_red_team_refuses_it_as_well() -> None:
    captured = [Captured(rows=torch.from_numpy(rows(0, 0)[:5]), previous=None, evaluator=QuadraticEvaluator(D))] * 2
    play(rules.Mean(), attacks.Mimic(target=3), captured, 2)
    with pytest.raises(ValueError, match="target=9 is no client: one of 2, 3, 4"):
        play(rules.Mean(), attacks.Mimic(target=9), captured, 2)
