"""Models: fedward's, the same weights everywhere at the start."""

import torch
from torch import nn

from fedward import sim


def make_model(name: str, seed: int) -> nn.Module:
    """A model by name, such as ``signguard-cnn``."""
    torch.manual_seed(seed)
    return sim.build_model(name)


@torch.inference_mode()
def accuracy(model: nn.Module, split: sim.Split) -> float:
    """Share of right answers."""
    model.eval()
    right = sum(
        int((model(inputs).argmax(1) == labels).sum())
        for inputs, labels in zip(split.inputs.split(1000), split.labels.split(1000), strict=True)
    )
    return right / len(split.labels)
