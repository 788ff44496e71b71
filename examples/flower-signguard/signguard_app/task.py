"""Model and data: images of clothing that come with fedward, dealt to the nodes."""

from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from fedward import sim


def make_model() -> nn.Module:
    """One hidden layer, the same weights everywhere."""
    torch.manual_seed(0)
    return sim.build_model("mlp")


@cache
def load_data(nodes: int) -> sim.FederatedData:
    """10,000 training images in as many shards as there are nodes, and 2,000 to test with."""
    return sim.federate(sim.load("fashion-mnist-subset"), clients=nodes)


def shard(nodes: int, partition: int) -> tuple[Tensor, Tensor]:
    """A node's own images and labels."""
    data = load_data(nodes)
    return data.dataset.train.inputs[data.shards[partition]], data.dataset.train.labels[data.shards[partition]]


def read(path: str) -> tuple[Tensor, Tensor]:
    """Images and labels from a file that ``python -m signguard_app.deal`` made."""
    with np.load(path, allow_pickle=False) as file:
        return torch.from_numpy(file["inputs"]), torch.from_numpy(file["labels"])


def train(model: nn.Module, inputs: Tensor, labels: Tensor, lr: float, batch_size: int, seed: int) -> float:
    """One epoch of SGD; the last batch's loss."""
    optimiser = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    loss = torch.zeros(())
    for batch in order.split(batch_size):
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs[batch]), labels[batch])
        loss.backward()
        optimiser.step()
    return float(loss.detach())


@torch.inference_mode()
def accuracy(model: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    """Share of right answers."""
    return float((model(inputs).argmax(1) == labels).float().mean())
