"""What the tests of plain functions share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

OWN = '''
from functools import partial
import numpy as np
import fedward as fw

def trim(G, f):
    """Trimmed mean."""
    return G.sort(0).values[f : len(G) - f].mean(0)

one = partial(trim, f=1)
krum = fw.rules.Krum(f=2)

@fw.rule(numpy=True, minimum=3)
def quantile(G, q: float = 0.5):
    return np.quantile(G, q, axis=0)

@fw.attack
def back(honest, own, z: float = 2.0):
    return -z * honest.mean(0)

def load(count: int = 20):
    return count

def nothing():
    return 1

def noisy(honest, own):
    return own * 3
'''


@pytest.fixture(scope="module")
def functions_of_mine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A module of functions that somebody wrote, which can be imported."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "functions_of_mine.py").write_text(OWN)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield
