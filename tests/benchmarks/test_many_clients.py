"""What rules that look at pairs of clients take in memory: a few matrices of n x n, whatever they do with them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from benchmarks.many_clients import drawn, measured, needs_pairs, power, warm_up

N = 2000
# In matrices of n x n float64. For so few clients pieces of rows, and holes between them, are about one more.
MOST = {
    "krum": 3.2,
    "multi-krum": 3.2,
    "monna": 2.8,
    "group-majority": 2.8,
    "nnm": 4.0,
    "rfa": 4.1,
    "geometric-median": 4.7,
    "fools-gold": 4.2,
    "flame": 4.5,
    "copoddos": 5.3,
    "centered-clipping": 2.4,
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
    found = measured(name, drawn(N, 20), limit=60)
    assert not isinstance(found, str), found
    _, _, extra = found
    assert extra / (8 * N * N) <= MOST[name]


def test_clusters_of_features_take_no_matrix_at_all() -> None:
    n = 5000
    found = measured("sign-guard", drawn(n, 20), limit=60)
    assert not isinstance(found, str), found
    _, _, extra = found
    assert extra / (8 * n * n) <= 0.9


def test_which_rules_need_pairs_and_how_a_rule_grows() -> None:
    assert needs_pairs("krum")
    assert needs_pairs("nnm")
    assert needs_pairs("fedseca")
    assert not any(map(needs_pairs, ("median", "sign-guard", "ties", "clip-norm", "hierarchical")))
    assert power(2.0, 32.0, 4.0) == "2.0"
    assert power(0.0, 1.0, 4.0) == ""
