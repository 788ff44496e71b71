"""The core of a federation's rounds, whichever framework carries them: sound replies in, the next model out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core import EXAMPLES, Aggregator, BoundError, Evaluator, Result, Rule, State
from ..registry.notation import describe
from ..stack import Policy
from .answers import Deltas, Drop, Reply, shown, unused
from .audit import Verdict, verdicts
from .checks import check_fits, uses_examples
from .names import Naming, NodeNames
from .running import Running
from .server_model import ServerModel, finite
from .shares import capped, check_share

Step = Callable[[Mapping[str, Tensor]], Mapping[str, np.ndarray]]
"""What the server's optimiser makes of model + aggregate; it may raise a `KeptError`."""
_REASON = 500  # characters of an error in an audit


class KeptError(Exception):
    """The model stays as it was, for a reason to tell. It never leaves a round."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Judged:
    """A round after it was decided.

    Attributes:
        verdicts: on every node that was asked.
        arrays: the next model; None if it stays as it was.
        skipped: why it does.
        error: what was raised, where that is the reason.
        note: what the rule notes of the round.
    """

    verdicts: tuple[Verdict, ...]
    arrays: dict[str, np.ndarray] | None = None
    skipped: str | None = None
    error: Exception | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What a rule remembers, between two rounds."""

    round: int
    state: State


