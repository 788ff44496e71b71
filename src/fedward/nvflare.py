"""Robust aggregation in NVIDIA FLARE: fedward's rules in the place of its weighted mean.

Needs NVIDIA FLARE: ``pip install nvflare``, or the extra, ``pip install '.[nvflare]'`` in a clone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

try:
    from nvflare.apis.fl_constant import ReservedKey, ReturnCode
    from nvflare.apis.fl_context import FLContext
    from nvflare.apis.shareable import Shareable
    from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
    from nvflare.app_common.abstract.model import ModelLearnableKey
    from nvflare.app_common.aggregators.model_aggregator import ModelAggregator
    from nvflare.app_common.app_constant import AppConstants
    from nvflare.app_common.utils.fl_model_utils import FLModelUtils
except ModuleNotFoundError as error:
    from .failures import install as _install

    raise ModuleNotFoundError(f"fedward.nvflare needs NVIDIA FLARE: {_install('nvflare')}", name="nvflare") from error

from .core import Aggregator, BoundError, Result, Rule
from .core.verdict import kept_or_given
from .failures import MendableError, tamed
from .registry.component import components_within
from .registry.notation import parse
from .stack import Policy

_NAME = "client_name"  # in the meta of a result, as NVFlare's controllers put it there
_TOLD = (BoundError, TypeError, ValueError)
"""Errors whose words tell what is wrong by themselves."""
_LARGEST = 1e300  # of a metric: a whole number can be beyond what a float can hold


class UnchangedError(MendableError, RuntimeError):
    """Round after round the model stays as it was; the message says why."""


class RobustAggregator(ModelAggregator):
    """A rule between the results of NVFlare's clients and the global model.

    ``FedAvgRecipe(..., aggregator=RobustAggregator(rule="multi-krum:f=2"))``; the older ScatterAndGather takes it, too.
    Clients may send weights or differences; the rule sees what they changed, one row a client, whatever number of steps
    it claims. A result that does not fit the global model, comes twice, or is not finite is dropped with a reason in
    the log. A round that the rule cannot decide keeps the model.

    Args:
        rule: as text, for NVFlare writes it into the configuration of a job.
        seed: of the rule's random choices.
        max_skipped: how many rounds in a row may keep the model, before an `UnchangedError` ends the job.
        batch_norm: what becomes of running statistics, "robust", "mean" or "frozen", see `Aggregator`; whose are
            odd is in the log.

    Attributes:
        last: what was decided on the last round; None before the first, and where the rule could not decide.

    Raises:
        ValueError: a rule that needs data of the server's, or the examples that clients claim.
    """

    def __init__(self, rule: str, seed: int = 0, max_skipped: int = 3, batch_norm: Policy = "robust") -> None:
        super().__init__()
        self.rule = rule
        self.seed = seed
        self.max_skipped = max_skipped
        self.batch_norm = batch_norm
        made = cast(Rule, parse(rule, "rule"))
        if made.traits().root_data:
            raise ValueError(f"{rule!r} judges clients by data of the server's own, which NVFlare's server has not")
        if any(getattr(part, "weighted", False) is True for part in components_within(made)):
            raise ValueError(f"{rule!r} goes by the examples that clients claim, and none of theirs count here")
        self._aggregator = Aggregator(made, seed=seed, batch_norm=batch_norm)
        self._skipped = 0
        self.last: Result[Tensor] | None = None
        self.reset_stats()

    def reset_stats(self) -> None:
        """A round begins."""
        self._results: dict[str, FLModel] = {}
        self._twice: set[str] = set()

    def accept(self, shareable: Shareable, fl_ctx: FLContext) -> bool:
        """Called by ScatterAndGather, whose results do not say whose they are: the connection does."""
        self.fl_ctx = fl_ctx
        name = str(shareable.get_peer_prop(ReservedKey.IDENTITY_NAME, AppConstants.CLIENT_UNKNOWN))
        code = shareable.get_return_code()
        if code and code != ReturnCode.OK:
            self.warning(f"dropped {tamed(name)}: it returned {tamed(code)}")
            return False
        try:
            model = FLModelUtils.from_shareable(shareable, fl_ctx)
        except Exception as error:  # whatever a client's result makes of being read
            self.warning(f"dropped {tamed(name)}: its result cannot be read ({type(error).__name__})")
            return False
        model.meta = {**(model.meta or {}), _NAME: name}
        self.accept_model(model)
        return True

    def accept_model(self, model: FLModel) -> None:
        """Keep a client's result; nothing is looked at until all are there."""
        name = (model.meta or {}).get(_NAME)
        name = name if isinstance(name, str) and name else AppConstants.CLIENT_UNKNOWN
        if name in self._results or name in self._twice:
            self._results.pop(name, None)  # which of two is the client's own cannot be told
            self._twice.add(name)
            return
        self._results[name] = model

    def aggregate_model(self) -> FLModel:
        """The next global model; no difference where the rule could not decide.

        Raises:
            UnchangedError: too many rounds in a row left the model as it was.
            RuntimeError: there is no global model that results could be held against.
        """
        for name in sorted(self._twice):
            self.warning(f"dropped {tamed(name)}: it sent more than one result")
        sent = self._global_model()
        base = {name: _tensor(value) for name, value in sent.items()}
        results = dict(sorted(self._results.items()))
        rows = {name: _weights(model, base) for name, model in results.items()}
        self.reset_stats()
        if not rows:
            return self._unchanged("no client sent a result")
        before = self._aggregator.state_dict()
        try:
            result = self._aggregator(rows, base=base, on_bad="drop")
            made = result.state_dict()
            if not all(bool(value.isfinite().all()) for value in made.values() if value.is_floating_point()):
                raise BoundError("the model after the round is not finite")
        except Exception as error:  # too few results, none that fits, or the rule stumbled over what clients sent
            self._aggregator.load_state_dict(before)  # a round that does not count is not remembered
            return self._unchanged(str(error) if isinstance(error, _TOLD) else f"{type(error).__name__}: {error}")
        self._skipped = 0
        self.last = result
        self._tell(result)
        kept = [results[str(name)] for name, ok in zip(result.ids, result.accepted.tolist(), strict=True) if ok]
        return FLModel(
            params_type=ParamsType.FULL,
            params={name: _like(made[name], value) for name, value in sent.items()},
            metrics=_medians([model.metrics or {} for model in kept]) or None,
        )

    def _global_model(self) -> Mapping[str, Any]:
        model = None if self.fl_ctx is None else self.fl_ctx.get_prop(AppConstants.GLOBAL_MODEL)
        weights = None if model is None else model.get(ModelLearnableKey.WEIGHTS)
        if not weights:
            raise RuntimeError(
                "NVFlare's context has no global model, which results are held against: give the recipe or the "
                "controller an initial model"
            )
        return cast(Mapping[str, Any], weights)

    def _unchanged(self, why: str) -> FLModel:
        self.last = None
        self._skipped += 1
        self.warning(f"{self.rule}: the model stays as it was: {why}")
        if self._skipped >= self.max_skipped:
            raise UnchangedError(f"{self._skipped} rounds in a row left the model as it was: {why}")
        return FLModel(params_type=ParamsType.DIFF, params={})

    def _tell(self, result: Result[Tensor]) -> None:
        kept = int(result.accepted.sum())
        self.info(f"{self.rule}: {kept} of {len(result.ids)} clients {kept_or_given(result.reasons)}")
        for name, reason, accepted in zip(result.ids, result.reasons, result.accepted.tolist(), strict=True):
            if not accepted:
                detail = result.details.get(name, "")
                self.info(f"dropped {tamed(name)}: {reason}{': ' * bool(detail)}{detail}")
        if result.note:
            self.info(result.note)


