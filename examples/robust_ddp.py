"""Data-parallel training that survives processes with wrong gradients, by one line: docs/how-to/distributed.md.

``torchrun --standalone --nproc-per-node 4 examples/robust_ddp.py`` trains a small network on images that come with the
package. A quarter of the processes, rounded down, turn their gradients around and make them ten times as long; of two
processes, none. ``--plain`` leaves the line out.
"""

from __future__ import annotations

import argparse

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import fedward as fw
from fedward import rules, sim
from fedward.distributed import robust_hook


def main() -> None:
    """Train, and say how well."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--plain", action="store_true", help="the mean, as DDP takes it")
    parser.add_argument("--steps", type=int, default=60)
    asked = parser.parse_args()

    dist.init_process_group("gloo")  # "nccl" on GPUs
    rank, processes = dist.get_rank(), dist.get_world_size()
    liars = processes // 4

    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = DistributedDataParallel(nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10)))
    hook = robust_hook(fw.Aggregator(rules.TrimmedMean(f=liars), seed=0))
    if not asked.plain:
        model.register_comm_hook(None, hook)

    images, labels, test_images, test_labels = data()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    own = torch.Generator().manual_seed(rank)
    for _ in range(asked.steps):
        chosen = torch.randint(len(images), (64,), generator=own)
        loss = nn.functional.cross_entropy(model(images[chosen]), labels[chosen])
        if rank < liars:
            loss = -10 * loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    with torch.no_grad():
        right = (model(test_images).argmax(1) == test_labels).double().mean()
    if rank == 0:
        print(f"{processes} processes, {liars} of them liars: accuracy {100 * float(right):.1f} %")
    dist.destroy_process_group()


def data() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images and labels to learn from, and to be tried on."""
    packaged = sim.load("fashion-mnist-subset")
    return packaged.train.inputs, packaged.train.labels, packaged.test.inputs, packaged.test.labels


if __name__ == "__main__":
    main()
