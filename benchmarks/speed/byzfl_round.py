"""One round of training with ByzFL's own clients and server, as its command line runs them."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.speed.parts import part

SHARD = 200  # samples of each client: 10,000 dealt to 50


class SignGuardCNN(nn.Sequential):
    """The network of our simulator's benchmark: 51,710 parameters."""

    def __init__(self) -> None:
        widths, sizes, paddings = (1, 8, 16, 32), (5, 3, 3), (0, 1, 1)
        layers: list[nn.Module] = []
        for k in range(3):
            layers += [nn.Conv2d(widths[k], widths[k + 1], sizes[k], padding=paddings[k]), nn.ReLU(), nn.MaxPool2d(2)]
        layers.append(nn.Flatten())
        for before, after in ((288, 120), (120, 84)):
            layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(0.5)]
        super().__init__(*layers, nn.Linear(84, 10))


def _loader(samples: int, batch: int) -> Any:
    data = torch.utils.data.TensorDataset(torch.randn(samples, 1, 28, 28), torch.randint(10, (samples,)))
    return torch.utils.data.DataLoader(data, batch_size=batch, shuffle=True)


class Rounds:
    """Federations with ByzFL's aggregators, by their names."""

    def __init__(self) -> None:
        self.going: dict[str, Federation] = {}

    def start(self, clients: int, byzantine: int, batch: int, aggregators: list[str]) -> dict[str, Any]:
        """Make them."""
        self.going = {name: Federation(clients, byzantine, batch, name) for name in aggregators}
        return {}

    def step(self, name: str) -> dict[str, Any]:
        """One round of one of them."""
        start = time.perf_counter()
        self.going[name].step()
        return {"seconds": time.perf_counter() - start}


class Federation:
    """ByzFL's honest clients, attacker (ALIE's formula) and server.

    Samples are noise, their number and shape those of the packaged Fashion-MNIST.
    """

    def __init__(self, clients: int, byzantine: int, batch: int, aggregator: str) -> None:
        framework = part("byzfl", "fed_framework")
        # ByzFL finds its models by name among its own.
        part("byzfl", "fed_framework.models").SignGuardCNN = SignGuardCNN  # type: ignore[attr-defined]
        torch.manual_seed(0)
        common = {"model_name": "SignGuardCNN", "device": "cpu", "learning_rate": 0.1, "weight_decay": 5e-4}
        common |= {"optimizer_name": "SGD", "milestones": [], "learning_rate_decay": 1.0}
        of_client = {"loss_name": "CrossEntropyLoss", "LabelFlipping": False, "nb_labels": 10, "momentum": 0.0}
        of_client |= {"store_per_client_metrics": False}
        # Every step of an epoch has a full batch, as in our rounds.
        loaders = [_loader(SHARD // batch * batch or batch, batch) for _ in range(clients - byzantine)]
        self.clients = [framework.Client({**common, **of_client, "training_dataloader": one}) for one in loaders]
        arguments = {} if aggregator == "Average" else {"f": byzantine}
        rule = {"aggregator_info": {"name": aggregator, "parameters": arguments}, "pre_agg_list": []}
        test = {"test_loader": _loader(100, 100), "optimizer_params": {"momentum": 0.9}}
        self.server = framework.Server({**common, **test, **rule})
        attack = {"name": "ALittleIsEnough", "f": byzantine, "parameters": {"tau": 0.3}}
        self.attacker = framework.ByzantineClient(attack)
        self._hand_out()

    def step(self) -> None:
        """One round."""
        for client in self.clients:
            client.compute_gradients()
        honest: list[Tensor] = [client.get_flat_gradients_with_momentum() for client in self.clients]
        self.server.update_model_with_gradients(honest + self.attacker.apply_attack(honest))
        self._hand_out()

    def _hand_out(self) -> None:
        model = self.server.get_dict_parameters()
        for client in self.clients:
            client.set_model_state(model)
