"""What becomes of running statistics in a federation, which no rule weighs and no optimiser adapts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from ..core import Rule
from ..stack import Policy, mean_of_running, median_of_running, variance_of
from .answers import Reply
from .server_model import ServerModel


@dataclass(frozen=True, kw_only=True)
class Running:
    """How the server takes running statistics from what nodes sent.

    Attributes:
        policy: the mean of accepted nodes, bounded medians, or none of theirs.
        rule: which accepts nodes.
    """

    policy: Policy
    rule: Rule

    def of(
        self, model: ServerModel, sound: Sequence[Reply], accepted: Sequence[bool], weight: Callable[[Reply], float]
    ) -> dict[str, Tensor]:
        """The statistics after a round, by name, of those that nodes could change.

        A mean is weighted. A median counts each node once, and every sound one, whatever the rule made of its weights:
        those that are like the others' say nothing of the statistics beside them. Only rules with data of their own
        expect no honest majority: there, those votes count that they accept.

        Args:
            model: as it was sent out.
            sound: what came back.
            accepted: by the rule.
            weight: of a reply.
        """
        chosen = [reply for reply, ok in zip(sound, accepted, strict=True) if ok]
        if self.policy == "frozen":
            return {}
        if self.policy == "mean":
            weights = [weight(reply) for reply in chosen]
            taken = {name: mean_of_running(name, sent, own.dtype, weights) for name, own, sent in _each(model, chosen)}
        else:
            voters = chosen if self.rule.traits().root_data else sound
            taken = {
                name: median_of_running(name, sent, own, variance_of(model.tensors, name))
                for name, own, sent in _each(model, voters)
            }
        return {name: value for name, value in taken.items() if value is not None}


def _each(model: ServerModel, replies: Sequence[Reply]) -> list[tuple[str, Tensor, list[Tensor]]]:
    """Each statistic with what the server has and what nodes sent."""
    return [
        (name, model.tensors[name], [reply.buffers[k] for reply in replies])
        for k, name in enumerate(model.layout.buffers)
    ]
