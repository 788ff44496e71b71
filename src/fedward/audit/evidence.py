"""What there is to see of each client, whatever a rule says: lengths, directions, signs, neighbours."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.cluster.hierarchy import fcluster, leaves_list, linkage
from scipy.spatial.distance import squareform
from torch import Tensor

from ..stack import Gram, SignCounts, Updates, cosines, layer_bounds
from ..stack import kernels as columns

_NEIGHBOURS = 3
_GAP = 1.5
"""Merges are between clusters where the next is so many times as far as the one before."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """What there is to see of the finite rows, in the order of ``ids``.

    Attributes:
        ids: of whom.
        norms: Euclidean norms: (n,).
        layers: names of layers, in the order of the model.
        layer_norms: norms within each: (n, layers).
        to_median: cosine to the coordinate median of the rows: (n,).
        to_aggregate: cosine to the sum of rows with the weights that were asked about: (n,); None without weights.
        signs: shares of positive, zero and negative entries: (n, 3).
        cosines: between rows: (n, n).
        neighbours: of each the nearest three by cosine, the nearest first.
        order: rows so that those that are alike stand together.
        clusters: number of each row's cluster, 0 for the largest.
    """

    ids: tuple[Hashable, ...]
    norms: Tensor
    layers: tuple[str, ...]
    layer_norms: Tensor
    to_median: Tensor
    to_aggregate: Tensor | None
    signs: Tensor
    cosines: Tensor
    neighbours: tuple[tuple[int, ...], ...]
    order: tuple[int, ...]
    clusters: tuple[int, ...]


def evidence_of(updates: Updates, weights: Tensor | None = None) -> Evidence:
    """Look at finite rows: one pass for statistics, and one for layers and the median.

    Args:
        updates: rows, all finite.
        weights: of an aggregate, (n,).
    """
    gram, signs = updates.compute(Gram(), SignCounts())
    norms = gram.diagonal().clamp_min(0).sqrt()
    between = cosines(gram)
    squares, to_median, median = _by_column(updates)
    order, clusters = _clustered(between)
    names = _names(updates)
    of_model = {} if updates.layout is None else {name: k for k, name in enumerate(updates.layout.order)}
    places = sorted(range(len(names)), key=lambda k: of_model.get(names[k], k))
    return Evidence(
        ids=updates.ids,
        norms=norms,
        layers=tuple(names[k] for k in places),
        layer_norms=squares[:, places].sqrt(),
        to_median=_cosine(to_median, norms, median),
        to_aggregate=None if weights is None else _to_sum(gram, norms, weights),
        signs=signs / signs.sum(1, keepdim=True),
        cosines=between,
        neighbours=_nearest(between),
        order=order,
        clusters=clusters,
    )


def cosines_to_median(updates: Updates) -> Tensor:
    """`Evidence.to_median` alone, of finite rows: (n,); one pass, if their inner products are known."""
    _, dots, square = _by_column(updates)
    return _cosine(dots, updates.gram().diagonal().clamp_min(0).sqrt(), square)


def _by_column(updates: Updates) -> tuple[Tensor, Tensor, float]:
    """Squared norms within layers, inner products with the coordinate median, and its squared norm; one pass."""
    bounds = layer_bounds(updates)
    squares = torch.zeros(updates.n, len(bounds), dtype=torch.float64)
    dots = torch.zeros(updates.n, dtype=torch.float64)
    length = 0.0
    for block in updates.blocks():
        wide = block.wide
        median = columns.median(block.rows).double()
        dots += (wide @ median).cpu()
        length += float(median.square().sum())
        for k, (start, stop) in enumerate(bounds):
            if start < block.stop and stop > block.start:
                part = wide[:, max(start - block.start, 0) : stop - block.start]
                squares[:, k] += part.square().sum(1).cpu()
    return squares, dots, length


def _names(updates: Updates) -> tuple[str, ...]:
    if updates.layout is None:
        return ("all",)
    return tuple(name for name, columns in updates.layout.slices() if columns.stop > columns.start)


def _to_sum(gram: Tensor, norms: Tensor, weights: Tensor) -> Tensor:
    return _cosine(gram @ weights, norms, float(weights @ gram @ weights))


def _cosine(dots: Tensor, norms: Tensor, square: float) -> Tensor:
    products = norms * max(square, 0.0) ** 0.5
    return torch.where(products > 0, dots / products, 0.0).clamp(-1, 1)


def _nearest(between: Tensor) -> tuple[tuple[int, ...], ...]:
    others = between.clone().fill_diagonal_(-torch.inf)
    ranked = others.argsort(dim=1, descending=True, stable=True)
    few = min(_NEIGHBOURS, len(between) - 1)
    return tuple(tuple(row[:few]) for row in ranked.tolist())


def _clustered(between: Tensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """An order in which rows that are alike stand together, and clusters, by average linkage on 1 - cos.

    The tree is cut where the next merge is farthest above the one before, in proportion, if that is half as far again;
    else all rows are one cluster.
    """
    n = len(between)
    if n < 3:
        return tuple(range(n)), (0,) * n
    away = (1 - between).clamp_min(0).numpy().copy()
    np.fill_diagonal(away, 0)
    tree = linkage(squareform((away + away.T) / 2, checks=False), method="average")
    heights = np.maximum(tree[:, 2], 1e-12)
    upper = range(n // 2, n - 1)  # merges above which a cluster has half of the rows or there are few clusters
    ratios = {k: heights[k] / heights[k - 1] for k in upper if k > 0}
    cut = max(ratios, key=lambda k: ratios[k], default=0)
    if not ratios or ratios[cut] < _GAP:
        return tuple(leaves_list(tree).tolist()), (0,) * n
    labels = fcluster(tree, (heights[cut - 1] + heights[cut]) / 2, criterion="distance").tolist()
    return tuple(leaves_list(tree).tolist()), _by_size(labels)


def _by_size(labels: Sequence[int]) -> tuple[int, ...]:
    ranked = sorted(set(labels), key=lambda label: (-labels.count(label), labels.index(label)))
    return tuple(ranked.index(label) for label in labels)
