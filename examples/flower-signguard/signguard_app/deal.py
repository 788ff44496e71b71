"""Deals the packaged images to the nodes of a deployment: ``python -m signguard_app.deal FOLDER --nodes 10``."""

import argparse
from pathlib import Path

import numpy as np

from .task import shard


def main() -> None:
    """One file a node: ``node-0.npz`` and so on, with ``inputs`` and ``labels``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--nodes", type=int, default=10)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for node in range(given.nodes):
        inputs, labels = shard(given.nodes, node)
        np.savez(given.folder / f"node-{node}.npz", inputs=inputs.numpy(), labels=labels.numpy())


if __name__ == "__main__":
    main()
