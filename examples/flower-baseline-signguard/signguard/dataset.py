"""Data: what fedward loads, dealt to the clients at random."""

from functools import cache

from fedward import sim


@cache
def load_data(name: str, path: str, clients: int, seed: int) -> sim.FederatedData:
    """A data set in as many shards as there are clients, all alike."""
    return sim.federate(sim.load(name, path or None), clients=clients, seed=seed)
