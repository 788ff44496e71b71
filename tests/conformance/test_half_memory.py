"""Memories that outputs add up in follow them where rows are in half precision, too."""

from __future__ import annotations

import pytest
import torch

import fedward as fw
from fedward import mixers, rules

D = 6
HALF = [torch.bfloat16, torch.float16]
SLOW = [
    rules.FedSECA(momentum=0.98, sparsity=None),
    rules.CenteredClipping(radius=0.01),
    rules.SequentialCenteredClipping(radius=0.01),
    mixers.NNM(f=1) >> rules.CenteredClipping(radius=0.01),
    rules.ClassWise(base=rules.FedSECA(momentum=0.98, sparsity=None), gamma=0.9),
]


@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("rule", SLOW, ids=repr)
def test_a_slow_memory_arrives(rule: fw.Rule, dtype: torch.dtype) -> None:
    half, single = fw.Aggregator(rule), fw.Aggregator(rule)
    rows = torch.ones(5, D)
    for _ in range(300):
        a, b = half(rows.to(dtype)), single(rows)
    assert a.output.dtype == dtype
    torch.testing.assert_close(b.output, torch.ones(D), rtol=1e-2, atol=0)
    torch.testing.assert_close(a.output.float(), b.output, rtol=1e-2, atol=0)


@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_a_buffer_is_what_the_base_rule_made_however_much_is_mixed_in(dtype: torch.dtype) -> None:
    """What is left of the output without the others' average is rounded 1 / (1 - gamma) times as coarsely."""
    aggregate = fw.Aggregator(rules.ClassWise(base=rules.Median(), gamma=0.999))
    generator = torch.Generator().manual_seed(0)
    for t in range(6):
        rows = (1 + torch.rand(5, D, generator=generator)).to(dtype)
        aggregate(rows, group=t % 2)
        kept = aggregate.state[f"class momentum of {t % 2}"]
        torch.testing.assert_close(kept, rows.float().median(0).values)


def test_a_state_in_half_precision_goes_on() -> None:
    aggregate = fw.Aggregator(rules.FedSECA(momentum=0.9, sparsity=None))
    rows = torch.ones(5, D).bfloat16()
    aggregate(rows)
    saved = aggregate.state_dict()
    saved["state"] = {name: value.bfloat16() for name, value in saved["state"].items()}
    aggregate.load_state_dict(saved)
    for _ in range(100):
        output = aggregate(rows).output
    torch.testing.assert_close(output.float(), torch.ones(D), rtol=1e-2, atol=0)


def test_the_server_s_momentum_in_fldetector_follows_its_steps() -> None:
    half = fw.Aggregator(rules.FLDetector(window=2, momentum=0.99))
    rows = torch.ones(5, D).bfloat16()
    for _ in range(600):
        half(rows)
    torch.testing.assert_close(half.state["steps"][-1], torch.full((D,), 100.0), rtol=1e-2, atol=0)
