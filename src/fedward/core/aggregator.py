"""`Aggregator`: a rule with its memory, from whatever clients sent to an output and a verdict on each client."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace
from inspect import isroutine
from threading import RLock
from typing import Any, overload

import numpy as np
from torch import Tensor

from ..registry.bounds import Natural
from ..registry.component import undecorated
from ..registry.parameters import check_parameters, check_value
from ..stack import Base, Buffers, Ids, Integers, Model, OnBad, Policy, Stack, Updates, as_updates
from ..stack.alike import raw_models, sampled_nearness
from ..stack.running import odd_notes
from .context import Context, heard
from .evaluator import Evaluator
from .neutral import neutral
from .plan import noted
from .rule import Rule
from .state import State
from .step import step
from .verdict import Result, to_numpy


class RawWeightsWarning(UserWarning):
    """Rows look like whole models, of which a rule sees what they have in common and nothing of what each changed."""


class Aggregator:
    """A rule with its memory: call it once a round.

    ``Aggregator(mixers.ClipNorm(radius="median") >> rules.Mean(), seed=0)``. The round counter and the rule's state
    are in `state_dict`; resuming from it gives bitwise the same outputs. A call that raises changes neither. Calls
    from several threads are rounds one after the other.

    Args:
        rule: what decides.
        seed: of its random choices, at least 0.
        trimmed: whether verdicts of a rule that trims columns (Median, TrimmedMean, ...) have the share of the columns
            in which a row has no part in the output, as the score "trimmed"; that takes one more pass.
        batch_norm: what becomes of running statistics in state dicts, which no rule judges: "robust", the median of
            each entry over all usable clients, whoever the rule accepted, and no farther from the base's than the bound
            of `median_of_running`, without one if there is no base; "mean", of accepted clients, which any of them can
            move; or "frozen", the base's. Whose statistics are odd is said in the result's note. A stack in files says
            it itself, ``Files(batch_norm=...)``.

    Examples:
        >>> import torch
        >>> import fedward as fw
        >>> updates = {
        ...     "amber": torch.tensor([1.0, 0.0]),
        ...     "birch": torch.tensor([0.8, 0.2]),
        ...     "cedar": torch.tensor([0.9, 0.1]),
        ...     "dune": torch.tensor([0.9, 0.2]),
        ...     "mal": torch.tensor([90.0, -90.0]),
        ... }
        >>> result = fw.Aggregator(fw.rules.MultiKrum(f=1))(updates)
        >>> result.output
        tensor([0.8500, 0.2000])
        >>> print(result.table())
        id     weight  accepted  krum       reason
        -----  ------  --------  ---------  --------
        amber  0.0000  no        0.07       far
        birch  0.5000  yes       0.03       accepted
        cedar  0.0000  no        0.03       far
        dune   0.5000  yes       0.02       accepted
        mal    0.0000  no        3.208e+04  far
    """

    def __init__(self, rule: Rule, *, seed: int = 0, trimmed: bool = False, batch_norm: Policy = "robust") -> None:
        if not isinstance(rule, Rule):
            remedy = "; fedward.rule makes one of a function" * isroutine(rule)
            raise TypeError(f"an Aggregator needs a rule, such as rules.Median(), got {rule!r}{remedy}")
        # The text of any other class is an address, so that no saved state could be told from another rule's.
        if remedy := undecorated(type(rule)):
            raise TypeError(f"a rule is a dataclass, and {type(rule).__name__} is none: {remedy}")
        check_parameters(rule)  # once more for classes whose own __post_init__ leaves it out
        self.rule = rule
        self.seed: int = check_value("Aggregator", "seed", seed, Natural)
        self.trimmed: bool = check_value("Aggregator", "trimmed", trimmed, bool)
        self.batch_norm: Policy = check_value("Aggregator", "batch_norm", batch_norm, Policy)
        self.round = 0
        self.state: State = {}
        self._looked = False
        self._lock = RLock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, saved: Mapping[str, Any]) -> None:
        vars(self).update({"trimmed": False, "batch_norm": "robust", "_looked": False, **saved}, _lock=RLock())

    def __repr__(self) -> str:
        return f"Aggregator({self.rule!r}, seed={self.seed})"

    @overload
    def __call__(  # type: ignore[overload-overlap]  # an array is an iterable as well
        self,
        G: np.ndarray,
        ids: Ids = ...,
        messages: Mapping[Hashable, Any] | None = ...,
        *,
        like: Model | None = ...,
        base: Base | None = ...,
        buffers: Buffers = ...,
        integers: Integers = ...,
        on_bad: OnBad = ...,
        evaluator: Evaluator | None = ...,
        group: int | Mapping[Hashable, int] | None = ...,
    ) -> Result[np.ndarray]: ...
    @overload
    def __call__(
        self,
        G: Tensor | Iterable[Any] | Mapping[Any, Any] | Updates,
        ids: Ids = ...,
        messages: Mapping[Hashable, Any] | None = ...,
        *,
        like: Model | None = ...,
        base: Base | None = ...,
        buffers: Buffers = ...,
        integers: Integers = ...,
        on_bad: OnBad = ...,
        evaluator: Evaluator | None = ...,
        group: int | Mapping[Hashable, int] | None = ...,
    ) -> Result[Tensor]: ...
    @neutral()
    def __call__(
        self,
        G: Stack,
        ids: Ids = None,
        messages: Mapping[Hashable, Any] | None = None,
        *,
        like: Model | None = None,
        base: Base | None = None,
        buffers: Buffers = "auto",
        integers: Integers = "refuse",
        on_bad: OnBad = "raise",
        evaluator: Evaluator | None = None,
        group: int | Mapping[Hashable, int] | None = None,
    ) -> Result[Tensor] | Result[np.ndarray]:
        """Aggregate one round.

        Args:
            G: an (n, d) tensor or array, `Updates`, or for each client a (d,) row, a state dict, a list of layers, or
                a pair of a number of examples and one of these: in a list, from an iterator or as {id: row}.
            ids: names of the clients, distinct; 0 to n - 1, or the keys of a mapping, if not given. Memory per client
                is kept by these.
            messages: what clients sent besides their rows, by id. The number of a pair goes there as num-examples.
            like: a state dict, a (d,) row or a list of layers, that fixes names, shapes and dtypes of the output; those
                that more than half of the clients sent if not given.
            base: the model that clients started from, if they sent weights and not what they changed: the rule sees
                their differences from it, and the output is the base plus the aggregate of these; it fixes names,
                shapes and dtypes as ``like`` does. Or "mean-of-clients" or "median-of-clients", for whoever has none.
            buffers: running statistics, which have no columns and do not vote: "auto" knows running_mean and
                running_var; names, or a module, whose buffers are meant, come on top; None, all vote.
            integers: "refuse" integer tensors that are no counters, or take them for "counters".
            on_bad: "raise" where a client sent something that does not fit, or running statistics that cannot be (a
                variance below 0); or "drop" it, with `Reason.MALFORMED` and a line in the details. NaN or Inf in a
                client's statistics is as if its row had it.
            evaluator: the server's own data, for rules that judge by it.
            group: the class that this round is about, for `rules.ClassWise`; or that of each row, by id.

        Raises:
            BoundError: too few (finite, well-formed) rows for the rule; nothing has changed, keep the previous model.
            ValueError, TypeError: not a stack of updates, or no evaluator for a rule that needs one.

        Warns:
            RawWeightsWarning: in the first round, where state dicts, lists of layers or files are so much alike that
                they must be weights, and there is no base.
        """
        updates = as_updates(
            G,
            ids,
            like=like,
            base=base,
            buffers=buffers,
            integers=integers,
            on_bad=on_bad,
            batch_norm=self.batch_norm,
        )
        with self._lock:
            if not self._looked:
                self._looked = True
                _warn_of_weights(G, updates)
            context = Context(
                self.round,
                self.seed,
                messages=heard({} if messages is None else messages, updates),
                evaluator=evaluator,
                group=group,
            )
            done = step(self.rule, updates, self.state, context, trimmed=self.trimmed)
            self.state = done.state
            self.round += 1
        result = _with_odd_statistics(done.result, updates)
        return to_numpy(result) if isinstance(G, np.ndarray) else result

    def state_dict(self) -> dict[str, Any]:
        """All that the next round depends on, for `torch.save`."""
        with self._lock:
            return {**self._settings(), "round": self.round, "state": dict(self.state)}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Resume from where `state_dict` was taken.

        Raises:
            ValueError: it was taken from another rule, seed or batch_norm.
        """
        before = {"batch_norm": "robust", **saved}  # files of 0.1.0 do not say
        for key, own in self._settings().items():
            if before.get(key) != own:
                raise ValueError(
                    f"this state was saved with {key} {before.get(key)!r}, but this aggregator has {own!r}; "
                    "make the aggregator as it was then, or start afresh"
                )
        with self._lock:
            self.round, self.state = int(saved["round"]), dict(saved["state"])

    def _settings(self) -> dict[str, Any]:
        """What outputs depend on besides rows and memory; ``trimmed`` adds a score, and changes no output."""
        return {"rule": repr(self.rule), "seed": self.seed, "batch_norm": self.batch_norm}


def _with_odd_statistics(result: Result[Tensor], updates: Updates) -> Result[Tensor]:
    """The result with a note on whose running statistics are odd, where there is a policy for them."""
    agreed, layout = updates.agreed, updates.layout
    if agreed is None or agreed.policy is None or layout is None:
        return result
    return replace(result, note=noted(result.note, *odd_notes(agreed, layout)))


def _warn_of_weights(given: Stack, updates: Updates) -> None:
    models = raw_models(given, updates)
    if models is not None and (share := sampled_nearness(models)) is not None:
        warnings.warn(
            f"these look like weights, not updates: most clients differ by {100 * share:.2g}% of their length, so that "
            "the rule sees what they have in common and nothing of what each changed. Give the model they started "
            "from, base=..., or base='median-of-clients'; if they are updates all the same, "
            "warnings.filterwarnings('ignore', category=fedward.core.RawWeightsWarning)",
            RawWeightsWarning,
            stacklevel=4,
        )
