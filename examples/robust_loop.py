"""A training loop of your own, made robust by one line.

``python examples/robust_loop.py``: ten clients have some images each, and two of them send gradients that are turned
around and ten times as long. The loop below is plain PyTorch but for ``aggregate``, which makes one gradient of ten.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

import fedward as fw
from fedward import rules, sim

CLIENTS = 10
STEPS = 150


def train(aggregate: Callable[[Tensor], Tensor], liars: int) -> float:
    """Accuracy in per cent after training, where the first so many clients lie."""
    torch.manual_seed(0)
    images = sim.load("fashion-mnist-subset")  # comes with the package
    inputs, labels = images.train.inputs[:], images.train.labels
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(STEPS):
        gradients = []
        for client in range(CLIENTS):
            own = torch.arange(client, len(labels), CLIENTS)  # every tenth image is this client's
            batch = own[torch.randint(len(own), (32,))]
            loss = nn.functional.cross_entropy(model(inputs[batch]), labels[batch])
            gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, [*model.parameters()])])
            gradients.append(-10 * gradient if client < liars else gradient)
        step = aggregate(torch.stack(gradients))  # (clients, parameters) in, (parameters,) out
        parts = step.split([parameter.numel() for parameter in model.parameters()])
        for parameter, part in zip(model.parameters(), parts, strict=True):
            parameter.grad = part.view_as(parameter)
        optimiser.step()
    with torch.no_grad():
        right = model(images.test.inputs[:]).argmax(1) == images.test.labels
    return 100 * float(right.double().mean())


def main() -> None:
    """Train three times, and say who was dropped."""
    torch.set_num_threads(1)
    robust = fw.Aggregator(rules.MultiKrum(f=2), seed=0)
    verdicts = []

    def guarded(gradients: Tensor) -> Tensor:
        verdicts.append(robust(gradients))
        return verdicts[-1].output

    print(f"{CLIENTS} clients, {STEPS} steps; accuracy after training")
    print(f"  nobody lies,  mean        {train(lambda G: G.mean(0), liars=0):5.1f} %")
    print(f"  two lie,      mean        {train(lambda G: G.mean(0), liars=2):5.1f} %")
    print(f"  two lie,      Multi-Krum  {train(guarded, liars=2):5.1f} %")
    dropped = sum(not verdict.accepted[:2].any() for verdict in verdicts)
    print(f"Multi-Krum dropped both liars in {dropped} of {STEPS} steps. What it said of the last one:")
    print(verdicts[-1].table())


if __name__ == "__main__":
    main()
