"""`Phases`: what happens in a round, one thing after another; each phase takes values and returns one.

Clients are drawn, what they send is collected, the attack forges rows, the rule judges them, the server steps. What is
not small is in one place alone, the cohort's inbox; after rows were collected, only `Phases.attacked` has it changed.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from torch import Tensor

from ..attacks import Attack, View
from ..attacks.base import mixable
from ..clients import Client
from ..clients.tally import Tally
from ..core import Context, Evaluator, Rule, Skipped, State, Step, decision, neutral, step_or_skip
from ..core.evaluator import Once
from ..data.dataset import Dataset, Split
from ..data.lazy import Lazy
from ..registry.notation import describe
from ..stack import ColumnShare, Dense, Updates, materialise
from .backends import Backend
from .cohort import Arrivals, Cohort, Drawn
from .progress import Progress
from .record import Shares
from .root import BackendEvaluator
from .running import Forge, Statistics, Vote, forged_statistics, running_after
from .server import Server


@dataclass(frozen=True, eq=False, kw_only=True)
class Forged:
    """What byzantine clients send in the place of their own rows, lazily, and what the attack remembers of it.

    Attributes:
        rows: what the rule gets to see.
        state: of the attack.
        statistics: running statistics, (m, b); None where they are not forged.
    """

    rows: Updates
    state: State
    statistics: Tensor | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Attacked:
    """What arrives when the attack has been, what it remembers, and what it looked at without sending it.

    Attributes:
        unsent: entries of unsent rows by sign: positive, zero and negative; None where there are none.
    """

    arrivals: Arrivals
    state: State
    unsent: Tensor | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Stepped:
    """The server's model after a round."""

    parameters: Tensor
    velocity: Tensor | None
    buffers: Tensor | None
    server_state: State = field(default_factory=dict)
    told: State = field(default_factory=dict)


@dataclass(frozen=True, eq=False, kw_only=True)
class Evaluated:
    """What is measured after some of the rounds, as `Record` has it."""

    tally: Tally
    signs: Mapping[str, Shares | None] | None
    confidence: float | None
    worst_client: float | None


