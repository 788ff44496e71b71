"""What chains say of themselves, and that what rules say of their passes is neither too little nor too much."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import fedward as fw
from fedward import mixers, rules
from fedward.core import Context, Mixer, State, apply
from fedward.stack import Dense, Gram, Sample, Statistic, Updates
from fedward.testing import random_stack
from fedward.testing.stacks import root_data, said

MIXERS: dict[str, Mixer] = {entry.name: entry.build() for entry in fw.catalogue("mixer")}
KEEP_CLIENTS = {"arc", "clip-norm", "nnm", "normalize"}
BY_CLIENT = [rule for rule in (entry.build() for entry in fw.catalogue("rule")) if rule.traits().by_client]


def test_mixers_that_keep_clients_apart_say_so() -> None:
    assert {name for name, mixer in MIXERS.items() if mixer.traits().keeps_clients} == KEEP_CLIENTS


@pytest.mark.parametrize("name", sorted(KEEP_CLIENTS))
def test_their_rows_go_with_the_clients(name: str) -> None:
    G, order = (
        torch.randn(9, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)),
        torch.tensor([4, 2, 8, 0, 1, 7, 3, 6, 5]),
    )
    ids = [f"client {i}" for i in range(9)]
    one = MIXERS[name].view(Dense(G, ids=ids), Context())
    other = MIXERS[name].view(Dense(G[order], ids=[ids[i] for i in order.tolist()]), Context())
    assert one.ids == tuple(ids)
    assert other.ids == tuple(ids[i] for i in order.tolist())
    torch.testing.assert_close(one.read(0, 6)[order], other.read(0, 6))


@pytest.mark.parametrize("name", sorted(MIXERS))
def test_rules_that_go_by_clients_need_clients(name: str) -> None:
    assert BY_CLIENT
    for rule in BY_CLIENT:
        for mixer in (MIXERS[name], MIXERS[name] >> mixers.ClipNorm(radius=2.0), mixers.NNM(f=1) >> MIXERS[name]):
            assert mixer.traits().keeps_clients is (name in KEEP_CLIENTS)
            if name in KEEP_CLIENTS:
                assert (mixer >> rule).traits().by_client is True
            else:
                with pytest.raises(ValueError, match="uses the clients' ids"):
                    mixer >> rule


def test_mixers_in_a_row_are_what_their_parts_are() -> None:
    clip, nnm, previous = mixers.ClipNorm(radius=2.0), mixers.NNM(f=1), mixers.SequentialBucketing(s=2)
    assert (clip >> clip).traits().diagonal is True
    assert (clip >> nnm).traits().diagonal is False
    assert (clip >> nnm).traits().history is False
    assert (clip >> previous).traits().history is True
    assert (clip >> nnm >> rules.Median()).traits().history is False
    assert (clip >> previous >> rules.Median()).traits().history is True
    assert (clip >> nnm >> rules.FoolsGold()).traits().history is True
    assert repr(clip >> nnm) == f"{clip!r} >> {nnm!r}"
    assert repr(clip >> nnm >> rules.Median()) == f"{clip!r} >> {nnm!r} >> {rules.Median()!r}"


class Drawn(Mixer):
    """Leaves all as it is, after a look at some columns drawn at random."""

    def statistics(self, context: Context) -> tuple[Statistic, ...]:
        seed = int(torch.randint(1 << 30, (1,), generator=context.generator("columns")))
        return (Gram(sample=Sample(seed=seed, count=5)),)

    def matrix(self, updates: Updates, context: Context) -> torch.Tensor:
        return torch.eye(updates.n, dtype=torch.float64) + 0 * updates.compute(*self.statistics(context))[0]


@pytest.mark.parametrize("mixer", [Drawn(), Drawn() >> Drawn(), mixers.ClipNorm(radius=2.0) >> Drawn() >> Drawn()])
def test_what_mixers_draw_is_drawn_beforehand_as_well(mixer: Mixer) -> None:
    updates = Dense(torch.randn(9, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    context = Context(round=2, seed=1)
    updates.compute(*mixer.statistics(context))
    mixer.matrix(updates, context)
    mixer.view(updates, context)
    assert updates.columns_read == updates.d


# --- passes -------------------------------------------------------------------------------------------------

# What needs a pass more in cases that a plain stack is not: rounds of several classes, rows too long for a
# histogram, alarms, absent clients.
MORE = (rules.ClassWise, rules.DeMoA, rules.FedSECA, rules.SIREN)
RULES = [rule for rule in (entry.build() for entry in fw.catalogue("rule")) if not isinstance(rule, MORE)]
CHAINS = [
    *(
        mixer >> rule
        for mixer in MIXERS.values()
        for rule in (rules.Krum(f=1), rules.SignGuard(), rules.SignMajority())
    ),
    mixers.NNM(f=1) >> mixers.ClipNorm(radius=2.0) >> rules.Median(),
    mixers.Bucketing(s=2) >> mixers.ARC(f=1) >> rules.SignMajority(),
]
UNKNOWN = {"error-rate-rejection", "hierarchical", "loss-rejection", "union-rejection"}  # by the number of clients


@pytest.mark.parametrize("rule", [*RULES, *CHAINS], ids=repr)
def test_a_rule_reads_as_often_as_it_says(rule: Any) -> None:
    state: State = {}
    most = 0.0
    for round in range(5):
        updates = Dense(random_stack(rule, seed=round), block=64)
        context = Context(round=round, messages=said(updates.ids), evaluator=root_data(rule, updates.d))
        state = apply(rule, updates, state, context).state
        most = max(most, updates.columns_read / updates.d)
    assert rule.traits().passes is None or rule.traits().passes - 1 < most <= rule.traits().passes


def test_only_what_aggregates_again_for_every_client_has_no_number_of_passes() -> None:
    unknown = {entry.name for entry in fw.catalogue("rule") if entry.build().traits().passes is None}
    assert unknown == UNKNOWN
    assert (mixers.NNM(f=1) >> rules.LossRejection(f=1)).traits().passes is None
    assert all(isinstance(chain.traits().passes, int) for chain in CHAINS)
