"""What rules that look at pairs of clients take in memory: a few matrices of n x n, whatever they do with them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from benchmarks.many_clients import measured, warm_up

N = 2000
# In matrices of n x n float64. Pieces of rows and what does not depend on n are about one of them for so few clients.
MOST = {
    "krum": 2.7,
    "multi-krum": 2.7,
    "monna": 2.7,
    "group-majority": 2.7,
    "nnm": 3.5,
    "rfa": 3.5,
    "geometric-median": 3.8,
    "fools-gold": 3.8,
    "flame": 4.5,
    "copoddos": 5.0,
    "centered-clipping": 2.0,
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    warm_up()
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", MOST)
def test_no_rule_takes_more_matrices_than_it_needs(name: str) -> None:
    found = measured(name, N, 20, limit=60)
    assert not isinstance(found, str), found
    _, _, extra = found
    assert extra / (8 * N * N) <= MOST[name]
