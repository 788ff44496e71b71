"""Rules that decide for each layer of the model on its own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core import Context, Plan, Reason, Rule, State, Traits, median_of
from ..registry.bounds import Positive, Share
from ..registry.entries import register
from ..stack import (
    LayerMixed,
    MagnitudeCounts,
    SqNorms,
    Statistic,
    Updates,
    layer_bounds,
    layer_features,
    power_above,
)
from ..stack.kernels import only_row
from .election import row_floors
from .mixers import clip_factors


@register("lasa", paper="Xu et al. 2025")
@dataclass(frozen=True, kw_only=True)
class LASA(Rule):
    """Per layer, average the clipped rows whose sparsified length and sign balance are ordinary there.

    1. y_i = x_i clipped to the median norm; z_i = x_i without the entries of magnitude up to the row's quantile of
       order ``sparsity``.
    2. For each layer l: a_i = |z_i,l|, b_i = (sum of signs) / (number of nonzeros) of z_i,l. A client is selected if
       |a_i - median a| / sd(a) < norm_bound and |b_i - median b| / sd(b) < sign_bound. Nobody: everybody.
    3. The layer's output is the mean of y_i,l over the selected.

    Xu, Zhang & Hu, "Achieving Byzantine-resilient federated learning via layer-adaptive sparsified model aggregation",
    WACV 2025. Layers are the tensors of the state dicts that came in; rows without names are one layer. The authors
    leave out biases when they sparsify, and keep one entry more or less by ranking.

    Use when: rows come with names of layers, attackers may hide in some of them, and f is unknown: each layer
    selects its own clients.

    Args:
        sparsity: order of the quantile, from 0 (nothing is removed) to 1.
        norm_bound, sign_bound: in standard deviations; the paper has 1 for the norm on CIFAR.

    Raises:
        ValueError: parameters out of bounds.
    """

    sparsity: Share = 0.3
    norm_bound: Positive = 2.0
    sign_bound: Positive = 1.0
    declared = Traits(passes=4, properties=frozenset({"permutation", "scale", "columns", "unanimity"}))

    def statistics(self, state: State, context: Context) -> tuple[Statistic, ...]:
        return (SqNorms(), MagnitudeCounts()) if self.sparsity > 0 else (SqNorms(),)

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        norms = updates.norms()
        floors = row_floors(updates, self.sparsity if self.sparsity > 0 else None, strict=True)
        layers = layer_bounds(updates)
        lengths, balances = layer_features(updates, layers, floors)
        selected = (z_scores(lengths) < self.norm_bound) & (z_scores(balances) < self.sign_bound)
        selected[:, ~selected.any(0)] = True
        weights = selected.double() / selected.sum(0) * clip_factors(norms, median_of(norms))[:, None]
        mixed = LayerMixed(updates, layers, weights)
        scores = {"layers": selected.double().mean(1), "norm": norms}
        reasons = [Reason.NOT_SELECTED] * updates.n
        return Plan(mixed, kernel=only_row, scores=scores, reasons=reasons, judged=updates)


def z_scores(values: Tensor) -> Tensor:
    """Distance from the median of each column in standard deviations, 0 where all are the same: (n, L)."""
    values = values / power_above(values.abs().amax(0))  # the squares of norms of 1e153 would overflow
    centre = torch.tensor([median_of(column) for column in values.T], dtype=values.dtype)
    spread = values.std(0, correction=0)
    # Rows that are all the same leave nothing but rounding.
    flat = spread <= 1e-12 * values.abs().amax(0)
    return torch.where(flat, 0.0, (values - centre).abs() / torch.where(flat, 1.0, spread))
