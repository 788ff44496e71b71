"""DeMoA: what is remembered stands for who is absent, in every rule, by client and not by place."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import fedward as fw
from fedward import mixers, rules
from fedward.testing import check_rule

D = 30


def row(client: int, round: int) -> Tensor:
    generator = torch.Generator().manual_seed(100 * client + round)
    return 0.3 + torch.randn(D, generator=generator, dtype=torch.float64)


def drawn(round: int) -> list[int]:
    generator = torch.Generator().manual_seed(round)
    return torch.randperm(12, generator=generator)[:4].tolist()


BASES = [
    rules.Median(),
    rules.TrimmedMean(f=0.2),
    rules.MultiKrum(f=0.1),
    rules.SignGuard(cluster=False) >> rules.Median(),
    mixers.NNM(f=0.2) >> rules.GeometricMedian(),
    rules.CenteredClipping(radius=10.0),
]


@pytest.mark.parametrize("base", BASES, ids=repr)
def test_equals_the_base_rule_on_everybodys_last_row(base: fw.Rule) -> None:
    delayed = fw.Aggregator(rules.DeMoA(base=base))
    full = fw.Aggregator(base)
    last: dict[int, Tensor] = {}
    for round in range(8):
        present = drawn(round)
        last |= {client: row(client, round) for client in present}
        absent = sorted(set(last) - set(present), key=lambda client: f"row of {client!r}")
        result = delayed({client: last[client] for client in present})
        stack = torch.stack([last[client] for client in (*present, *absent)])
        torch.testing.assert_close(result.output, full(stack).output)
        assert result.ids == tuple(present)
        assert ("absent" in result.note) == bool(absent)
    assert len(last) > 10


def test_a_round_of_a_byzantine_majority_is_outvoted_by_those_that_are_absent() -> None:
    honest = {client: row(client, 0) for client in range(9)}
    forged = {client: torch.full((D,), 1e3, dtype=torch.float64) for client in range(9, 12)}
    for rule, far in ((rules.Median(), True), (rules.DeMoA(base=rules.Median()), False)):
        aggregator = fw.Aggregator(rule)
        aggregator({**honest, **forged})
        output = aggregator({0: honest[0], **forged}).output
        assert (float(output.abs().max()) > 100) is far


def test_who_sends_nothing_finite_counts_as_absent() -> None:
    aggregator = fw.Aggregator(rules.DeMoA(base=rules.Mean()))
    first = {client: row(client, 0) for client in range(3)}
    aggregator(first)
    result = aggregator({0: first[0], 1: torch.full((D,), torch.nan, dtype=torch.float64), 2: first[2]})
    torch.testing.assert_close(result.output, torch.stack(list(first.values())).mean(0))
    assert result.reasons[1] is fw.Reason.NONFINITE


def test_no_more_clients_are_remembered_than_said() -> None:
    aggregator = fw.Aggregator(rules.DeMoA(base=rules.Mean(), remember=3))
    for client in range(6):
        aggregator({client: row(client, 0), 0: row(0, 0)})
    kept = [name for name in aggregator.state if name.startswith("row of ")]
    assert sorted(kept) == ["row of 0", "row of 4", "row of 5"]


def test_rows_are_remembered_until_they_are_enough() -> None:
    aggregator = fw.Aggregator(rules.DeMoA(base=rules.TrimmedMean(f=2)))
    result = aggregator({client: row(client, 0) for client in range(3)})
    assert not result.output.any()
    assert not result.accepted.any()
    assert "2f + 1 = 5 clients, got 3" in result.note
    result = aggregator({client: row(client, 0) for client in range(2, 6)})
    assert result.note == "with the last rows of 2 absent clients"
    expected = rules.TrimmedMean(f=2)(torch.stack([row(client, 0) for client in range(6)]))
    torch.testing.assert_close(result.output, expected)


def test_a_base_rule_that_goes_by_ids_is_refused() -> None:
    with pytest.raises(ValueError, match=r"FoolsGold.* uses the clients' ids"):
        rules.DeMoA(base=rules.FoolsGold())


def test_conforms() -> None:
    check_rule(rules.DeMoA(base=rules.MultiKrum(f=0.2)))
