"""What filters and class momentum say and do at the edges."""

from __future__ import annotations

import pytest
import torch

import fedward as fw
from fedward import attacks, rules
from fedward.clients import ClassMomentum, Gradient, LocalModel, Shard, Task, carry_out
from fedward.core import BoundError
from fedward.sim.record import Record, why_skipped
from tests.sim.federations import linear

HONEST = torch.randn(6, 40, generator=torch.Generator().manual_seed(0)) + 0.5
ROWS = torch.cat([HONEST, attacks.SignFlip(scale=3.0)(HONEST, HONEST[:4])])
REMEDY = "a share of the rows that are left, such as f=0.2, fits any number of them"


def test_too_few_rows_behind_a_filter_suggest_a_share() -> None:
    chain = rules.SignGuard() >> rules.TrimmedMean(f=4)
    with pytest.raises(BoundError, match=rf"n >= 2f \+ 1 = 9 clients, got .* accepts \d\); {REMEDY}"):
        chain(ROWS)
    assert (rules.SignGuard() >> rules.TrimmedMean(f=0.2))(ROWS).isfinite().all()
    with pytest.raises(BoundError, match=rf"accepts 3 at most\); {REMEDY}"):
        (rules.CGE(f=7) >> rules.Krum(f=2)).check(10)
    with pytest.raises(BoundError) as caught:  # there is no other share to suggest
        (rules.CGE(f=7) >> rules.Krum(f=0.4)).check(10)
    assert REMEDY not in str(caught.value)


def test_one_round_is_not_several() -> None:
    def record(why: str) -> Record:
        return Record(round=0, accepted=(), skipped=why, seconds={})

    assert why_skipped([record("a"), record("a"), record("b")]) == "a (2 rounds); b (1 round)"


def shard() -> Shard:
    labels = torch.tensor([0] * 7 + [1] * 3)
    return Shard(torch.randn(10, 2, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64), labels)


def seen(algorithm: ClassMomentum, rounds: int) -> dict[int, list[list[int]]]:
    """The samples of each class's batch, round by round."""
    batches: dict[int, list[list[int]]] = {0: [], 1: []}
    for round in range(rounds):
        now = Task(
            client=1, parameters=torch.zeros(24), shard=shard(), context=fw.Context(round=round, seed=2, group=0)
        )
        for c, (part, numbers) in zip((0, 1), algorithm.asks(now), strict=True):
            batches[c].append(part.places[numbers].tolist())
    return batches


def test_class_momentum_may_keep_the_short_last_batches() -> None:
    kept = seen(ClassMomentum(batch_size=4, drop_last=False), 4)
    assert [len(batch) for batch in kept[0]] == [4, 3, 4, 3]
    assert [len(batch) for batch in kept[1]] == [3, 3, 3, 3]
    assert sorted(kept[0][0] + kept[0][1]) == list(range(7))  # the whole class in two rounds
    assert [len(batch) for batch in seen(ClassMomentum(batch_size=4), 4)[0]] == [4, 4, 4, 4]


def test_epochs_of_class_momentum_count_short_batches() -> None:
    assert ClassMomentum(batch_size=4).epochs_per_round(shard()) == 0.7  # 4 + 3 of 10
    assert ClassMomentum(batch_size=4, drop_last=False).epochs_per_round(shard()) == (3.5 + 3) / 10
    assert ClassMomentum(batch_size=4, drop_last=False).fresh() == Gradient(batch_size=4, drop_last=False)


def test_class_momentum_is_what_it_was() -> None:
    """The batches of a round and their order are those of before the parameter was there."""
    now = Task(client=1, parameters=LocalModel(linear()).initial, shard=shard(), context=fw.Context(seed=2, group=0))
    row = carry_out(ClassMomentum(batch_size=4), LocalModel(linear()), now).row
    ((part, numbers), _) = ClassMomentum(batch_size=4).asks(now)
    expected = next(
        Task(client=1, parameters=now.parameters, shard=part, context=now.context).batches(4, 1, ", class 0")
    )
    assert torch.equal(numbers, expected)
    gradient, _ = LocalModel(linear()).gradient(*part.take(numbers))
    torch.testing.assert_close(row, gradient * (1 - 0.9))
