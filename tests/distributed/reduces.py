"""What processes do with the robust all-reduce, with DDP, with sharded tensors, and what they do wrong."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard
from torch.nn.parallel import DistributedDataParallel

import fedward as fw
from fedward import rules
from fedward.distributed import Sharded, robust_all_reduce, robust_hook
from fedward.stack import Files

SHAPES = ((7, 11), (11,), (), (5, 3, 4))


def gradients(rank: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """What a process has: around a common direction, but the last of four, which is the other way and long."""
    common = torch.Generator().manual_seed(0)
    own = torch.Generator().manual_seed(rank + 1)
    sign = -20.0 if rank == 3 else 1.0
    rows = [torch.randn(s, generator=common) + 0.3 * torch.randn(s, generator=own) for s in SHAPES]
    return [(sign * row).to(dtype) for row in rows]


def matrix(dtype: torch.dtype = torch.float32, size: int = 4) -> Tensor:
    """The rows of all processes."""
    return torch.stack([torch.cat([g.reshape(-1) for g in gradients(rank, dtype)]) for rank in range(size)])


def raised(work: Any) -> str:
    """What it raises, as text."""
    try:
        work()
    except Exception as error:
        notes = " ".join(getattr(error, "__notes__", []))
        return f"{type(error).__name__}: {error} {notes}"
    return "nothing"


# --- good -----------------------------------------------------------------------------------------------------


def reduced(rank: int) -> dict[str, Any]:
    """Four processes, everything that works."""
    return {
        "in place": in_place(rank),
        "rounds": in_rounds(rank),
        "nan": with_nan(rank),
        "half": in_half(rank),
        "model": trained(rank, "model"),
        "bucket": trained(rank, "bucket"),
        "grid": on_a_grid(rank),
        "hostile": hostile(rank),
    }


def in_place(rank: int) -> dict[str, Any]:
    tensors = gradients(rank)
    strided = tensors[0].T.contiguous().T  # the tensor of the caller's, wherever its entries lie
    tensors[0] = strided
    result = robust_all_reduce(tensors, rules.CGE(f=1))
    return {
        "written": torch.cat([tensor.reshape(-1) for tensor in tensors]),
        "output": result.output,
        "accepted": result.accepted.tolist(),
        "state": {name: tuple(value.shape) for name, value in result.state_dict().items()},
        "same": tensors[0] is strided,
    }


def in_rounds(rank: int) -> list[Tensor]:
    """Centred clipping remembers, each process its columns."""
    aggregator = fw.Aggregator(rules.CenteredClipping(radius=2.0), seed=5)
    outputs = []
    for _ in range(3):
        tensor = matrix()[rank].clone()
        robust_all_reduce(tensor, aggregator)
        outputs.append(tensor)
    assert len(aggregator.state["previous"]) < matrix().shape[1]
    return outputs


def with_nan(rank: int) -> dict[str, Any]:
    tensors = gradients(rank)
    if rank == 1:
        tensors[1][3] = torch.nan
    result = robust_all_reduce(tensors, rules.TrimmedMean(f=1))
    return {"reasons": [str(reason) for reason in result.reasons], "output": result.output}


def in_half(rank: int) -> dict[str, Any]:
    mixed = [g.to(torch.bfloat16) if k else g for k, g in enumerate(gradients(rank))]
    robust_all_reduce(mixed, rules.Median())
    alone = gradients(rank, torch.bfloat16)
    result = robust_all_reduce(alone, rules.Median())
    return {"types": [str(tensor.dtype) for tensor in mixed], "alone": result.output, "dtype": str(alone[0].dtype)}


# --- DDP ------------------------------------------------------------------------------------------------------

STEPS = 4


class Crossed(nn.Module):
    """Layers in another order than they are used in: DDP deals out other buckets after the first pass."""

    def __init__(self) -> None:
        super().__init__()
        self.last, self.first, self.middle = nn.Linear(40, 3), nn.Linear(20, 40), nn.Linear(40, 40)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.last(self.middle(self.first(inputs).relu()).relu())


def network() -> nn.Module:
    torch.manual_seed(0)
    return Crossed()


def batch(rank: int, step: int) -> tuple[Tensor, Tensor]:
    """The last process learns from wrong labels."""
    generator = torch.Generator().manual_seed(100 * step + rank)
    inputs = torch.randn(16, 20, generator=generator)
    labels = inputs[:, :3].argmax(1)
    return inputs, (labels + 1) % 3 if rank == 3 else labels


def trained(rank: int, scope: str) -> dict[str, Any]:
    """Some steps by DDP, whose buckets are small; and the verdicts."""
    # Seven kilobytes of parameters in buckets of two.
    model = DistributedDataParallel(network(), bucket_cap_mb=0.002)
    rule = rules.CenteredClipping(radius=0.1) if scope == "model" else rules.Median()
    hook = robust_hook(fw.Aggregator(rule, seed=1), scope=scope)
    model.register_comm_hook(None, hook)
    verdicts = []
    for step in range(STEPS):
        model.zero_grad()
        inputs, labels = batch(rank, step)
        nn.functional.cross_entropy(model(inputs), labels).backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.sub_(0.5 * parameter.grad)
        verdicts.append(len(hook.results))
    return {"row": torch.cat([p.detach().reshape(-1) for p in model.parameters()]), "verdicts": verdicts}


# --- sharded tensors --------------------------------------------------------------------------------------------


def on_a_grid(rank: int) -> dict[str, Any]:
    """Two clients, each of which is two processes with half of the row."""
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("client", "part"))
    client, part = mesh.get_local_rank("client"), mesh.get_local_rank("part")
    group = mesh["client"].get_group()
    rows = [gradients(0)[0], -3 * gradients(1)[0]]
    half = torch.chunk(rows[client], 2)[part].clone()
    tensor = DTensor.from_local(half, mesh["part"], [Shard(0)], shape=(7, 11), stride=(11, 1))
    result = robust_all_reduce([tensor], fw.Aggregator(rules.Huber(threshold=1.0)), group=group)
    whole = torch.cat([half.new_empty(0, 11), tensor.full_tensor()])

    refused = {}
    for name, placement in (("replicated", Replicate()), ("partial", Partial())):
        wrong = DTensor.from_local(half, mesh["part"], [placement])
        refused[name] = raised(lambda wrong=wrong: robust_all_reduce([wrong], rules.Median(), group=group))
    refused["mixed"] = raised(lambda: robust_all_reduce([tensor, half], rules.Median(), group=group))
    flat = DTensor.from_local(half, mesh, [Replicate(), Shard(0)])
    refused["two dimensions"] = raised(lambda: robust_all_reduce([flat], rules.Median(), group=group))
    return {"whole": whole, "weights": result.weights.tolist(), "refused": refused}


# --- wrong ------------------------------------------------------------------------------------------------------


def hostile(rank: int) -> dict[str, str]:
    """What each process is told where one does something else; after each, all of them are in step again."""
    odd = rank == 2
    told = {}

    def attempt(name: str, work: Any) -> None:
        told[name] = raised(work)
        tensor = torch.full((5,), float(rank))
        robust_all_reduce(tensor, rules.Mean())
        assert tensor.tolist() == [1.5] * 5

    attempt("shapes", lambda: robust_all_reduce(gradients(rank)[: 3 if odd else 4], rules.Mean()))
    attempt(
        "dtypes", lambda: robust_all_reduce(torch.ones(9).to(torch.float64 if odd else torch.float32), rules.Mean())
    )
    attempt("rules", lambda: robust_all_reduce(torch.ones(9), rules.Median() if odd else rules.Mean()))
    attempt("seeds", lambda: robust_all_reduce(torch.ones(9), fw.Aggregator(rules.DnC(f=1), seed=int(odd))))
    attempt(
        "integers", lambda: robust_all_reduce(torch.ones(9).to(torch.int64 if odd else torch.float32), rules.Mean())
    )
    attempt("nothing", lambda: robust_all_reduce([], rules.Mean()))
    attempt("too few", lambda: robust_all_reduce(torch.ones(9), rules.Krum(f=2)))
    attempt("too narrow", lambda: robust_all_reduce(torch.ones(3), rules.Mean()))
    attempt("no gradient", lambda: robust_all_reduce([None] if odd else [torch.ones(9)], rules.Mean()))
    attempt("columns", lambda: Sharded.of_rows(torch.ones(9 + odd)))
    attempt("ids", lambda: Sharded.of_rows(torch.ones(9), ids=["a"] if odd else None))
    attempt("same id", lambda: Sharded.of_rows(torch.ones(9), ids=["a"]))
    stack = Sharded.of_rows(torch.randn(9) + rank)
    attempt("statistics", lambda: stack.norms() if odd else stack.gram())
    attempt("weights", lambda: rules.CGE(f=int(odd))(stack))
    attempt("own rule", lambda: Stumbling(fails=odd)(stack))
    return told


@dataclass(frozen=True, kw_only=True)
class Stumbling(fw.Rule):
    """Fails on one process."""

    fails: bool

    def decide(self, updates: fw.Updates, state: fw.State, context: fw.Context) -> fw.Plan:
        if self.fails:
            raise OSError("the disk is full")
        return fw.average_of(updates, fw.smallest(updates.norms(), 1))


def from_files(rank: int, folder: str) -> dict[str, Any]:
    """Checkpoints on a shared disk, of which each process reads its columns, and what they are changes from."""
    files = Files(sorted(Path(folder).glob("client*.safetensors")), base=Path(folder, "base.safetensors"))
    stack = Sharded.split(files)
    result = stack.gather(fw.Aggregator(rules.Median())(stack))
    return {"state": result.state_dict(), "passes": stack.columns_read / files.d}


# --- silent -----------------------------------------------------------------------------------------------------


def one_dies(rank: int) -> tuple[str, float]:
    """One process ends in the middle of a round."""
    stack = Sharded.of_rows(torch.ones(9) + rank)
    if rank == 1:
        os._exit(0)
    began = time.monotonic()
    return raised(lambda: rules.CGE(f=0)(stack)), time.monotonic() - began


def one_sleeps(rank: int, folder: str) -> tuple[str, float]:
    """One process does not say anything any more, until the other has given it up."""
    stack = Sharded.of_rows(torch.ones(9) + rank)
    given_up = Path(folder, "given up")
    if rank == 1:
        while not given_up.exists():
            time.sleep(0.1)
        return "", 0.0
    began = time.monotonic()
    why = raised(lambda: rules.CGE(f=0)(stack))
    given_up.touch()
    return why, time.monotonic() - began


def no_group() -> str:
    assert not dist.is_initialized()
    return raised(lambda: robust_all_reduce(torch.ones(9), rules.Mean()))
