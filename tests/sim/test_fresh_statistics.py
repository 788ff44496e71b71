"""What a rule decides on is what was sent: statistics of the stack are those of its rows, whoever looked before."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

import fedward as fw
from fedward import attacks
from fedward.stack import Dense, Dots, Gram, Rooted, Sample, SignConcordance, SignCounts, SqNorms, materialise
from tests.sim.test_attacks import DATA, linear

DIRECTION = torch.ones(16 * 4 + 4)
STATISTICS = (SqNorms(), SignCounts(), SignCounts(sample=Sample(seed=1, fraction=0.3)), Gram(), SignConcordance())


@dataclass(frozen=True, kw_only=True)
class Witness(fw.Rule):
    """The mean, of a stack that is compared with a fresh one of the same rows."""

    declared = fw.Traits(history=False)

    def decide(self, updates, state, context):
        if isinstance(updates, Rooted):  # a candidate that an attack tries: it has no rows of its own yet
            return fw.average_of(updates, torch.arange(updates.n))
        fresh = Dense(materialise(updates), ids=updates.ids)
        for statistic in (*STATISTICS, Dots(rows=DIRECTION)):
            known, true = updates.compute(statistic)[0], fresh.compute(statistic)[0]
            torch.testing.assert_close(known, true, rtol=1e-6, atol=1e-9, msg=f"{statistic.name} of other rows")
        return fw.average_of(updates, torch.arange(updates.n))


class Nosy(attacks.Attack):
    """Asks for everything about all rows before it sends its own, ten times the honest mean turned around."""

    def forge(self, view):
        for stack in (view.honest, view.own, view.known("all")):
            stack.compute(*STATISTICS, Dots(rows=DIRECTION))
        return view.honest.mix(torch.full((view.own.n, view.honest.n), -10 / view.honest.n, dtype=torch.float64))


def examples() -> dict[str, attacks.Attack]:
    found = {entry.name: entry.build() for entry in fw.catalogue("attack")}
    found["rop"] = attacks.ROP(z=100.0)
    found["rop, then what is not finite"] = attacks.Groups([attacks.ROP(), attacks.NonFinite()])
    found["nosy"] = Nosy()
    for objective in ("distance", "regress", "accepted"):
        found[f"maximise {objective}"] = attacks.Maximise(attacks.Deviation(), over="gamma", objective=objective)
    return found


@pytest.mark.parametrize("byzantine", [2, (1, 4, 6)], ids=["the first clients", "clients among the others"])
@pytest.mark.parametrize("name", examples())
def test_a_rule_decides_on_the_rows_that_were_sent(name: str, byzantine) -> None:
    sim = fw.Simulation(
        model=linear,
        data=DATA,
        rule=Witness(),
        attack=examples()[name],
        byzantine=byzantine,
        clients=fw.clients.Gradient(batch_size=5),
        seed=3,
    )
    for record in sim.run(7, evaluate_every=7):
        assert record.skipped is None or "finite" in record.skipped, record.skipped


def test_what_is_not_finite_is_seen_whatever_else_was_looked_at() -> None:
    sim = fw.Simulation(
        model=linear,
        data=DATA,
        rule=fw.rules.Mean(),
        attack=attacks.Groups([attacks.ROP(), attacks.NonFinite()]),
        byzantine=2,
        clients=fw.clients.Gradient(batch_size=5),
    )
    for record in sim.run(5):
        assert record.skipped is None
        assert record.reasons == {1: fw.Reason.NONFINITE}


def test_multi_krum_sees_a_relocated_row_for_what_it_is() -> None:
    sim = fw.Simulation(
        model=linear,
        data=DATA,
        rule=fw.rules.MultiKrum(f=2),
        attack=attacks.ROP(z=100.0),
        byzantine=2,
        clients=fw.clients.Gradient(batch_size=5),
        server=fw.ServerSGD(lr=0.05),
    )
    assert all(record.byzantine_accepted == 0 for record in sim.run(8))


@pytest.mark.parametrize("write", ["in place", "through a view", "the first rows", "copy"])
def test_a_stack_notices_that_its_rows_were_written_to(write: str) -> None:
    G = torch.randn(6, 40, generator=torch.Generator().manual_seed(0))
    stack = Dense(G)
    stack.norms()
    mixed = stack.mix(torch.eye(6, dtype=torch.float64))
    {
        "in place": lambda: G.mul_(2),
        "through a view": lambda: G[:, 3].zero_(),
        "the first rows": lambda: G.__setitem__(slice(2), 7.0),
        "copy": lambda: G[0].copy_(G[1]),
    }[write]()
    for late in (
        stack.norms,
        stack.gram,
        mixed.norms,
        lambda: stack.combine(torch.ones(6)),
        lambda: materialise(mixed),
    ):
        with pytest.raises(RuntimeError, match="written to after the stack was made"):
            late()


@dataclass(frozen=True, kw_only=True)
class Stumbling(fw.Rule):
    """The mean; in the second and third round it raises."""

    where: str

    def stumble(self, where: str, context: fw.Context) -> None:
        if where == self.where and context.round in (1, 2):
            raise ZeroDivisionError("of the spread by itself")

    def statistics(self, state, context):
        self.stumble("statistics", context)
        return ()

    def decide(self, updates, state, context):
        self.stumble("decide", context)
        return fw.average_of(updates, torch.arange(updates.n))

    def advance(self, state, plan, output, context):
        self.stumble("advance", context)
        return {}


@pytest.mark.parametrize("attack", [attacks.ALIE(), attacks.Maximise(attacks.IPM(), over="epsilon", candidates=3)])
@pytest.mark.parametrize("where", ["statistics", "decide", "advance"])
def test_what_a_rule_raises_costs_its_round_and_no_more(where: str, attack: attacks.Attack) -> None:
    sim = fw.Simulation(
        model=linear,
        data=DATA,
        rule=Stumbling(where=where),
        attack=attack,
        byzantine=2,
        clients=fw.clients.Gradient(batch_size=5),
    )
    before = []
    for record in sim.run(4):
        before.append(sim.progress.parameters)
        if record.round in (2, 3):
            assert "ZeroDivisionError: of the spread by itself" in record.skipped
            assert torch.equal(before[-1], before[-2])
        else:
            assert record.skipped is None


def test_a_stack_has_no_tensor_to_assign_into() -> None:
    stack = Dense(torch.zeros(2, 3))
    public = [
        name for name in dir(stack) if not name.startswith("_") and isinstance(getattr(stack, name), torch.Tensor)
    ]
    assert public == []
