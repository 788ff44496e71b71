"""Parts to put into a wrapper: each has one trait that the plain one has not, and behaves accordingly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

import torch
from torch import Tensor

from ..attacks import Attack, Batch, View
from ..clients import Answer, Client, Samples, Task
from ..core import Context, Knowledge, Mixer, Plan, Rule, State, Traits
from ..registry.component import Component
from ..stack import Updates

# --- rules --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class PlainRule(Rule):
    """The mean: no trait at all."""

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        return Plan(updates, torch.full((updates.n,), 1 / updates.n, dtype=torch.float64))


@dataclass(frozen=True, kw_only=True)
class OnColumns(PlainRule):
    """A kernel over columns in the place of weights."""

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        return Plan(updates, kernel=lambda block: block.mean(0))


@dataclass(frozen=True, kw_only=True)
class Remembering(PlainRule):
    """Counts rounds, gives the rows less and less weight, and is told the count by its plan's memo."""

    declared = Traits(history=True)

    def decide(self, updates: Updates, state: State, context: Context) -> Plan[int]:
        rounds = 1 + int(state.get("rounds", 0))
        weights = torch.full((updates.n,), 1 / updates.n / rounds, dtype=torch.float64)
        return Plan(updates, weights, memo=rounds)

    def advance(self, state: State, plan: Plan[int], output: Tensor, context: Context) -> State:
        assert plan.memo is not None, "memo is lost: advance was handed another plan than decide made"
        return {"rounds": torch.tensor(plan.memo)}


@dataclass(frozen=True, kw_only=True)
class AddingItsOwn(PlainRule):
    """Adds a row of the server's own."""

    declared = Traits(server_rows=True)

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        weights = torch.full((updates.n + 1,), 1 / updates.n, dtype=torch.float64)
        own = torch.ones(updates.d, dtype=updates.dtype, device=updates.device)
        return Plan(updates.anchored(own), weights, judged=updates)


@dataclass(frozen=True, kw_only=True)
class KnowingClients(PlainRule):
    """Weighs clients by their names."""

    declared = Traits(by_client=True)

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        names = [1 + crc32(repr(client).encode()) % 9 for client in updates.ids]
        weights = torch.tensor(names, dtype=torch.float64)
        return Plan(updates, weights / weights.sum())


@dataclass(frozen=True, kw_only=True)
class AskingRootData(PlainRule):
    """Asks the server's data."""

    declared = Traits(root_data=True)

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        assert context.evaluator is not None, "a rule that needs root data was asked without"
        context.evaluator.update()
        return super().decide(updates, state, context)


@dataclass(frozen=True, kw_only=True)
class OnRecord(PlainRule):
    """Has scores for the record."""

    declared = Traits(recorded=("probe",))

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        return replace(super().decide(updates, state, context), scores={"probe": torch.arange(updates.n)})


def _read(updates: Updates) -> None:
    """Every entry once, for nothing."""
    updates.combine(torch.ones(updates.n, dtype=torch.float64))


@dataclass(frozen=True, kw_only=True)
class ReadingAgain(PlainRule):
    """Reads the data twice more than others."""

    declared = Traits(passes=4)

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        for _ in range(2):
            _read(updates)
        return super().decide(updates, state, context)


@dataclass(frozen=True, kw_only=True)
class ReadingOnAndOn(PlainRule):
    """Reads the data more often the more clients there are."""

    declared = Traits(passes=None)

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        for _ in range(updates.n):
            _read(updates)
        return super().decide(updates, state, context)


# --- mixers -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class PlainMixer(Mixer):
    """Means of neighbouring rows: nobody's any more."""

    def matrix(self, updates: Updates, context: Context) -> Tensor:
        eye = torch.eye(updates.n, dtype=torch.float64)
        return (eye + eye.roll(1, 0)) / 2


@dataclass(frozen=True, kw_only=True)
class KeepingClients(PlainMixer):
    """Rows stay those of their clients."""

    declared = Traits(keeps_clients=True)

    def matrix(self, updates: Updates, context: Context) -> Tensor:
        return torch.eye(updates.n, dtype=torch.float64) * 0.75 + 0.25 / updates.n


@dataclass(frozen=True, kw_only=True)
class RememberingMixer(PlainMixer):
    """Looks at the previous aggregate."""

    declared = Traits(history=True)

    def matrix(self, updates: Updates, context: Context) -> Tensor:
        return super().matrix(updates, context) * (1.0 if context.previous is None else 0.5)


