"""Honest updates of a real training run, for attacks to be played on."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from torch import Tensor

from ..attacks import NoAttack, View
from ..clients import LocalSGD
from ..core import EXAMPLES, Context, Evaluator, Messages, Plan, State
from ..experiments.spec import RunSpec, SpecError, make_spec
from ..registry.notation import describe
from ..rules import Mean
from ..sim import Simulation
from ..sim.root import BackendEvaluator, root_split
from ..sim.server import ServerSGD
from ..stack import Dense, Layout, Updates

CAPTURED = 3
"""Rounds that are captured where nobody says how many."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Normalised:
    """Running statistics in one round of honest training.

    Attributes:
        sent: what every client sent, (n, b).
        before: what the server had, (b,).
        layout: of them.
        policy: what the server makes of them, see `running_after`.
    """

    sent: Tensor
    before: Tensor
    layout: Layout
    policy: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Captured:
    """One round of honest training.

    Attributes:
        rows: what clients sent, (n, d).
        previous: the server's last step, (d,); None in the first round of all.
        evaluator: the server's data, at the parameters of this round.
        messages: what clients say besides, by their number.
        normalised: running statistics, where the model has any.
        clients: whose the rows are, in their order; 0 to n - 1 if None.
        group: the class that the round was about, where rounds have one.
    """

    rows: Tensor
    previous: Tensor | None
    evaluator: Evaluator
    messages: Messages = field(default_factory=dict)
    normalised: Normalised | None = None
    clients: tuple[int, ...] | None = None
    group: int | None = None

    @property
    def whose(self) -> Sequence[int]:
        """The client of each row."""
        return range(len(self.rows)) if self.clients is None else self.clients

    @cached_property
    def counting(self) -> list[bool]:
        """Whether the server counts each row: of one with NaN whatever an attack mixes is NaN, too."""
        return Dense(self.rows).norms().isfinite().tolist()

    def without(self, clients: Collection[int]) -> Captured:
        """The same round, if these clients take no part in it."""
        kept = {client: place for place, client in enumerate(self.whose) if client not in clients}
        places = list(kept.values())
        normalised = self.normalised
        return replace(
            self,
            rows=self.rows[places],
            clients=tuple(kept),
            messages={client: said for client, said in self.messages.items() if client in kept},
            normalised=None if normalised is None else replace(normalised, sent=normalised.sent[places]),
        )


@dataclass(frozen=True, kw_only=True)
class _Ear(Mean):
    """The plain mean, which keeps what clients said, and of which class the round was."""

    heard: dict[Hashable, Any] = field(default_factory=dict)
    groups: list[int] = field(default_factory=list)

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        self.heard.clear()
        self.heard.update(context.messages)
        self.groups[:] = [context.group] if isinstance(context.group, int) else []
        return super().decide(updates, state, context)


class _Spy(NoAttack):
    """Behaves, and keeps the server's last step."""

    def __init__(self) -> None:
        self.previous: Tensor | None = None

    def forge(self, view: View) -> Updates:
        self.previous = None if view.previous is None else view.previous.clone()
        return view.own


def as_examined(spec: RunSpec) -> RunSpec:
    """The specification that a rule is examined under: where it hears alarms, clients must be such as raise them.

    Without them SIREN is the plain mean. Whatever clients train by stays; who sent gradients trains for an epoch with
    what was the server's optimiser.
    """
    algorithm = spec.make_algorithm()
    if not spec.make_rule().traits().hears_alarms or algorithm.traits().talks:
        return spec
    values = spec.model_dump()
    inner = describe(algorithm)
    if algorithm.traits().sends == "gradient" or algorithm.traits().by_class:
        server = spec.make_server()
        schedule = getattr(server, "schedule", None)
        optimiser = server if isinstance(server, ServerSGD) else ServerSGD(lr=server.lr, schedule=schedule)
        inner = describe(
            LocalSGD(
                batch_size=spec.batch_size,
                lr=optimiser.lr,
                momentum=optimiser.momentum,
                weight_decay=optimiser.weight_decay,
                schedule=optimiser.schedule,
            )
        )
        values |= {**dict.fromkeys(("lr", "momentum", "weight_decay")), "server": "sgd"}
    return make_spec({**values, "algorithm": f"siren-client:inner=({inner})"})


def check_captured(spec: RunSpec) -> None:
    """Raise SpecError where a client sends several rows in a round: an attack is played on one row a client."""
    classes = spec.make_algorithm().traits().by_class
    if classes > 1:
        raise SpecError(
            f"{spec.algorithm}: in a round clients send a row for each of {classes} classes, and attacks are examined "
            "on one row a client; take classes = 1"
        )


def capture(spec: RunSpec, warmup: int, rounds: int) -> list[Captured]:
    """What clients send in ``rounds`` successive rounds of honest training with Mean, after ``warmup`` of them.

    Raises:
        SpecError: clients send several rows in a round.
        DataError: data files are missing or damaged.
    """
    check_captured(spec)
    spy, ear = _Spy(), _Ear()
    simulation = spec.simulation(rule=ear, attack=spy)
    train = simulation.data.dataset.train
    root = root_split(train, min(spec.root, len(train)), Context(seed=spec.seed))
    captured = []
    before = simulation.progress
    for record in simulation.run(warmup + rounds, evaluate_every=warmup + rounds):
        if record.round > warmup:
            evaluator = BackendEvaluator(
                backend=simulation.backend,
                clients=simulation.clients,
                split=root,
                parameters=before.parameters,
                lr=simulation.server.rate(before.round),
                round=before.round,
                seed=record.round,
                buffers=before.buffers,
            )
            sent = simulation.rows
            present = tuple(client for client, accepted in enumerate(record.accepted) if accepted is not None)
            said: Messages = {
                client: {EXAMPLES: len(simulation.data.shards[client]), **ear.heard.get(client, {})}
                for client in present
            }
            captured.append(
                Captured(
                    rows=sent.clone(),
                    clients=present,
                    previous=spy.previous,
                    evaluator=evaluator,
                    messages=said,
                    normalised=_normalised(simulation, before.buffers),
                    group=next(iter(ear.groups), None),
                )
            )
        before = simulation.progress
    return captured


def _normalised(simulation: Simulation, before: Tensor | None) -> Normalised | None:
    """The running statistics of the round that was just played."""
    layout = simulation.backend.buffer_layout
    sent = simulation.statistics
    if layout is None or sent is None or before is None:
        return None
    return Normalised(sent=sent, before=before, layout=layout, policy=simulation.batch_norm)
