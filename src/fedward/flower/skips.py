"""Rounds that left the model as it was: one is weather, several in a row are something to be told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from ..core import BoundError, Rule
from ..failures import MendableError
from ..registry.parameters import check_value
from .answers import Fault
from .audit import Audit
from .checks import MOST, enough

OnSkip = Literal["raise", "warn"]
"""See `Screened`."""
_TOLD = 3  # reasons of drops, the commonest first
_REMEDIES = {
    Fault.ERROR: "the nodes' app raises: try it in one process with fedward.flower.testing.InProcess",
    Fault.MISSING: "nodes are gone, or slower than timeout=... allows",
    Fault.WRONG_RECORDS: "name the records that count with arrayrecord_key and metricrecord_key",
    Fault.WRONG_KEYS: "server and nodes must build the same model",
    Fault.WRONG_SHAPE: "server and nodes must build the same model",
    Fault.WRONG_DTYPE: "send floating-point arrays where the server's model has such",
    Fault.WRONG_EXAMPLES: "report a positive number under weighted_by_key, or let no examples count",
    Fault.OVERFLOW: "training diverges: take a smaller learning rate",
    Fault.NONFINITE: "training diverges: take a smaller learning rate",
}


class SkippedError(MendableError, RuntimeError):
    """Every round leaves the model as it was; the message says why, and what to do."""


class Skips:
    """Counts rounds in a row that left the model as it was, for a reason that no minority of nodes can bring about.

    A round counts if at least half of the nodes' replies were of no use, or if something of the server's own raised an
    error. One that has too few replies for the rule's bound though most nodes sent sound ones does not: nodes come and
    go, and nobody who stays away is to end a run.

    Args:
        on_skip: "raise" a `SkippedError` when there are too many, or only "warn".
        most: how many are too many.
    """

    def __init__(self, on_skip: OnSkip, most: int) -> None:
        self.on_skip: OnSkip = check_value("Screened", "on_skip", on_skip, OnSkip)
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise ValueError(f"max_skipped, a whole number of at least 1, is needed, got {most!r}")
        self.most = most
        self.begin()

    def begin(self) -> None:
        """Another run: nothing is counted yet."""
        self.in_a_row: list[Audit] = []
        self.final: list[Audit] = []
        self.rounds = self.skipped = 0
        self.last: str | None = None

    def count(self, audit: Audit, *, own: bool) -> None:
        """Count a round.

        Args:
            audit: of the round.
            own: whether the reason is an error of the server's own.

        Raises:
            SkippedError: it is one too many.
        """
        self.rounds += 1
        if audit.skipped is None:
            self.in_a_row = []
            return
        self.skipped += 1
        self.last = audit.skipped
        self.final = [*self.final, audit][-self.most :]
        useless = sum(not v.accepted and v.reason != Fault.UNUSED for v in audit.verdicts)
        if not own and 2 * useless < len(audit.verdicts):
            return
        self.in_a_row = [*self.in_a_row, audit][-self.most :]
        if self.on_skip == "raise" and len(self.in_a_row) == self.most:
            raise SkippedError(self._sentence(f"{self.most} rounds in a row", self.in_a_row))

    def end(self) -> None:
        """The run is over.

        Raises:
            SkippedError: none of its rounds did anything.
        """
        if self.on_skip == "raise" and self.rounds and self.skipped == self.rounds:
            whole = "the only round" if self.rounds == 1 else f"all {self.rounds} rounds"
            raise SkippedError(self._sentence(whole, self.final))

    def _sentence(self, which: str, audits: Sequence[Audit]) -> str:
        reason, remedies = shared(audits, of_more=self.rounds > len(audits) and audits is self.final)
        remedies = [*remedies, "on_skip='warn' goes on all the same"]
        return f"{which} left the model as it was: {reason}. What helps: {'; '.join(remedies)}."


def shared(audits: Sequence[Audit], *, of_more: bool = False) -> tuple[str, list[str]]:
    """Why rounds left the model as it was: the reason that they share, else the last; who was dropped; what helps.

    Args:
        audits: of the rounds.
        of_more: whether these are the last ones of more rounds.
    """
    reasons = list(dict.fromkeys(str(audit.skipped) for audit in audits))
    reason = reasons[-1] if len(reasons) == 1 else f"{reasons[-1]} (the last of {len(reasons)} reasons)"
    drops = Counter(
        (v.reason, v.detail) for audit in audits for v in audit.verdicts if not v.accepted and v.reason != Fault.UNUSED
    )
    total = sum(len(audit.verdicts) for audit in audits)
    most = drops.most_common(_TOLD)
    told = [f"{count} of {total} replies {kind}{': ' * bool(detail)}{detail}" for (kind, detail), count in most]
    if len(drops) > _TOLD:
        told.append(f"and {len(drops) - _TOLD} more reasons")
    faults = dict.fromkeys(kind for (kind, _), _ in most)
    remedies = list(dict.fromkeys(text for fault, text in _REMEDIES.items() if fault in faults))
    if "needs n >=" in reason:
        remedies.append("a smaller f, or rounds of more nodes (min_train_nodes)")
    rounds = f"in the last {len(audits)} rounds " if of_more else ""
    return reason + (f" ({rounds}{'; '.join(told)})" if told else ""), remedies


def too_few(rule: Rule, asked: int) -> str | None:
    """Why a rule cannot decide on the replies of so many nodes, even if all answer, and what to do; None if it can."""
    try:
        rule.check(asked)
    except BoundError as error:
        least = next((n for n in range(asked + 1, MOST) if enough(rule, n)), None)
        wait = "" if least is None else f", or wait until a round has enough nodes: min_train_nodes={least}"
        return (
            f"{error}: {asked} nodes are asked in this round, so that it would leave the model as it is. "
            f"Take a smaller f{wait}; on_skip='warn' tries all the same"
        )
    return None