@dataclass(frozen=True, eq=False, kw_only=True)
class Phases:
    """The phases of a round.

    Attributes:
        cohort: the clients.
        rule, attack, server: as in `Simulation`.
        root: samples that the server has, if the rule needs any.
        seed: of everything random.
        batch_norm, forge: as in `Simulation`.
    """

    cohort: Cohort
    rule: Rule
    attack: Attack
    server: Server
    root: Split | None
    seed: int
    batch_norm: str = "mean"
    forge: Forge = "rows"

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
        own = BackendEvaluator(
            backend=self.backend,
            clients=self.clients,
            split=self.root,
            parameters=now.parameters,
            lr=self.server.rate(now.round),
            round=now.round,
            seed=Context(now.round, self.seed).draw_seed("model of the server"),
            buffers=now.buffers,
        )
        # The rule is asked once, an attack may ask it for every candidate of a search.
        return Once(own, ColumnShare(len(now.parameters)))

    # --- forged ---------------------------------------------------------------------------------------------

    @neutral()
    def attacked(self, arrivals: Arrivals, context: Context, now: Progress, watch: bool = False) -> Attacked:
        """Have what byzantine clients send replaced by what they forge, class by class.

        Args:
            arrivals, context, now: the round.
            watch: whether to look at rows that the attack does not send, if there are any.
        """
        state = now.attack_state
        unsent = None
        each = list(arrivals.each)
        for group in arrivals.groups:
            byzantine = [i for i in arrivals.byzantine if arrivals.each[i].group == group]
            if not byzantine:
                continue  # nobody looks at the rows, so they are not read
            honest = [i for i in arrivals.honest if arrivals.each[i].group == group]
            honest = [i for i, finite in zip(honest, self._finite(honest), strict=True) if finite]
            if not honest:
                continue
            ids = arrivals.ids
            own = self.cohort.inbox.copy(byzantine, [ids[i] for i in byzantine])
            about = replace(context, group=group)
            view = View(
                honest=self.cohort.inbox.stack(honest, [ids[i] for i in honest]),
                own=mixable(own, self._finite(byzantine)),
                context=replace(about.fold("attack"), evaluator=None, messages={}),
                decide=partial(decision, self.rule, state=now.rule_state, context=about.fold("rule")),
                previous=self._as_sent(now.velocity),
                state=state,
                byzantine=sorted(self.cohort.byzantine),
            )
            looked_at = self.attack.unsent(view) if watch else None
            if looked_at is not None:
                counts = looked_at.sign_counts().sum(0)
                unsent = counts if unsent is None else unsent + counts
            sent = [arrival.buffers for arrival in arrivals.each]
            forged = self.forged(view, [sent[i] for i in honest], [sent[i] for i in byzantine], now.buffers)
            if self.forge != "statistics" and forged.rows is not view.own:
                self.cohort.inbox.replace(byzantine, forged.rows)
            if forged.statistics is not None:
                for place, row in zip(byzantine, forged.statistics, strict=True):
                    each[place] = replace(each[place], buffers=row)
            state = forged.state
        return Attacked(arrivals=replace(arrivals, each=tuple(each)), state=state, unsent=unsent)

    def _finite(self, places: Sequence[int]) -> list[bool]:
        """Whether the server will count each of these rows: of one with NaN whatever an attack mixes is NaN, too."""
        if not places:
            return []
        rows = self.cohort.inbox.stack(places, places)  # apart from what attacks are shown: that knows nothing yet
        return rows.norms().isfinite().tolist()

    def forged(
        self,
        view: View,
        honest: Sequence[Tensor | None] = (),
        own: Sequence[Tensor | None] = (),
        before: Tensor | None = None,
    ) -> Forged:
        """What the attack makes of what it knows. Rows are read once, unless the attack remembers them.

        Args:
            view: the rows.
            honest, own: the running statistics that come with them.
            before: the server's; None if the model has none.
        """
        rows = self.attack.forged(view)
        statistics = None
        if self.forge != "rows" and before is not None:
            known = Statistics.of(view, honest, own, before)
            statistics = forged_statistics(self.attack, view, rows, known)
        if not self.attack.traits().history:
            return Forged(rows=rows, state=view.state, statistics=statistics)
        sent = materialise(rows).to(view.own.dtype)
        return Forged(rows=Dense(sent), state=self.attack.advance(view, sent), statistics=statistics)

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
        moved = self.server.move(now.parameters, gradient, now.velocity, now.server_state, now.round)
        accepted = judged.result.accepted.tolist()
        share = len(set(arrivals.clients)) / len(self.cohort.shards)
        return Stepped(
            parameters=moved.parameters,
            velocity=moved.velocity,
            server_state=moved.state,
            told=self.clients.tell(now.told, output, share, now.round),
            buffers=self._running(arrivals, accepted, now.buffers),
        )

    def _running(self, arrivals: Arrivals, accepted: Sequence[bool], before: Tensor | None) -> Tensor | None:
        """The server's running statistics after a round."""
        layout = self.backend.buffer_layout
        if layout is None or before is None:
            return before
        sent = [
            Vote(client=arrival.client, buffers=arrival.buffers, accepted=ok)
            for arrival, ok in zip(arrivals.each, accepted, strict=True)
            if arrival.buffers is not None
        ]
        return running_after(self.batch_norm, layout, sent, before, self.rule)

    # --- evaluated ------------------------------------------------------------------------------------------

    def evaluate(
        self, arrivals: Arrivals, updates: Dense | None, now: Stepped, unsent: Tensor | None = None
    ) -> Evaluated:
        """The model on the test set, and what can be seen of the rows; ``unsent`` is as in `Attacked`."""
        tally = self.backend.evaluate(now.parameters, self.dataset.test, now.buffers)
        signs = None if updates is None else _signs(updates, honest=arrivals.honest, byzantine=arrivals.byzantine)
        if signs is not None and unsent is not None:
            signs["virtual"] = _shares(unsent)
        return Evaluated(
            tally=tally,
            signs=signs,
            confidence=self._confidence(now),
            worst_client=self._worst_client(tally),
        )

    def played(self, context: Context) -> str | None:
        """Which attack is played in this round, where it is another one from round to round."""
        attack = self.attack.played(context.fold("attack"))
        return None if attack is self.attack else describe(attack)

    def _worst_client(self, tally: Tally) -> float | None:
        """The lowest accuracy of an honest client, for the classes that it trains on."""
        accuracies = tally.among(self.cohort.honest_mixes)
        known = accuracies[~accuracies.isnan()]
        return float(known.min()) if len(known) else None

    def _confidence(self, now: Stepped) -> float | None:
        """Of the attack's success, where it is after some samples."""
        wanted = _aimed(self.attack, self.dataset) if self.cohort.byzantine else None
        return None if wanted is None else self.backend.confidence(now.parameters, wanted, now.buffers)


def _aimed(attack: Attack, dataset: Dataset) -> Split | None:
    """The test samples that an attack is after, with the labels that it wants; None if it has no target."""
    test = dataset.test
    # A test set that does not lie in memory is read as a whole only for an attack that has a target.
    if isinstance(test.inputs, Lazy) and attack.aim(test.inputs[:1], test.labels[:1], dataset.classes) is None:
        return None
    wanted = attack.aim(test.inputs[:], test.labels, dataset.classes)
    return None if wanted is None else Split(inputs=wanted[0], labels=wanted[1])


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


def _shares(counts: Tensor) -> Shares:
    """Of counts by sign, (3,)."""
    positive, zero, negative = (counts / counts.sum()).tolist()
    return positive, zero, negative
