"""`RobustHook`: robust data-parallel training, as a communication hook of `DistributedDataParallel`."""

# DDP compares the annotations of a hook with classes, so here they must be classes and not texts.
from typing import Any, Literal

from torch import Tensor
from torch.distributed import GradBucket, ProcessGroup  # type: ignore[attr-defined]
from torch.futures import Future

from ..core import Aggregator, Result, Rule
from .reduce import robust_all_reduce

Scope = Literal["model", "bucket"]


class RobustHook:
    """What DDP calls with each bucket of gradients in the place of its all-reduce; see `robust_hook`.

    Attributes:
        aggregator: the rule with its memory; its ``state_dict`` is this process's part of a checkpoint.
        results: the verdicts of the last backward pass: one, or one for each bucket.
    """

    def __init__(self, rule: Rule | Aggregator, *, scope: Scope = "model", group: ProcessGroup | None = None) -> None:
        self.aggregator = rule if isinstance(rule, Aggregator) else Aggregator(rule)
        if scope not in ("model", "bucket"):
            raise ValueError(f'scope is "model" or "bucket", got {scope!r}')
        if scope == "bucket" and self.aggregator.rule.traits().history:
            raise ValueError(
                f"{self.aggregator.rule!r} remembers earlier rounds, and DDP deals parameters into other buckets after "
                'the first: use scope="model"'
            )
        self.scope = scope
        self.group = group
        self.results: list[Result[Tensor]] = []
        # What DDP asks of a function.
        self.__name__ = self.__qualname__ = "robust_hook"
        self._places: dict[Tensor, int] = {}
        self._waiting: list[tuple[GradBucket, Future[Tensor]]] = []

    def __call__(self, state: Any, bucket: GradBucket) -> Future[Tensor]:
        """A promise of the aggregate of a bucket, which is kept when all buckets are here."""
        if bucket.index() == 0:
            self._waiting = []  # what an earlier pass may have left that was broken off
            self.results = []
        device = bucket.buffer().device
        promised: Future[Tensor] = Future(devices=[] if device.type == "cpu" else [device])
        self._waiting.append((bucket, promised))
        if self.scope == "bucket" or bucket.is_last():
            self._keep()
        return promised

    def _keep(self) -> None:
        waiting, self._waiting = self._waiting, []
        gradients: dict[int, Tensor] = {}
        for bucket, _ in waiting:
            for parameter, gradient in zip(bucket.parameters(), bucket.gradients(), strict=True):
                gradients[self._places.setdefault(parameter, len(self._places))] = gradient
        # DDP changes its buckets after the first pass; what a rule remembers is in the order of the first.
        ordered = [gradients[place] for place in sorted(gradients)]
        self.results.append(robust_all_reduce(ordered, self.aggregator, group=self.group))
        for bucket, promised in waiting:
            promised.set_result(bucket.buffer())


def robust_hook(rule: Rule | Aggregator, *, scope: Scope = "model", group: ProcessGroup | None = None) -> RobustHook:
    """A hook for `DistributedDataParallel.register_comm_hook`, which makes data-parallel training robust.

    ``model.register_comm_hook(None, robust_hook(rules.MultiKrum(f=1)))``: each process is a client, and its row is the
    gradient of the whole model, whose buckets are collected and decided on when the last one is there. So the rule
    sees rows as it would in a federation, and communication begins when the backward pass ends. With
    ``scope="bucket"`` each bucket is decided on its own as soon as it is there, besides the rest of the backward pass:
    a rule sees a part of each row, and a process may be accepted in one bucket and dropped in another.

    What a rule makes of the gradients is what the optimiser gets; nothing is divided by the number of processes.

    Args:
        rule: a rule, or an aggregator with a seed; it has the memory of all passes.
        scope: as above.
        group: that of the model, where it is not the default one.

    Raises:
        ValueError: another scope, or "bucket" with a rule that remembers.
    """
    return RobustHook(rule, scope=scope, group=group)
