"""`RobustFedAvg`: federated averaging with a rule in the place of the mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flwr.serverapp.strategy import FedAvg
from torch import Tensor

from ..core import Evaluator, Rule
from ..stack import Policy
from ..stack.layout import Buffers, Integers
from .checks import check_names
from .names import Naming
from .skips import OnSkip
from .strategy import Robust


class RobustFedAvg(Robust):
    """Federated averaging with a rule in the place of the mean.

    ``RobustFedAvg(rule=rules.SignGuardSim(), fraction_train=0.5)``: `Robust` around Flower's FedAvg.

    Args:
        rule, seed, audit, checkpoint, evaluator, classes, trust_examples, max_share, buffers, integers: see `Robust`.
        batch_norm, on_skip, max_skipped, metricrecord_key, fresh, names, verdict_metrics: see `Robust`.
        fedavg: all arguments of ``flwr.serverapp.strategy.FedAvg``, by name.
    """

    def __init__(
        self,
        *,
        rule: Rule | str,
        seed: int = 0,
        audit: str | Path | None = None,
        checkpoint: str | Path | None = None,
        evaluator: Callable[[Mapping[str, Tensor]], Evaluator] | None = None,
        classes: int | None = None,
        trust_examples: bool = False,
        max_share: float | None = None,
        buffers: Buffers = "auto",
        integers: Integers = "refuse",
        batch_norm: Policy = "robust",
        on_skip: OnSkip = "raise",
        max_skipped: int = 3,
        metricrecord_key: str = "metrics",
        fresh: bool = False,
        names: Naming = "claimed",
        verdict_metrics: bool = True,
        **fedavg: Any,
    ) -> None:
        check_names(RobustFedAvg, FedAvg, fedavg)
        super().__init__(
            FedAvg(**fedavg),
            rule=rule,
            seed=seed,
            audit=audit,
            checkpoint=checkpoint,
            evaluator=evaluator,
            classes=classes,
            trust_examples=trust_examples,
            max_share=max_share,
            buffers=buffers,
            integers=integers,
            batch_norm=batch_norm,
            on_skip=on_skip,
            max_skipped=max_skipped,
            metricrecord_key=metricrecord_key,
            fresh=fresh,
            names=names,
            verdict_metrics=verdict_metrics,
        )
