"""What an aggregate is written as: a model in the base's form, or an adapter of a rank."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ..core import Context, Plan, Result, Rule, decide_on, judge
from ..core.rule import Outcome
from ..disk import check_folder, write_whole
from ..failures import tamed
from ..registry.notation import describe
from ..stack.written import save_tensors
from .adapters import Adapter, Factors, Sum
from .clients import ADAPTER_CONFIG, AuditError
from .lowrank import LowRank

Merge = Literal["svd", "average"]
"""How an adapter comes of others: the nearest product of a rank to the sum of products, or A and B averaged."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NewAdapter:
    """An aggregate of adapters.

    Attributes:
        tensors: by the names that clients use.
        settings: its configuration.
        lost: the greatest share of a layer's squared length that its rank has no room for.
    """

    tensors: Mapping[str, Tensor]
    settings: Mapping[str, Any]
    lost: float


def aggregate_adapters(
    rule: Rule, stack: LowRank, context: Context, rank: int | None = None, merge: Merge = "svd"
) -> tuple[Result[Tensor], NewAdapter]:
    """A rule's aggregate of adapters as an adapter.

    Weighted sums of products are never multiplied out. Rules that work on columns are, one layer at a time.

    Args:
        rule: the rule.
        stack: the adapters.
        context: of the round.
        rank: of the result; the largest of the accepted clients', or of the base, if None.
        merge: "svd", the nearest product of that rank; "average", A and B averaged, where ranks and scales agree.

    Raises:
        AuditError: the rule adds noise of its own; for an average, ranks or settings do not agree, or one is asked for.
        BoundError: too few rows.
    """
    decided = decide_on(rule, stack, {}, context)
    plan = decided.plan
    result = judge(stack, Outcome(plan=plan, output=torch.empty(0), finite=decided.finite, state={}))
    weights = None if plan.weights is None else _of_clients(rule, stack, plan, plan.weights)
    used = [adapter for adapter, ok in zip(stack.adapters, plan.accepted().tolist(), strict=True) if ok]
    if not used:
        raise AuditError("nobody was accepted, so that there is nothing to write: keep the previous adapter")
    if merge == "average":
        if rank is not None:
            raise AuditError("--rank is for --merge svd: averaged factors keep their rank")
        if weights is None:
            raise AuditError(f"{describe(rule)} works on entries of products, not on factors: take --merge svd")
        return result, _with_aside(_averaged(stack, weights), stack, result)
    known = [f.rank for adapter in [*used, *([stack.base] if stack.base else [])] for f in adapter.layers.values()]
    return result, _with_aside(_reduced(stack, plan, weights, rank or max(known), used), stack, result)


def _with_aside(adapter: NewAdapter, stack: LowRank, result: Result[Tensor]) -> NewAdapter:
    """The adapter with what has no columns: running statistics and counters of layers that are trained whole."""
    assert stack.layout is not None
    names = (*stack.layout.buffers, *stack.layout.counters)
    return replace(adapter, tensors={**adapter.tensors, **{name: result.aside[name] for name in names}})


def _of_clients(rule: Rule, stack: LowRank, plan: Plan, weights: Tensor) -> Tensor:
    """Weights of a plan's rows as weights of the clients': (n,).

    Raises:
        AuditError: there are other rows among them, which are no products.
    """
    found = {root: weights @ share for root, share in plan.updates.parts().items()}
    own = found.pop(stack, torch.zeros(stack.n, dtype=torch.float64))
    if any(bool(other.any()) for other in found.values()):
        raise AuditError(
            f"{describe(rule)} adds to every entry what is no client's, and an adapter has no room for it; take a rule "
            "that does not, such as flame:noise=0"
        )
    return own


