"""`Phases`: what happens in a round, one thing after another; each phase takes values and returns one.

Clients are drawn, what they send is collected, the attack forges rows, the rule judges them, the server steps. What is
not small is in one place alone, the cohort's inbox; after rows were collected, only `Phases.attacked` has it changed.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..attacks import Attack, View
from ..clients import Client
from ..clients.tally import Tally
from ..core import Context, Evaluator, Rule, Skipped, State, Step, decision, neutral, step_or_skip
from ..data.dataset import Dataset, Split
from ..stack import Dense, Layout, Updates, materialise
from ..stack.layout import is_variance
from .backends import Backend
from .cohort import Arrivals, Cohort, Drawn
from .progress import Progress
from .record import Shares
from .root import BackendEvaluator
from .server import ServerSGD


@dataclass(frozen=True, eq=False, kw_only=True)
class Forged:
    """What byzantine clients send in the place of their own rows, lazily, and what the attack remembers of it."""

    rows: Updates
    state: State


@dataclass(frozen=True, eq=False, kw_only=True)
class Stepped:
    """The server's model after a round."""

    parameters: Tensor
    velocity: Tensor | None
    buffers: Tensor | None


@dataclass(frozen=True, eq=False, kw_only=True)
class Evaluated:
    """What is measured after some of the rounds, as `Record` has it."""

    tally: Tally
    signs: Mapping[str, Shares | None] | None
    confidence: float | None


