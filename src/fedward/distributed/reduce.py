"""`robust_all_reduce`: each process gives its tensors, all get the robust aggregate."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from ..core import Aggregator, Evaluator, Result, Rule
from ..stack import Layout
from .peers import Peers
from .sharded import Sharded, check_agreed

try:
    from torch.distributed.tensor import DTensor, Shard
except ImportError:  # before PyTorch 2.5
    from torch.distributed._tensor import DTensor, Shard  # type: ignore[attr-defined]


@torch.no_grad()
def robust_all_reduce(
    tensors: Tensor | Sequence[Tensor],
    rule: Rule | Aggregator,
    *,
    group: ProcessGroup | None = None,
    messages: Mapping[Hashable, Any] | None = None,
    evaluator: Evaluator | None = None,
) -> Result[Tensor]:
    """Replace the tensors of each process, in place, by the robust aggregate over all processes.

    Every process is a client, and its number in the group is its id; its row is its tensors one after the other, in
    the widest of their types. One all-to-all turns rows into columns, small sums decide, and the output is gathered.
    With d entries, n processes and b bytes an entry, each sends (n - 1) / n d b bytes twice, besides what the rule's
    statistics take.

    Tensors that are sharded already (`DTensor`, of FSDP2) stay so: processes of ``group`` hold the same part of the
    model, those of the tensors' own mesh the other parts of the same row, and all of them decide together.

    Args:
        tensors: of the same shapes and types on all processes.
        rule: a rule, without memory; or an aggregator, for rounds of their own seed and memory: the same on each.
        group: the processes that are clients; all of them if None.
        messages, evaluator: as for `fedward.Aggregator`, the same on all processes.

    Returns:
        The verdicts. Their output is the whole row, where tensors are sharded the part of this process.

    Raises:
        PeerError: another process failed, has other tensors or another rule, or does not answer. No tensor was
            written to.
        BoundError: too few processes for the rule, or too few whose row is finite; on all of them.
        TypeError, ValueError: tensors that cannot be aggregated.
    """
    aggregator = rule if isinstance(rule, Aggregator) else Aggregator(rule)
    given = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    peers = Peers(group)
    with peers.together():
        across = _mesh_groups(given)
        local = [tensor.to_local() if isinstance(tensor, DTensor) else tensor for tensor in given]
        row = _row_of(local)
        check_agreed(
            peers,
            {
                "tensors": [f"{tuple(tensor.shape)} {tensor.dtype}" for tensor in local],
                "rule": repr(aggregator.rule),
                "seed": aggregator.seed,
                "round": aggregator.round,
            },
        )
    layout = None if across else _layout_of(local)
    stack = Sharded.of_rows(row, layout=layout, group=group, across=across)
    result = aggregator(stack, messages=messages, evaluator=evaluator)
    output = stack.own_row(result.output)
    for tensor, part in zip(local, torch.split(output, [tensor.numel() for tensor in local]), strict=True):
        tensor.copy_(part.view(tensor.shape))
    return replace(result, output=output)


def _row_of(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors one after the other: (d,)."""
    if not tensors:
        raise ValueError("there is nothing to reduce: give at least one tensor")
    for k, tensor in enumerate(tensors):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"tensor {k} is {type(tensor).__name__}; a parameter without gradient has none to reduce")
        if tensor.layout != torch.strided or not tensor.is_floating_point():
            raise TypeError(
                f"tensor {k} is {tensor.dtype} in {tensor.layout}; the robust all-reduce takes dense floating point"
            )
    dtype = reduce(torch.promote_types, (tensor.dtype for tensor in tensors))
    parts = [tensor.reshape(-1).to(dtype) for tensor in tensors]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _layout_of(tensors: Sequence[Tensor]) -> Layout:
    return Layout.of({str(k): tensor for k, tensor in enumerate(tensors)}, buffers=None)


def _mesh_groups(tensors: Sequence[Tensor]) -> list[ProcessGroup]:
    """The group across whose processes every tensor is sharded; none where none is.

    Raises:
        TypeError: some are, or not in one way.
    """
    sharded = [tensor for tensor in tensors if isinstance(tensor, DTensor)]
    if not sharded:
        return []
    if len(sharded) < len(tensors):
        raise TypeError(
            "some tensors are DTensors and some are not: what lies whole on every process of a mesh would count once "
            "for each; shard all of them, or give full_tensor() of each"
        )
    mesh = sharded[0].device_mesh
    for k, tensor in enumerate(sharded):
        if tensor.device_mesh != mesh or mesh.ndim != 1:
            raise TypeError(
                f"DTensor {k} lies on {tensor.device_mesh}; all must be sharded over one mesh of one dimension, that "
                "of the model's parts: the clients are the processes of group="
            )
        if not isinstance(tensor.placements[0], Shard):
            raise TypeError(
                f"DTensor {k} has placement {tensor.placements[0]}; only Shard says that processes hold different "
                "columns: a replicated or partial gradient is a mean or a sum already"
            )
    return [mesh.get_group()]
