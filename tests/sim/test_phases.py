"""The phases of a round, each by itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import nn

import fedward as fw
from fedward import attacks, rules
from fedward.clients import ClassMomentum, Gradient, LocalSGD
from fedward.core import Context, Skipped, Step
from fedward.sim import Dataset, Split, federate
from fedward.sim.cohort import Arrivals, Cohort
from fedward.sim.inbox import Inbox
from fedward.sim.parallel import Parallel
from fedward.sim.phases import Phases, Stepped
from fedward.sim.progress import Progress
from fedward.sim.running import mean_buffers
from fedward.stack import Layout, materialise

N, CLASSES = 8, 4
BAD = frozenset({1, 6})


def linear() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(16, CLASSES))


def split(samples: int, seed: int) -> Split:
    inputs = torch.randn(samples, 1, 4, 4, generator=torch.Generator().manual_seed(seed))
    return Split(inputs=inputs, labels=inputs.flatten(1)[:, :CLASSES].argmax(1))


DATA = federate(Dataset(name="tiny", train=split(10 * N, 0), test=split(30, 1), classes=CLASSES), N)


@dataclass(frozen=True, kw_only=True)
class Own(attacks.Attack):
    """Sends what it would honestly send, times a factor."""

    factor: float = -2.0

    def forge(self, view: attacks.View) -> fw.Updates:
        return view.own.mix(self.factor * torch.eye(view.own.n, dtype=torch.float64))


def phases(**changes: Any) -> Phases:
    cohort = {"clients": Gradient(batch_size=5), "participation": 1.0, "dropout": 0.0, "late": 0.0, "attack": Own()}
    whole = {"rule": rules.Mean(), "server": fw.ServerSGD(lr=0.5), "root": None, "seed": 3}
    cohort |= {name: value for name, value in changes.items() if name in cohort}
    whole |= {name: value for name, value in changes.items() if name in whole}
    clients = Cohort(data=DATA, backend=Parallel(linear()), byzantine=BAD, device=torch.device("cpu"), **cohort)
    return Phases(cohort=clients, attack=cohort["attack"], **whole)


def begin(made: Phases, round: int = 0) -> Progress:
    return Progress(round=round, parameters=made.backend.initial())


def sent(made: Phases, now: Progress) -> Arrivals:
    return made.collect(made.draw(now), now)


# --- drawn --------------------------------------------------------------------------------------------------


def test_those_who_are_drawn_take_part_once_and_those_under_way_do_not() -> None:
    made = phases(participation=0.8, dropout=0.2, late=0.3)
    now = begin(made)
    drawn = made.draw(now)
    assert drawn.present == made.draw(now).present == tuple(sorted(drawn.present))
    assert (len(drawn.present), len(drawn.late)) == (6, 2)  # of seven, one is lost
    assert drawn.late <= set(drawn.present)
    assert set(drawn.members) == BAD & set(drawn.present)
    assert made.draw(replace(now, round=1)).present != drawn.present
    waiting = made.collect(drawn, now).postponed
    following = made.draw(replace(now, round=1, late=waiting))
    assert not waiting.keys() & set(following.present)
    assert set(following.members) == BAD & {*following.present, *waiting}


def test_the_classes_of_a_round_are_drawn_in_turn() -> None:
    made = phases(clients=ClassMomentum(batch_size=2, classes=3))
    drawn = [made.draw(begin(made, round)) for round in range(3)]
    assert [d.classes for d in drawn] == [(0, 1, 2), (3, 0, 1), (2, 3, 0)]
    assert [d.context.group for d in drawn] == [0, 3, 2]


# --- sent ---------------------------------------------------------------------------------------------------


def test_what_is_collected_is_what_each_client_computes_in_the_order_of_clients() -> None:
    made = phases()
    now = begin(made)
    drawn = made.draw(now)
    arrivals = made.collect(drawn, now)
    assert arrivals.clients == arrivals.ids == list(range(N))
    assert (arrivals.honest, arrivals.byzantine) == ((0, 2, 3, 4, 5, 7), (1, 6))
    for client, row in enumerate(made.cohort.inbox.rows):
        order = torch.randperm(10, generator=drawn.context.generator(f"batches of client {client}"))
        inputs, labels = made.cohort.shards[client].take(order[:5])
        model = linear()
        nn.functional.cross_entropy(model(inputs), labels).backward()
        torch.testing.assert_close(row, torch.cat([p.grad.flatten() for p in model.parameters()]))


@pytest.mark.parametrize("attack", [Own(), attacks.ALIE()], ids=["who need their rows", "who need none"])
def test_rows_that_were_under_way_come_between_those_just_computed(attack: attacks.Attack) -> None:
    made = phases(late=0.4, attack=attack)
    now = begin(made)
    first = made.draw(now)
    waiting = made.collect(first, now).postponed
    assert waiting.keys() == first.late
    rows = {client: answer.row.clone() for client, answer in waiting.items() if answer.row is not None}
    now = replace(now, round=1, late=waiting)
    drawn = made.draw(now)
    arrivals = made.collect(drawn, now)
    assert arrivals.clients == sorted({*drawn.present, *waiting} - drawn.late)
    everyone = phases()
    sent(everyone, begin(everyone, 1))
    for client, row in zip(arrivals.clients, made.cohort.inbox.rows, strict=True):
        spared = client in BAD and attack.traits().knows == "honest"
        computed = torch.zeros_like(row) if spared else everyone.cohort.inbox.rows[client]
        torch.testing.assert_close(row, rows.get(client, computed))


@pytest.mark.parametrize("waiting", [(0,), (1, 2), (0, 3, 5), (5,), (0, 1, 2, 3), ()], ids=str)
def test_rows_are_brought_into_order_without_being_lost(waiting: tuple[int, ...]) -> None:
    inbox, computed = Inbox(6, torch.zeros(2)), [i for i in range(6) if i not in waiting]

    class Given:
        def messages(self, algorithm: Any, tasks: Any, out: torch.Tensor) -> list[Any]:
            for place, i in enumerate(computed):
                out[place] = i
            return []

    inbox.compute(Given(), Gradient(batch_size=1), [])  # type: ignore[arg-type]
    inbox.arrange([torch.full((2,), float(i)) if i in waiting else None for i in range(6)])
    assert inbox.rows[:, 0].tolist() == [0, 1, 2, 3, 4, 5]


def test_what_clients_say_reaches_the_rule_as_the_attack_wants_it() -> None:
    made = phases(attack=attacks.FalseAlarms())
    now = begin(made)
    drawn = made.draw(now)
    context = made.hear(made.collect(drawn, now), drawn)
    assert all(context.messages[client]["num-examples"] == 10 for client in range(N))
    assert {client for client in range(N) if context.messages[client].get("alarm")} == BAD


# --- forged -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attack", [Own(), attacks.Mimic(warmup=1)], ids=["no memory", "memory"])
def test_forged_rows_are_placed_and_nothing_else_is_touched(attack: attacks.Attack) -> None:
    made = phases(attack=attack)
    now = begin(made)
    drawn = made.draw(now)
    arrivals = made.collect(drawn, now)
    before = made.cohort.inbox.rows.clone()
    state = made.attacked(arrivals, drawn.context, now).state
    after = made.cohort.inbox.rows
    good = list(arrivals.honest)
    assert torch.equal(after[good], before[good])
    assert bool(state) is isinstance(attack, attacks.Mimic)
    if not state:
        assert torch.equal(after[[1, 6]], -2 * before[[1, 6]])
    else:
        assert any(torch.equal(after[1], before[i]) for i in good)


def test_forging_is_pure() -> None:
    made = phases()
    now = begin(made)
    sent(made, now)
    before = made.cohort.inbox.rows.clone()
    inbox = made.cohort.inbox
    view = attacks.View(honest=inbox.stack([0, 2, 3], [0, 2, 3]), own=inbox.copy([1, 6], [1, 6]))
    assert torch.equal(materialise(made.forged(view).rows), -2 * before[[1, 6]])
    assert torch.equal(inbox.rows, before)


# --- judged and stepped -------------------------------------------------------------------------------------


def test_a_round_is_judged_or_says_why_not() -> None:
    made = phases(rule=rules.Krum(f=2))
    now = begin(made)
    updates = made.stack(sent(made, now))
    assert isinstance(made.judge(updates, Context(), now), Step)
    nobody = made.judge(None, Context(), now)
    assert isinstance(nobody, Skipped)
    assert nobody.why == "no client answered: the model stays"
    too_few = phases(rule=rules.Krum(f=5)).judge(updates, Context(), now)
    assert isinstance(too_few, Skipped)
    assert "= 13 clients (n >= f + 3 = 8 with bound='definition'), got 8" in too_few.why


@pytest.mark.parametrize(("clients", "sign"), [(Gradient(batch_size=5), -0.5), (LocalSGD(batch_size=5), 0.5)])
def test_the_server_steps_along_the_aggregate(clients: fw.clients.Client, sign: float) -> None:
    made = phases(clients=clients)
    now = begin(made)
    arrivals = sent(made, now)
    judged = made.judge(made.stack(arrivals), Context(), now)
    assert isinstance(judged, Step)
    stepped = made.step(arrivals, judged, now)
    torch.testing.assert_close(stepped.parameters, now.parameters + sign * made.cohort.inbox.rows.mean(0))
    assert torch.equal(now.parameters, made.backend.initial())


def test_statistics_that_a_client_makes_up_cannot_end_the_model() -> None:
    layout = Layout.of({"a.running_mean": torch.zeros(2), "a.running_var": torch.ones(2)}, buffers=None)
    before = torch.tensor([0.0, 0.0, 1.0, 1.0])
    honest = [torch.tensor([1.0, -1.0, 2.0, 3.0]), torch.tensor([3.0, -3.0, 4.0, 5.0])]
    assert mean_buffers(layout, honest, before).tolist() == [2.0, -2.0, 3.0, 4.0]
    negative = torch.tensor([2.0, -2.0, -600.0, 4.0])
    assert mean_buffers(layout, [*honest, negative], before).tolist() == [2.0, -2.0, 2.0, 4.0]
    huge = torch.tensor([3e38, 0.0, 0.0, 4.0])
    assert mean_buffers(layout, [huge, huge], before).tolist() == [0.0, 0.0, 0.0, 4.0]
    broken = torch.tensor([torch.nan, 0.0, 0.0, 0.0])
    assert mean_buffers(layout, [*honest, broken], before).tolist() == [2.0, -2.0, 3.0, 4.0]
    assert mean_buffers(layout, [broken], before) is before
    assert negative[2] == -600


# --- evaluated ----------------------------------------------------------------------------------------------


def test_what_is_measured_is_of_the_model_and_of_the_rows() -> None:
    made = phases(attack=attacks.Zero())
    now = begin(made)
    drawn = made.draw(now)
    arrivals = made.collect(drawn, now)
    made.attacked(arrivals, drawn.context, now)
    model = Stepped(parameters=now.parameters, velocity=None, buffers=None)
    evaluated = made.evaluate(arrivals, made.stack(arrivals), model)
    expected = made.backend.evaluate(now.parameters, DATA.dataset.test)
    assert (evaluated.tally.accuracy, evaluated.tally.loss) == (expected.accuracy, expected.loss)
    assert evaluated.signs is not None
    assert evaluated.signs["byzantine"] == (0.0, 1.0, 0.0)
    assert sum(evaluated.signs["honest"] or ()) == pytest.approx(1)
    assert evaluated.confidence is None
    assert made.evaluate(arrivals, None, model).signs is None
