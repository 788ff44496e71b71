"""LASA on state dicts of several layers against its oracle."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import fedward as fw
from fedward import rules
from tests.oracles import election

SHAPES: list[dict[str, tuple[int, ...]]] = [
    {"a": (40,), "b": (50, 2), "c": (1,)},
    {"conv": (4, 3, 3, 3), "norm.bias": (4,), "fc": (17, 9)},
    {"one": (203,)},
]


def dicts(shapes: dict[str, tuple[int, ...]], seed: int, n: int = 11) -> list[dict[str, torch.Tensor]]:
    rng = np.random.default_rng(seed)
    base = {k: rng.normal(size=shape) for k, shape in shapes.items()}
    return [
        {k: torch.from_numpy(base[k] + rng.normal(size=shape) * rng.gamma(1.0)) for k, shape in shapes.items()}
        for _ in range(n)
    ]


def flat(stack: list[dict[str, torch.Tensor]]) -> np.ndarray:
    return np.array([np.concatenate([v.numpy().ravel() for v in one.values()]) for one in stack])


def ranges(shapes: dict[str, tuple[int, ...]]) -> list[tuple[int, int]]:
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()]).tolist()
    return list(zip([0, *ends[:-1]], ends, strict=True))


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.77])
@pytest.mark.parametrize("shapes", SHAPES)
def test_each_layer_is_judged_on_its_own(shapes: dict[str, tuple[int, ...]], sparsity: float) -> None:
    for seed in range(15):
        stack = dicts(shapes, seed)
        stack[2] = {k: -20 * v for k, v in stack[2].items()}
        expected = election.lasa(flat(stack), ranges(shapes), sparsity)
        result = fw.Aggregator(rules.LASA(sparsity=sparsity))(stack)
        np.testing.assert_allclose(result.output, expected, rtol=1e-6, atol=1e-9)
        selected = election.lasa_selected(flat(stack), ranges(shapes), sparsity)
        shares = [sum(i in kept for kept in selected) / len(selected) for i in range(len(stack))]
        np.testing.assert_allclose(result.scores["layers"], shares)
        assert result.accepted.tolist() == [share > 0 for share in shares]
        named = result.state_dict()
        assert {k: tuple(v.shape) for k, v in named.items()} == shapes


def test_layers_matter() -> None:
    stack = dicts(SHAPES[0], 0)
    stack[4]["a"] *= 50
    by_layer = fw.Aggregator(rules.LASA())(stack)
    at_once = fw.Aggregator(rules.LASA())(flat(stack))
    assert not np.allclose(by_layer.output, at_once.output)


def test_a_client_without_finite_rows_is_in_no_layer() -> None:
    stack = dicts(SHAPES[1], 0)
    without = fw.Aggregator(rules.LASA())(stack[:3] + stack[4:])
    stack[3]["fc"][0, 0] = torch.nan
    result = fw.Aggregator(rules.LASA())(stack)
    torch.testing.assert_close(result.output, without.output)
    assert result.reasons[3] is fw.Reason.NONFINITE