class Rounds:
    """A rule between the replies of nodes and the server's model: a face for a framework is put around it.

    The face screens what came, and says what the server's optimiser makes of the model plus the aggregate. A round that
    cannot be judged keeps the model, and the rule remembers nothing of it.

    Args:
        rule, seed, evaluator, classes, trust_examples, batch_norm, names: see `Robust`.
        trimmed: whether verdicts say how much of each update a rule that trims columns left out; see `Aggregator`.
        weighted_by_key: the metric that says how many examples a node has.
        max_share: see `Robust`.
    """

    def __init__(
        self,
        rule: Rule,
        *,
        seed: int,
        evaluator: Callable[[Mapping[str, Tensor]], Evaluator] | None,
        classes: int | None,
        trust_examples: bool,
        weighted_by_key: str,
        batch_norm: Policy,
        max_share: float | None = None,
        names: Naming = "claimed",
        trimmed: bool = False,
    ) -> None:
        if classes is not None and (not isinstance(classes, int) or classes < 1):
            raise ValueError(f"classes, a whole number of at least 1, is needed, or None, got {classes!r}")
        self.aggregator = Aggregator(rule, seed=seed, trimmed=trimmed)
        check_fits(rule, evaluator, trust_examples)
        self.rule = describe(rule)
        self.evaluator = evaluator
        self.classes = classes
        self.trust_examples = trust_examples
        self.weighted_by_key = weighted_by_key
        self._by_rule = uses_examples(rule)
        check_share(max_share, by_rule=self._by_rule, trusted=trust_examples)
        self.max_share = max_share
        self.by_examples = trust_examples or self._by_rule
        self.names = NodeNames(names)
        self.running = Running(policy=batch_norm, rule=rule)

    def claims(self) -> str | None:
        """The metric that every reply must have, where rows count by it."""
        return self.weighted_by_key if self.by_examples else None

    def group(self, number: int) -> int | None:
        """The class that a round, counted from 1, is about."""
        return None if self.classes is None else (number - 1) % self.classes

    def memory(self) -> Memory:
        """What the rule remembers now."""
        return Memory(round=self.aggregator.round, state=self.aggregator.state)

    def go_back(self, before: Memory) -> None:
        """As if the rounds since had not been: the next one draws what the first of them drew."""
        self.aggregator.round = before.round
        self.aggregator.state = before.state

    def judge(self, number: int, *, sound: list[Reply], drops: list[Drop], model: ServerModel, step: Step) -> Judged:
        """Aggregate, move the model, and say what became of each node.

        Args:
            number: of the round, counted from 1.
            sound: replies that fit the model; those that lie about their names are dropped here.
            drops: nodes whose replies do not count.
            model: as it was sent out.
            step: of the server's optimiser.
        """
        sound, drops = self.names.named(sound, drops)
        before = self.memory()
        try:
            return self._judged(number, sound=sound, drops=drops, model=model, step=step)
        except BaseException as error:
            self.go_back(before)
            if not isinstance(error, Exception):
                raise
            expected = isinstance(error, KeptError | BoundError)
            return Judged(
                verdicts=verdicts([*drops, *unused(sound)], (), sound, self.names),
                skipped=str(error) if expected else as_told(error),
                error=None if expected else error,
            )

    def _judged(self, number: int, *, sound: list[Reply], drops: list[Drop], model: ServerModel, step: Step) -> Judged:
        if not sound:
            raise KeptError("no node sent a sound reply")
        deltas = Deltas(sound, model)
        evaluator = None if self.evaluator is None else self.evaluator(model.tensors)
        result, claims = self._aggregated(number, deltas=deltas, sound=sound, evaluator=evaluator)
        target = model.moved(self._trusted(result, claims, deltas) if self.trust_examples else result.output)
        if target is None:
            raise KeptError("the aggregate is not finite")
        made = step(target)
        running = self.running.of(model, sound, result.accepted.tolist(), lambda reply: claims[reply.node])
        settled = model.settled(made, running, sound[0].local)
        if not finite(settled):
            raise KeptError("the model after the step is not finite")
        return Judged(verdicts=verdicts(drops, result, sound, self.names), arrays=settled, note=result.note)

    def claimed(self, replies: Sequence[Reply], among: Collection[int] | None = None) -> dict[int, float]:
        """The weight that examples give to nodes, 1 to each where they do not count.

        Args:
            replies: of the nodes.
            among: of whose sum a share is bounded by ``max_share``; all of them if None.
        """
        if not self.by_examples:
            return {reply.node: 1.0 for reply in replies}
        counts = torch.tensor([reply.examples(self.weighted_by_key) for reply in replies], dtype=torch.float64)
        if self.max_share is not None and self.max_share < 1:
            counted = torch.tensor([among is None or reply.node in among for reply in replies])
            counts[counted] = capped(counts[counted], self.max_share)
        return dict(zip([reply.node for reply in replies], counts.tolist(), strict=True))

    def _aggregated(
        self, number: int, *, deltas: Deltas, sound: Sequence[Reply], evaluator: Evaluator | None
    ) -> tuple[Result[Tensor], dict[int, float]]:
        """What the rule makes of the rows, and the weight of examples, bounded among those that it accepts.

        Whoever is thrown out must not have made room for others by a claim: then the rule goes over it once more.
        """
        before = self.memory()
        among = {reply.node for reply in sound}
        while True:
            claims = self.claimed(sound, among)
            said: dict[Hashable, Any] = {reply.client: self._heard(reply, claims) for reply in sound}
            result = self.aggregator(deltas, messages=said, evaluator=evaluator, group=self.group(number))
            counts = result.accepted if result.weights is None else result.accepted & (result.weights > 0)
            kept = {reply.node for reply, ok in zip(sound, counts.tolist(), strict=True) if ok}
            if self.max_share in (None, 1) or not kept < among:
                return result, claims
            among = kept
            if not self._by_rule:
                return result, self.claimed(sound, among)
            self.go_back(before)

    def _heard(self, reply: Reply, claims: Mapping[int, float]) -> dict[str, Any]:
        """What a rule is told of a node: all that it says, and its examples by the name that rules know."""
        said = dict(reply.metrics)
        if self.weighted_by_key not in said:
            return said
        bounded = self.max_share is not None and self.max_share < 1
        return {**said, EXAMPLES: claims[reply.node] if bounded else said[self.weighted_by_key]}

    def _trusted(self, result: Result[Tensor], claims: Mapping[int, float], deltas: Deltas) -> Tensor:
        """The rule's weights times the number of examples, with the sum that they had."""
        if result.weights is None:
            raise KeptError(f"{self.aggregator.rule!r} looks at columns and weighs no rows: trust_examples=False")
        examples = torch.tensor([claims[node] for node in deltas.nodes], dtype=torch.float64)
        weights = result.weights * (examples / examples.max())
        total = weights.sum()
        return deltas.combine(weights * (result.weights.sum() / total)) if total > 0 else result.output


def as_told(error: Exception) -> str:
    """What was raised, as an audit says it."""
    return f"{type(error).__name__}: {shown(str(error), _REASON)}"
