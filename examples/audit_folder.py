"""Which of these files are poisoned? An audit of a folder of checkpoints, and a model without the bad ones.

``python examples/audit_folder.py`` makes a folder first: ten clients fine-tune one model on images that come with the
package, one file each, and four of the files are bad. The same from a shell:
``fedward audit updates --base base.pt`` and ``fedward aggregate updates --base base.pt --rule sign-guard -o new.pt``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from fedward import rules, sim
from fedward.audit import ModelSource, run_aggregate, run_audit

State = dict[str, Tensor]


def network() -> nn.Module:
    """A small classifier."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10))


def trained(start: State, data: sim.Dataset, of: int, part: int) -> State:
    """A client's weights after a little training on its part of the images."""
    torch.manual_seed(part)
    model = network()
    model.load_state_dict(start)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05)
    inputs, labels = data.train.inputs[:][part::of], data.train.labels[part::of]
    for _ in range(30):
        loss = nn.functional.cross_entropy(model(inputs), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.state_dict()


def moved(start: State, end: State, factor: float) -> State:
    """The start, and so many times what a client changed."""
    return {name: start[name] + factor * (end[name] - start[name]) for name in start}


def make_folder(folder: Path, data: sim.Dataset) -> None:
    """Write ``base.pt`` and the clients' files."""
    torch.manual_seed(0)
    start = network().state_dict()
    torch.save(start, folder / "base.pt")
    (folder / "updates").mkdir()
    for client in range(10):
        end = trained(start, data, of=10, part=client)
        if client == 2:
            end = moved(start, end, -1.0)  # the other way
        elif client == 4:
            end = moved(start, end, 20.0)  # far too long
        elif client == 7:
            end["1.bias"][3] = torch.nan
        torch.save(end, folder / "updates" / f"client-{client}.pt")
    broken = folder / "updates" / "client-9.pt"
    broken.write_bytes(broken.read_bytes()[:5000])  # an upload that stopped


def accuracy(state: State, data: sim.Dataset) -> float:
    """Of a model on the test images, in per cent."""
    model = network()
    model.load_state_dict(state)
    with torch.no_grad():
        right = model(data.test.inputs[:]).argmax(1) == data.test.labels
    return 100 * float(right.double().mean())


def main() -> None:
    """Make the folder, audit it, aggregate it."""
    torch.set_num_threads(1)
    data = sim.load("fashion-mnist-subset")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_folder(folder, data)
        source = ModelSource(clients=[folder / "updates"], base=folder / "base.pt")
        audit = run_audit(source)  # five rules are asked; nothing pickled is run
        for client, reason in zip(audit.names, audit.reasons, strict=True):
            why = audit.details.get(client, "")
            print(f"{client}  {reason}" + (f": {why}" if why else ""))
        run_aggregate(source, rules.SignGuard()).save(folder / "new.pt")
        for what in ("base", "new"):
            weights = torch.load(folder / f"{what}.pt", weights_only=True)
            print(f"accuracy of {what}.pt: {accuracy(weights, data):.1f} %")


if __name__ == "__main__":
    main()