def _weights(model: FLModel, base: Mapping[str, Tensor]) -> Any:
    """What a client's model is now, if it says what it changed; all else as it came, for whoever judges it."""
    if not isinstance(model.params, Mapping):
        return model.params
    found = {}
    for name, value in model.params.items():
        try:
            sent = _tensor(value)
        except (TypeError, ValueError, RuntimeError):
            found[name] = value
            continue
        own = base.get(name)
        if model.params_type == ParamsType.DIFF and own is not None and own.shape == sent.shape:
            sent = (own + sent).to(own.dtype)
        elif own is not None and own.is_floating_point() and sent.is_floating_point():
            sent = sent.to(own.dtype)
        found[name] = sent
    return found


def _tensor(value: Any) -> Tensor:
    return value.detach().cpu() if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))


def _like(value: Tensor, sent: Any) -> Any:
    """In the form that the model was sent out in."""
    return value if isinstance(sent, Tensor) else value.numpy()


def _medians(metrics: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Of the numbers that more than half of the clients say: a mean would be whose it is that says the largest."""
    found = {}
    for name in dict.fromkeys(name for said in metrics for name in said):
        values = [v for said in metrics if isinstance(v := said.get(name), int | float) and abs(v) < _LARGEST]
        if 2 * len(values) > len(metrics):
            found[name] = float(np.median(values))
    return found