@dataclass(frozen=True, kw_only=True)
class Diagonal(PlainMixer):
    """Scales rows, and nothing else."""

    declared = Traits(diagonal=True, keeps_clients=True)

    def matrix(self, updates: Updates, context: Context) -> Tensor:
        return 0.5 * torch.eye(updates.n, dtype=torch.float64)


# --- attacks ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class PlainAttack(Attack):
    """Uses all rows, and does nothing but send rows; ``gamma`` is for wrappers that search over a number."""

    gamma: float = 1.0
    knows: Knowledge = "all"

    def forge(self, view: View) -> Updates:
        known = view.known(self.knows)
        row = torch.full((known.n,), -self.gamma / known.n, dtype=torch.float64)
        return known.mix(row.expand(view.own.n, -1))


@dataclass(frozen=True, kw_only=True)
class ByHonestRows(PlainAttack):
    """Uses the honest rows alone."""

    knows: Knowledge = "honest"


@dataclass(frozen=True, kw_only=True)
class ByOwnRows(PlainAttack):
    """Uses its clients' own rows alone."""

    knows: Knowledge = "own"


@dataclass(frozen=True, kw_only=True)
class RememberingAttack(PlainAttack):
    """Counts rounds."""

    declared = Traits(history=True)

    def advance(self, view: View, forged: Tensor) -> State:
        return {"rounds": torch.tensor(int(view.state.get("rounds", 0)) + 1)}


@dataclass(frozen=True, kw_only=True)
class Speaking(PlainAttack):
    """Says something of its own, and stays away in every other round."""

    declared = Traits(protocol=True)

    def say(self, messages: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        return {**messages, "probe": True}

    def present(self, context: Context) -> bool:
        return context.round % 2 == 0


@dataclass(frozen=True, kw_only=True)
class Poisoning(PlainAttack):
    """Relabels every sample, and is after the samples of one class."""

    def poison(self, batch: Batch, context: Context) -> Batch:
        return replace(batch, labels=torch.zeros_like(batch.labels))

    def aim(self, inputs: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor] | None:
        return inputs[labels == 1], labels[labels == 1] * 0


# --- client algorithms --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class PlainClient(Client):
    """Sends the gradient on its first sample."""

    declared = Traits(sends="gradient")

    def asks(self, task: Task) -> Sequence[Samples] | None:
        return [(task.shard, torch.arange(1))]

    def answer(self, task: Task, gradients: Sequence[Tensor], losses: Sequence[float | Tensor]) -> Answer:
        return Answer(row=gradients[0], loss=losses[0])


@dataclass(frozen=True, kw_only=True)
class SendingDeltas(PlainClient):
    """Sends what it calls a change of the parameters."""

    declared = Traits(sends="delta")


@dataclass(frozen=True, kw_only=True)
class Talking(SendingDeltas):
    """Says something besides its number of samples."""

    declared = Traits(sends="delta", talks=True)


@dataclass(frozen=True, kw_only=True)
class TalkingOfGradients(PlainClient):
    """The same of one that sends gradients."""

    declared = Traits(sends="gradient", talks=True)


@dataclass(frozen=True, kw_only=True)
class ByClass(SendingDeltas):
    """Answers for the class of the round."""

    declared = Traits(sends="delta", by_class=1)


@dataclass(frozen=True, kw_only=True)
class GradientsByClass(PlainClient):
    """The same of one that sends gradients."""

    declared = Traits(sends="gradient", by_class=1)


PROBES: Mapping[str, tuple[Component, ...]] = {
    "rule": (
        PlainRule(),
        OnColumns(),
        Remembering(),
        AddingItsOwn(),
        KnowingClients(),
        AskingRootData(),
        OnRecord(),
        ReadingAgain(),
        ReadingOnAndOn(),
    ),
    "mixer": (PlainMixer(), KeepingClients(), RememberingMixer(), Diagonal()),
    "attack": (PlainAttack(), ByHonestRows(), ByOwnRows(), RememberingAttack(), Speaking(), Poisoning()),
    "client": (
        PlainClient(),
        SendingDeltas(),
        TalkingOfGradients(),
        Talking(),
        GradientsByClass(),
        ByClass(),
    ),
}
"""Parts of every kind to try a wrapper with, plain ones first."""
