"""What an attack knows of a client stays with that client: whoever is late or absent, in rounds of any classes."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

import fedward as fw
from fedward import attacks, rules
from fedward.attacks import Batch, View
from fedward.clients import ClassMomentum, Gradient
from fedward.core import State
from fedward.stack import Dense, materialise
from tests.sim.federations import CLASSES, federation

BYZANTINE = (0, 2, 3, 6)
trained: list[tuple[Hashable, str]] = []
forged: list[tuple[Hashable, str]] = []


@dataclass(frozen=True, kw_only=True)
class Tagged(attacks.Attack):
    """Keeps whose data it poisons, and whose rows it forges."""

    tag: str = "A"

    def poison(self, batch: Batch, context: fw.Context) -> Batch:
        trained.append((batch.client, self.tag))
        return batch

    def forge(self, view: View) -> fw.Updates:
        forged.extend((id[0] if isinstance(id, tuple) else id, self.tag) for id in view.own.ids)
        return view.own


def model() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(8, CLASSES))


def simulated(attack: attacks.Attack, rounds: int = 8, **changes: Any) -> fw.Simulation:
    trained.clear()
    forged.clear()
    settings: dict[str, Any] = {"rule": rules.Mean(), "byzantine": BYZANTINE, "clients": Gradient(batch_size=4)}
    settings |= {"model": model, "data": federation(8, dtype=torch.float32), "seed": 1}
    run = fw.Simulation(attack=attack, **{**settings, **changes})
    for _ in run.run(rounds, evaluate_every=rounds):
        pass
    return run


# --- groups -------------------------------------------------------------------------------------------------


FLAT = attacks.Groups([Tagged(tag="A"), Tagged(tag="B"), Tagged(tag="C")])
NESTED = attacks.Groups([attacks.Groups([Tagged(tag="A"), Tagged(tag="B")]), Tagged(tag="C")])


@pytest.mark.parametrize(
    ("groups", "dealt"), [(FLAT, {0: "A", 2: "A", 3: "B", 6: "C"}), (NESTED, {0: "A", 2: "B", 3: "C", 6: "C"})]
)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"late": 0.25},
        {"participation": 0.5},
        {"participation": 0.75, "dropout": 0.2, "late": 0.2},
        {"clients": ClassMomentum(batch_size=4)},
        {"clients": ClassMomentum(batch_size=4, classes=2), "participation": 0.5, "dropout": 0.2},
    ],
    ids=["all", "late", "some", "few", "one class", "several classes"],
)
def test_a_client_trains_and_forges_in_one_group_whoever_takes_part(
    changes: dict[str, Any], groups: attacks.Groups, dealt: dict[int, str]
) -> None:
    simulated(groups, **changes)
    assert dict(trained) == dict(forged) == dealt
    assert {*trained, *forged} == {*dealt.items()}


def test_rows_of_groups_stay_with_their_clients_in_any_order_of_ids() -> None:
    own = Dense(torch.zeros(4, 3), ids=[6, 0, 3, 2])
    view = View(honest=Dense(torch.ones(2, 3), ids=[1, 4]), own=own, byzantine=BYZANTINE)
    groups = attacks.Groups([attacks.Constant(value=1.0), attacks.Constant(value=2.0)])
    assert materialise(groups.forge(view))[:, 0].tolist() == [2.0, 1.0, 2.0, 1.0]
    alone = View(honest=view.honest, own=own.take(torch.tensor([2])), byzantine=BYZANTINE)
    assert materialise(groups.forge(alone))[:, 0].tolist() == [2.0]


# --- rounds of several classes ------------------------------------------------------------------------------


def several(attack: attacks.Attack, rounds: int = 3, classes: Sequence[int] = (0, 1)) -> list[Tensor]:
    """What is sent, class by class, where the row of client i is i everywhere, of class c 100 c more."""
    state: State = {}
    sent = []
    for t in range(rounds):
        for c in classes:
            noise = 0.1 * torch.randn(7, 4, generator=torch.Generator().manual_seed(10 * t + c))
            G = torch.arange(7.0)[:, None] + 100 * c + noise
            view = View(
                honest=Dense(G[2:], ids=[(i, c) for i in range(2, 7)]),
                own=Dense(G[:2], ids=[(i, c) for i in range(2)]),
                context=fw.Context(t),
                state=state,
            )
            sent.append(materialise(attack.forged(view)))
            state = attack.advance(view, sent[-1])
    return sent


@pytest.mark.parametrize("target", [None, "first-round"])
def test_mimic_copies_the_client_that_it_learned_in_every_class(target: str | None) -> None:
    attack = attacks.Mimic(warmup=1) if target is None else attacks.Mimic(target=target)
    first, *others = [[round(float(row[0])) % 100 for row in rows] for rows in several(attack)]
    assert len({*first}) == 1
    assert first[0] != 2, "the first honest client is whom it would fall back on"
    assert others == [first] * 5


def test_a_memory_of_pairs_is_gone_on_with() -> None:
    """As an earlier version has saved it, of a round of several classes."""
    attack = attacks.Mimic(warmup=1)
    honest = Dense(torch.arange(3.0)[:, None].repeat(1, 2), ids=[(i, 1) for i in (3, 4, 5)])
    from fedward.attacks.over_time import _name

    state = {"rounds": torch.tensor(1), "target": torch.tensor(_name((5, 1)))}
    view = View(honest=honest, own=Dense(torch.zeros(1, 2), ids=[(0, 1)]), state=state)
    assert materialise(attack.forge(view))[0].tolist() == [2.0, 2.0]


def test_what_a_client_drew_is_the_same_in_every_class() -> None:
    honest = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    rows = [
        materialise(attacks.ALIE(z=1.0, jitter=0.3).forge(View(honest=Dense(honest), own=Dense(honest[:2], ids=ids))))
        for ids in ([0, 1], [(0, 0), (1, 0)], [(0, 2), (1, 2)])
    ]
    assert torch.equal(rows[0], rows[1])
    assert torch.equal(rows[0], rows[2])
    assert not torch.equal(rows[0][0], rows[0][1])


# --- rounds in which only some take part --------------------------------------------------------------------


def repeated(presence: Sequence[Sequence[Hashable]], clients: int, state: State | None = None) -> list[list[Hashable]]:
    """Who sends the first row of all that was sent, by round."""
    attack, state = attacks.Repeat(clients=clients), {} if state is None else state
    first: Tensor | None = None
    found = []
    for t, ids in enumerate(presence):
        G = torch.randn(len(ids) + 3, 5, generator=torch.Generator().manual_seed(t))
        view = View(honest=Dense(G[-3:]), own=Dense(G[:-3], ids=ids), context=fw.Context(t), state=state)
        sent = materialise(attack.forge(view))
        state = attack.advance(view, sent)
        first = sent[0] if first is None else first
        same = [bool(torch.equal(row, first)) for row in sent]
        assert all(ok or torch.equal(row, own) for ok, row, own in zip(same, sent, G, strict=False))
        found.append([id for id, ok in zip(ids, same, strict=True) if ok])
    return found


def test_who_repeats_is_the_same_client_in_every_round() -> None:
    assert repeated([[1, 3], [0, 1], [0, 2, 3], [1], [0, 3]], clients=1) == [[1], [1], [], [1], []]
    assert repeated([[1], [0, 1, 2], [2, 3], [0, 3]], clients=2) == [[1], [0, 1], [], [0]]


def test_a_memory_without_clients_is_gone_on_with() -> None:
    """As an earlier version has saved it: the row alone."""
    row = torch.ones(5)
    state: State = {"row": row}
    attack = attacks.Repeat(clients=1)
    view = View(honest=Dense(torch.zeros(3, 5)), own=Dense(torch.zeros(2, 5), ids=[4, 7]), state=state)
    assert torch.equal(materialise(attack.forge(view)), torch.stack([row, torch.zeros(5)]))


def test_one_client_repeats_in_a_simulation_of_which_a_part_is_drawn() -> None:
    sent: list[tuple[Hashable, tuple[float, ...]]] = []

    class Keeping(rules.Mean):
        def decide(self, updates: fw.Updates, state: fw.State, context: fw.Context) -> fw.Plan:
            rows = materialise(updates)
            sent.extend((id, tuple(rows[i].tolist())) for i, id in enumerate(updates.ids) if id in BYZANTINE)
            return super().decide(updates, state, context)

    simulated(attacks.Repeat(), rounds=12, rule=Keeping(), participation=0.5)
    rows: dict[Hashable, list[tuple[float, ...]]] = {}
    for id, row in sent:
        rows.setdefault(id, []).append(row)
    always = {id for id, each in rows.items() if len({*each}) == 1}
    assert always == {sent[0][0]}
    assert min(map(len, rows.values())) > 1
    assert not {row for id, row in sent if id not in always} & {row for id, row in sent if id in always}