@dataclass(frozen=True, eq=False, kw_only=True)
class Phases:
    """The phases of a round.

    Attributes:
        cohort: the clients.
        rule, attack, server: as in `Simulation`.
        root: samples that the server has, if the rule needs any.
        seed: of everything random.
    """

    cohort: Cohort
    rule: Rule
    attack: Attack
    server: ServerSGD
    root: Split | None
    seed: int

    @property
    def backend(self) -> Backend:
        """What runs clients and models."""
        return self.cohort.backend

    @property
    def clients(self) -> Client:
        """What an honest client computes."""
        return self.cohort.clients

    @property
    def dataset(self) -> Dataset:
        """What is learned."""
        return self.cohort.data.dataset

    # --- drawn and sent -------------------------------------------------------------------------------------

    def draw(self, now: Progress) -> Drawn:
        """Who takes part."""
        context = Context(
            now.round,
            self.seed,
            evaluator=self._evaluator(now),
            rounds_per_epoch=self.cohort.rounds_per_epoch,
        )
        return self.cohort.draw(context, now)

    def collect(self, drawn: Drawn, now: Progress) -> Arrivals:
        """What they send, before anybody forges."""
        return self.cohort.collect(drawn, now)

    def hear(self, arrivals: Arrivals, drawn: Drawn) -> Context:
        """The context that the rule decides in: with what clients say and, in rounds of several, the class of each."""
        within = drawn.context.fold("attack")
        said: dict[Hashable, Any] = {}
        for arrival in arrivals.each:
            lies = arrival.client in self.cohort.byzantine
            said[arrival.id] = self.attack.say(arrival.messages, within) if lies else arrival.messages
        if len(drawn.classes) <= 1:
            return replace(drawn.context, messages=said)
        classes = {arrival.id: arrival.group for arrival in arrivals.each if arrival.group is not None}
        return replace(drawn.context, messages=said, group=classes)

    def _evaluator(self, now: Progress) -> Evaluator | None:
        if self.root is None:
            return None
        return BackendEvaluator(
            backend=self.backend,
            clients=self.clients,
            split=self.root,
            parameters=now.parameters,
            lr=self.server.lr,
            seed=Context(now.round, self.seed).draw_seed("model of the server"),
            buffers=now.buffers,
        )

    # --- forged ---------------------------------------------------------------------------------------------

    @neutral()
    def attacked(self, arrivals: Arrivals, context: Context, now: Progress) -> State:
        """Have byzantine clients' rows replaced by forged ones, class by class; what the attack remembers of it."""
        state = now.attack_state
        for group in arrivals.groups:
            honest = [i for i in arrivals.honest if arrivals.each[i].group == group]
            byzantine = [i for i in arrivals.byzantine if arrivals.each[i].group == group]
            if not (honest and byzantine):
                continue
            ids = arrivals.ids
            about = replace(context, group=group)
            view = View(
                honest=self.cohort.inbox.stack(honest, [ids[i] for i in honest]),
                own=self.cohort.inbox.copy(byzantine, [ids[i] for i in byzantine]),
                context=replace(about.fold("attack"), evaluator=None, messages={}),
                decide=partial(decision, self.rule, state=now.rule_state, context=about.fold("rule")),
                previous=self._as_sent(now.velocity),
                state=state,
            )
            forged = self.forge(view)
            self.cohort.inbox.replace(byzantine, forged.rows)
            state = forged.state
        return state

    def forge(self, view: View) -> Forged:
        """What the attack makes of what it knows. Rows are read once, unless the attack remembers them."""
        rows = self.attack.forged(view)
        if not self.attack.traits().history:
            return Forged(rows=rows, state=view.state)
        sent = materialise(rows).to(view.own.dtype)
        return Forged(rows=Dense(sent), state=self.attack.advance(view, sent))

    def _as_sent(self, velocity: Tensor | None) -> Tensor | None:
        """The server's last step with the sign of what clients send."""
        return -velocity if velocity is not None and self.clients.traits().sends == "delta" else velocity

    # --- judged and stepped ---------------------------------------------------------------------------------

    def stack(self, arrivals: Arrivals) -> Dense | None:
        """All rows as they are sent, for the rule; None where nobody sends any.

        Made when none of them changes any more, so that nobody can have asked this stack for anything before.
        """
        return Dense(self.cohort.inbox.rows, ids=arrivals.ids) if arrivals.each else None

    def judge(self, updates: Dense | None, context: Context, now: Progress) -> Step | Skipped:
        """What the rule makes of the rows, or why the model stays as it is."""
        if updates is None:
            return Skipped(why="no client answered: the model stays", state=now.rule_state)
        return step_or_skip(self.rule, updates, now.rule_state, context.fold("rule"))

    def step(self, arrivals: Arrivals, judged: Step, now: Progress) -> Stepped:
        """The server's step along the aggregate."""
        output = judged.result.output
        gradient = -output if self.clients.traits().sends == "delta" else output
        parameters, velocity = self.server.step(now.parameters, gradient, now.velocity)
        accepted = zip(arrivals.each, judged.result.accepted.tolist(), strict=True)
        sent = [arrival.buffers for arrival, ok in accepted if ok and arrival.buffers is not None]
        buffers = now.buffers
        if self.backend.buffer_layout is not None and buffers is not None:
            buffers = mean_buffers(self.backend.buffer_layout, sent, buffers)
        return Stepped(parameters=parameters, velocity=velocity, buffers=buffers)

    # --- evaluated ------------------------------------------------------------------------------------------

    def evaluate(self, arrivals: Arrivals, updates: Dense | None, now: Stepped) -> Evaluated:
        """The model on the test set, and what can be seen of the rows."""
        return Evaluated(
            tally=self.backend.evaluate(now.parameters, self.dataset.test, now.buffers),
            signs=None if updates is None else _signs(updates, honest=arrivals.honest, byzantine=arrivals.byzantine),
            confidence=self._confidence(now),
        )

    def _confidence(self, now: Stepped) -> float | None:
        """Of the attack's success, where it is after some samples."""
        test = self.dataset.test
        if not self.cohort.byzantine:
            return None
        wanted = self.attack.aim(test.inputs, test.labels, self.dataset.classes)
        if wanted is None:
            return None
        inputs, labels = wanted
        return self.backend.confidence(now.parameters, Split(inputs=inputs, labels=labels), now.buffers)


def _signs(updates: Dense, **groups: Sequence[int]) -> dict[str, Shares | None]:
    """Shares of positive, zero and negative entries of each group's rows; None of a group without rows."""
    counts = updates.sign_counts()
    found: dict[str, Shares | None] = {}
    for name, places in groups.items():
        if not places:
            found[name] = None
            continue
        positive, zero, negative = (counts[list(places)].sum(0) / (len(places) * updates.d)).tolist()
        found[name] = (positive, zero, negative)
    return found


def mean_buffers(layout: Layout, sent: Sequence[Tensor], before: Tensor) -> Tensor:
    """Mean of clients' running statistics, (b,) each: of those that are all finite, variances below 0 as 0.

    As ``before`` where nobody's are, and in entries that add up to infinity: one client must not end a model with
    statistics that it made up.
    """
    finite = [row for row in sent if bool(row.isfinite().all())]
    if not finite:
        return before
    rows = torch.stack(finite)
    for name, columns in layout.slices():
        if is_variance(name):
            rows[:, columns].clamp_(min=0)
    mean = rows.mean(0)
    return mean.where(mean.isfinite(), before)
