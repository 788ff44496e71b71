"""DeMoA where rounds are about classes, where clients have many ids, and where rows are too old."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import pytest
import torch
from torch import Tensor

import fedward as fw
from fedward import mixers, rules
from fedward.clients import ClassMomentum
from fedward.sim import KClasses, federate
from tests.sim.rounds import DATASET, N, simulation

D = 4


def row(client: Hashable, c: int, visit: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(crc32(f"{client!r} {visit}".encode()))
    return 10.0 * c + torch.randn(D, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("base", [rules.Median(), rules.Mean(), mixers.NNM(f=0.2) >> rules.GeometricMedian()], ids=repr)
def test_in_a_round_of_one_class_the_last_rows_are_of_that_class(base: fw.Rule) -> None:
    aggregate = fw.Aggregator(rules.DeMoA(base=base))
    last: dict[int, dict[int, Tensor]] = {0: {}, 1: {}, 2: {}}
    for t in range(12):
        c = t % 3
        present = [client for client in range(6) if (client + t // 3) % 3]
        last[c] |= {client: row(client, c, t) for client in present}
        result = aggregate({client: last[c][client] for client in present}, group=c)
        absent = [client for client in last[c] if client not in present]
        stack = torch.stack([last[c][client] for client in (*present, *sorted(absent))])
        torch.testing.assert_close(result.output, base(stack))
        assert (f"with the last rows of {len(absent)} absent clients" in result.note) == bool(absent)


def test_in_a_round_of_several_classes_those_of_its_classes_count() -> None:
    aggregate = fw.Aggregator(rules.DeMoA(base=rules.Mean()))

    def go_on(held: Sequence[tuple[int, int]]) -> fw.Result[Tensor]:
        return aggregate({pair: row(*pair) for pair in held}, group={pair: pair[1] for pair in held})

    go_on([(0, 0), (1, 0), (0, 1), (2, 1)])
    go_on([(0, 2), (3, 2)])
    result = go_on([(4, 1), (0, 0), (1, 2)])
    expected = [(4, 1), (0, 0), (1, 2), (1, 0), (0, 1), (2, 1), (0, 2), (3, 2)]
    torch.testing.assert_close(result.output, torch.stack([row(*pair) for pair in expected]).mean(0))
    result = go_on([(4, 1), (2, 1)])
    torch.testing.assert_close(result.output, torch.stack([row(4, 1), row(2, 1), row(0, 1)]).mean(0))
    # Where no more than one class of a round is held by anybody, a simulation names rows by their clients alone.
    result = aggregate({0: row(0, 1)}, group=1)
    torch.testing.assert_close(result.output, torch.stack([row(0, 1), row(2, 1), row(4, 1)]).mean(0))


def test_a_client_that_changes_its_class_leaves_a_row_of_each() -> None:
    aggregate = fw.Aggregator(rules.DeMoA(base=rules.Mean()))
    for c in (1, 2):
        aggregate({np.int64(0): row("a", c), "b": row("b", c)}, group={0: c, "b": c})
    for c in (1, 2):
        result = aggregate({"b": row("b", c)}, group={"b": c})
        torch.testing.assert_close(result.output, (row("a", c) + row("b", c)) / 2)


def test_rounds_without_a_class_are_apart_from_those_with_one() -> None:
    aggregate = fw.Aggregator(rules.DeMoA(base=rules.Mean()))
    aggregate({"a": row("a", 3)}, group=3)
    aggregate({"a": row("a", 0)})
    torch.testing.assert_close(aggregate({"b": row("b", 0)}).output, (row("a", 0) + row("b", 0)) / 2)
    torch.testing.assert_close(aggregate({"b": row("b", 3)}, group=3).output, (row("a", 3) + row("b", 3)) / 2)


@pytest.mark.parametrize("classes", [1, 2])
@pytest.mark.parametrize(
    "rule", [rules.DeMoA(base=rules.Median()), rules.ClassWise(base=rules.DeMoA(base=rules.Median()))], ids=repr
)
def test_no_round_of_a_simulation_is_skipped(rule: fw.Rule, classes: int) -> None:
    run = simulation(
        rule=rule,
        clients=ClassMomentum(batch_size=5, classes=classes),
        data=federate(DATASET, N, KClasses(k=2)),
        participation=0.5,
    )
    records = list(run.run(8))
    assert [record.skipped for record in records] == [None] * 8
    assert any("absent" in (record.note or "") for record in records)


CLASSWISE = rules.ClassWise(base=rules.Median())


@pytest.mark.parametrize(
    "base",
    [
        CLASSWISE,
        mixers.NNM(f=1) >> CLASSWISE,
        rules.CGE(f=1) >> CLASSWISE,
        rules.Delayed(base=CLASSWISE),
        rules.RobustTailor(rules=(rules.Mean(), CLASSWISE)),
    ],
    ids=repr,
)
def test_a_base_rule_that_goes_by_classes_is_refused(base: fw.Rule) -> None:
    with pytest.raises(ValueError, match=r"ClassWise.* goes by classes.*class-wise:base=\(de-moa:base="):
        rules.DeMoA(base=base)


@dataclass(frozen=True, kw_only=True)
class OfClassOne(fw.Rule):
    """The mean of the rows of class 1."""

    def decide(self, updates: fw.Updates, state: fw.State, context: fw.Context) -> fw.Plan:
        group = context.group
        assert isinstance(group, dict)
        rows = [i for i, name in enumerate(updates.ids) if group[name] == 1]
        return fw.average_of(updates, torch.tensor(rows))


def test_a_rule_of_one_s_own_is_told_the_classes_of_absent_rows() -> None:
    aggregate = fw.Aggregator(rules.DeMoA(base=OfClassOne()))
    for held in ([(0, 1), (1, 2)], [(2, 1), (3, 2)]):
        result = aggregate({pair: row(*pair) for pair in held}, group={pair: pair[1] for pair in held})
    torch.testing.assert_close(result.output, (row(0, 1) + row(2, 1)) / 2)


# --- ids and ages -------------------------------------------------------------------------------------------


def with_a_liar(rule: fw.Rule, rounds: int) -> float:
    """What ten honest clients that send 1 and one liar that is another one in every round come to."""
    aggregate = fw.Aggregator(rule)
    for t in range(rounds):
        honest: dict[Hashable, Tensor] = {client: torch.ones(D) for client in range(10)}
        output = aggregate({**honest, f"new {t}": torch.full((D,), -100.0)}).output
    return float(output[0])


def test_a_liar_with_new_ids_has_no_more_votes_than_rows_may_be_old() -> None:
    assert with_a_liar(rules.DeMoA(base=rules.Median()), 20) == -100
    for age in (1, 5, 8):
        assert with_a_liar(rules.DeMoA(base=rules.Median(), age=age), 20) == 1
    assert with_a_liar(rules.DeMoA(base=rules.Median(), age=10), 20) == -100


@pytest.mark.parametrize("age", [1, 3])
@pytest.mark.parametrize("group", [None, 2])
def test_a_row_counts_for_so_many_rounds_and_is_forgotten_then(age: int, group: int | None) -> None:
    aggregate = fw.Aggregator(rules.DeMoA(base=rules.Mean(), age=age))
    one, other = torch.ones(D), torch.zeros(D)
    aggregate({"a": one, "b": other}, group=group)
    for t in range(1, age + 3):
        output = aggregate({"b": other}, group=group).output
        assert float(output[0]) == (0.5 if t <= age else 0), t
    kept = [name for name in aggregate.state if name.startswith(("row", "round"))]
    assert len(kept) == 2
    assert all("'b'" in name for name in kept)
    aggregate({"a": one}, group=group)
    assert float(aggregate({"b": other}, group=group).output[0]) == 0.5


def test_rounds_in_which_it_was_not_asked_count_as_well() -> None:
    aggregate = fw.Aggregator(rules.DeMoA(base=rules.Mean(), age=2))
    aggregate({"a": torch.ones(D), "b": torch.zeros(D)})
    aggregate.round += 2
    assert float(aggregate({"b": torch.zeros(D)}).output[0]) == 0


def test_old_rows_of_every_class_go() -> None:
    aggregate = fw.Aggregator(rules.DeMoA(base=rules.Mean(), age=2))
    for t in range(6):
        aggregate({f"client {t}": torch.ones(D)}, group=t)
    assert sorted(name for name in aggregate.state if name.startswith("row")) == [
        f"row for class {c} of ('client {c}', {c})" for c in (4, 5)
    ]


def test_as_text() -> None:
    rule = fw.parse("de-moa:base=median,age=50")
    assert rule == rules.DeMoA(base=rules.Median(), age=50)
    assert fw.parse(fw.describe(rule)) == rule
    assert rules.DeMoA(base=rules.Median()).age is None
    with pytest.raises(ValueError, match="age is a whole number of at least 1"):
        rules.DeMoA(base=rules.Median(), age=0)


def test_an_age_conforms() -> None:
    fw.testing.check_rule(rules.DeMoA(base=rules.MultiKrum(f=0.2), age=2))
