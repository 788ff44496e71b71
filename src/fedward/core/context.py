"""What a decision may depend on besides the rows."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from ..stack import Updates
from .evaluator import Evaluator

Messages = Mapping[Hashable, Any]
"""What clients say besides their rows, by id."""


EXAMPLES = "num-examples"
"""Under what name a client says how many samples it has, as in Flower."""


@dataclass(frozen=True)
class Context:
    """What a decision may depend on besides the rows: the round, the seed, what clients said, the server's own data.

    Random choices come from `generator`, which starts afresh at every call: deciding twice gives the same plan,
    and every rank of a distributed run draws the same numbers. ``previous`` is the last aggregate, for mixers; rules
    keep what they need in their state. ``group`` is the class that this round is about, where rounds have one (DeSGD);
    for rounds of several, the class of each row by its id. ``rounds_per_epoch`` is how many rounds go through the
    samples of a client that takes part in them, where that is known.
    """

    round: int = 0
    seed: int = 0
    _: KW_ONLY
    messages: Messages = field(default_factory=dict)
    path: tuple[str, ...] = ()
    evaluator: Evaluator | None = None
    previous: Tensor | None = None
    group: int | Mapping[Hashable, int] | None = None
    rounds_per_epoch: float | None = None

    def root_data(self) -> Evaluator:
        """The evaluator, for those that cannot do without.

        Raises:
            ValueError: there is none.
        """
        if self.evaluator is None:
            raise ValueError("this rule judges clients by data of the server's own: the context needs an evaluator")
        return self.evaluator

    def fold(self, name: str) -> Context:
        """The same context with random streams of its own, for a part of a composition."""
        return replace(self, path=(*self.path, name))

    def draw_seed(self, name: str = "") -> int:
        """A seed for one purpose, by round, seed and name."""
        words = [self.seed, self.round, *(crc32(part.encode()) for part in (*self.path, name))]
        return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))

    def generator(self, name: str = "", device: torch.device | str = "cpu") -> torch.Generator:
        """A fresh generator for one purpose."""
        return torch.Generator(device).manual_seed(self.draw_seed(name))


def heard(messages: Messages, updates: Updates) -> Messages:
    """Messages, with the numbers of examples that came with updates, unless a message has that key itself.

    Raises:
        TypeError: no mapping of clients.
    """
    if not isinstance(messages, Mapping):
        raise TypeError(
            f"messages are what clients said, by id, {{0: {{{EXAMPLES!r}: 250}}, ...}}; got {type(messages).__name__}: "
            "hand over dict(zip(ids, messages))"
        )
    if not updates.agreed or not updates.agreed.examples:
        return messages
    all_said = dict(messages)
    for name, examples in updates.agreed.examples.items():
        said = all_said.get(name)
        all_said[name] = {EXAMPLES: examples, **(said if isinstance(said, Mapping) else {})}
    return all_said