def write_adapter(folder: Path, adapter: NewAdapter) -> None:
    """Write an adapter's folder, which appears as a whole.

    Raises:
        AuditError: there is something already.
        OSError: it cannot be written.
    """
    check_folder(folder)
    if os.path.lexists(folder):
        raise AuditError(f"{tamed(folder)} is there already; an adapter is a folder of its own, so name a new one")
    beside = folder.with_name(f".{folder.name[:40]}.{secrets.token_hex(4)}.part")
    beside.mkdir()
    try:
        save_tensors(beside / "adapter_model.safetensors", adapter.tensors, {"format": "pt"})
        write_whole(beside / ADAPTER_CONFIG, json.dumps(adapter.settings, indent=2, sort_keys=True) + "\n")
        os.rename(beside, folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def _reduced(stack: LowRank, plan: Plan, weights: Tensor | None, rank: int, used: Sequence[Adapter]) -> NewAdapter:
    assert stack.layout is not None
    tensors: dict[str, Tensor] = {}
    lost = 0.0
    edges = [0]
    for _, columns in stack.layout.slices():
        edges.append(columns.stop)
    for name, (start, stop) in zip(stack.layout.names, pairwise(edges), strict=True):
        if name in used[0].plain:
            tensors[name] = _plain(stack, plan, name, start, stop).to(used[0].plain[name].dtype)
            continue
        like = (stack.base or used[0]).layers[name]
        if weights is None:
            total = _whole(_column_sum(stack, plan, name, start, stop).reshape(like.shape))
        else:
            total = _summed(stack, name, weights)
        B, A, gone = total.reduced(rank)
        lost = max(lost, gone)
        tensors |= _as_sent(like, A, B, rank)
    settings = {**_settings(stack, used), "r": rank, "lora_alpha": rank, "use_rslora": False}
    return NewAdapter(tensors=tensors, settings=settings, lost=lost)


def _summed(stack: LowRank, name: str, weights: Tensor) -> Sum:
    """The base's product and those of the clients, with what the weights leave of the base."""
    factors = [adapter.layers[name] for adapter in stack.adapters]
    shares = weights.tolist()
    if stack.base is not None:
        factors = [*factors, stack.base.layers[name]]
        shares = [*shares, 1 - sum(shares)]
    return Sum.of(factors, shares)


def _column_sum(stack: LowRank, plan: Plan, name: str, start: int, stop: int) -> Tensor:
    """What a rule makes of the columns of one layer, with the base on top."""
    block = plan.updates.read(start, stop)
    assert plan.kernel is not None
    aggregate = plan.kernel(block).double()
    return aggregate if stack.base is None else aggregate + stack.base_entries(name)


def _plain(stack: LowRank, plan: Plan, name: str, start: int, stop: int) -> Tensor:
    if plan.weights is None:
        row = _column_sum(stack, plan, name, start, stop)
    else:
        rows = plan.weights.nonzero().flatten()
        row = plan.weights[rows].double() @ plan.updates.read(start, stop, rows).double()
        row = row if stack.base is None else row + stack.base_entries(name)
    assert stack.layout is not None
    return row.reshape(stack.layout.shapes[stack.layout.names.index(name)])


def _whole(matrix: Tensor) -> Sum:
    """A matrix as a product: itself and the identity, of its smaller side."""
    out, width = matrix.shape
    if out <= width:
        return Sum(B=torch.eye(out, dtype=torch.float64), A=matrix)
    return Sum(B=matrix, A=torch.eye(width, dtype=torch.float64))


def _averaged(stack: LowRank, weights: Tensor) -> NewAdapter:
    """A and B of the clients averaged each by itself, which is no average of what they changed."""
    shares = weights.tolist()
    chosen = [(adapter, w) for adapter, w in zip(stack.adapters, shares, strict=True) if w != 0]
    total = sum(w for _, w in chosen)
    tensors: dict[str, Tensor] = {}
    for layer, like in chosen[0][0].layers.items():
        factors = [adapter.layers[layer] for adapter, _ in chosen]
        if len({(f.rank, f.scale) for f in factors}) > 1:
            raise AuditError(f"{tamed(layer)}: ranks or scales differ; A and B cannot be averaged: take --merge svd")
        A = torch.stack([f.A.double() * (w / total) for f, (_, w) in zip(factors, chosen, strict=True)]).sum(0)
        B = torch.stack([f.B.double() * (w / total) for f, (_, w) in zip(factors, chosen, strict=True)]).sum(0)
        tensors |= _as_sent(like, A, B, like.rank)
    assert stack.layout is not None
    for name, tensor in chosen[0][0].plain.items():
        if name not in stack.layout.names:
            continue
        values = [adapter.plain[name].double() * (w / total) for adapter, w in chosen]
        tensors[name] = torch.stack(values).sum(0).to(tensor.dtype)
    used = [adapter for adapter, _ in chosen]
    return NewAdapter(tensors=tensors, settings={**_settings(stack, used), **_scaling(used)}, lost=0.0)


def _as_sent(like: Factors, A: Tensor, B: Tensor, rank: int) -> dict[str, Tensor]:
    """Factors in the names, shapes and types of clients."""
    a_shape, (out, *kernel) = like.shapes
    a_name, b_name = like.names
    return {
        a_name: A.reshape(rank, *a_shape).to(like.A.dtype).contiguous(),
        b_name: B.reshape(out, *kernel, rank).movedim(-1, 1).to(like.B.dtype).contiguous(),
    }


_KEPT = (
    "peft_type",
    "task_type",
    "base_model_name_or_path",
    "target_modules",
    "bias",
    "fan_in_fan_out",
    "modules_to_save",
    "exclude_modules",
    "layers_to_transform",
    "layers_pattern",
    "layer_replication",
    "trainable_token_indices",
)


def _settings(stack: LowRank, used: Sequence[Adapter]) -> dict[str, Any]:
    """What the base says, or more than half of the accepted clients."""
    settings: dict[str, Any] = {"peft_type": "LORA"}
    for key in _KEPT:
        value = _said_by_most(used, key)[0] if stack.base is None else stack.base.settings.get(key)
        if value is not None:
            settings[key] = value
    return settings


_SCALING = ("r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern")


def _scaling(used: Sequence[Adapter]) -> dict[str, Any]:
    """Ranks and scales of factors that are alike, as more than half of the clients put them.

    Raises:
        AuditError: there is no such half.
    """
    found = {}
    for key in _SCALING:
        value, agreed = _said_by_most(used, key)
        if not agreed:
            raise AuditError(f"clients do not agree what {key} is: take --merge svd")
        if value is not None:
            found[key] = value
    return found


def _said_by_most(used: Sequence[Adapter], key: str) -> tuple[Any, bool]:
    """What more than half of the clients say of a setting, None of nothing, and whether there is such a half."""
    said = Counter(json.dumps(_in_order(adapter.settings.get(key)), sort_keys=True) for adapter in used)
    text, times = said.most_common(1)[0]
    agreed = 2 * times > len(used)
    return json.loads(text) if agreed else None, agreed


def _in_order(value: object) -> object:
    """A list of names in order: PEFT keeps sets of them, and writes each in the order that its process has them."""
    names = isinstance(value, list) and all(isinstance(name, str) for name in value)
    return sorted(value) if names and isinstance(value, list) else value
