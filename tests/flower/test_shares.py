"""Claims of examples are bounded, whoever makes them with whom, or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Array, Context, Message

from fedward.flower import RobustFedAvg, hostile
from fedward.flower.shares import capped

from .federation import NODES, InProcess, Quadratic, floats, liars, weights


def quiet(rule: str, **arguments: Any) -> RobustFedAvg:
    return RobustFedAvg(rule=rule, fraction_evaluate=0.0, **arguments)


def bisected(counts: list[float], most: float) -> list[float]:
    """The greatest limit that is kept, found by halving."""

    def kept(limit: float) -> bool:
        return limit <= most * sum(min(c, limit) for c in counts) * (1 + 1e-12)

    low, high = min(counts), max(counts)
    if kept(high):
        return counts
    if not kept(low):
        return [low] * len(counts)
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if kept(middle) else (low, middle)
    return [min(c, low) for c in counts]


@pytest.mark.parametrize("most", [0.1, 0.15, 0.3, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_cut_counts_are_those_found_by_halving(most: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    for counts in (
        generator.integers(1, 1000, 8).astype(float),
        np.array([1.0, 2.0, 3.0, 2.0**53]),
        np.array([2.0**53, 2.0**53, 2.0**53, 5.0, 7.0, 7.0]),
        np.full(4, 3.0),
        np.array([9.0]),
    ):
        found = capped(torch.tensor(counts), most)
        np.testing.assert_allclose(found.numpy(), bisected(counts.tolist(), most), rtol=1e-6)
        feasible = most * len(counts) >= 1
        assert float((found / found.sum()).max()) <= (most if feasible else 1 / len(counts)) * (1 + 1e-9)
        assert bool((found <= torch.tensor(counts)).all())


def claiming(number: float, *partitions: int, value: float | None = None) -> Any:
    """A mod whose nodes claim so many examples, and send nothing but one number if it is given."""

    def mod(message: Message, context: Context, call_next: Any) -> Message:
        reply = call_next(message, context)
        if liars(*partitions)(context):
            reply.content["metrics"]["num-examples"] = number
            if value is not None:
                record = reply.content["arrays"]
                for name, array in list(record.items()):
                    record[name] = Array(np.full(array.shape, value, np.float32))
        return reply

    return mod


def moved(rule: str, *mods: Any, **arguments: Any) -> float:
    """How far one round goes where honest nodes go 0.5 to 0.95."""
    strategy = quiet(rule, **arguments)
    result = strategy.start(InProcess(Quadratic([*mods], spread=0.0).app), floats(), num_rounds=1)
    return float(weights(result.arrays).mean())


@pytest.mark.parametrize(
    ("rule", "arguments"), [("mean:weighted=true", {}), ("mean", {"trust_examples": True})], ids=["rule", "trusted"]
)
def test_one_claim_is_worth_its_share_and_no_more(rule: str, arguments: dict[str, Any]) -> None:
    attack = claiming(2.0**53, 0, value=10.0)
    assert moved(rule, attack, max_share=1.0, **arguments) == pytest.approx(10.0)
    assert moved(rule, attack, max_share=0.2, **arguments) == pytest.approx(0.2 * 10 + 0.8 * 0.5)
    # With ten nodes no share can be below a tenth: all count the same.
    assert moved(rule, attack, max_share=0.01, **arguments) == pytest.approx((10 + 9 * 0.5) / 10)
    honest = [moved(rule, max_share=share, **arguments) for share in (0.2, 1.0)]
    assert honest[0] == honest[1]


@pytest.mark.parametrize(
    ("rule", "arguments"), [("mean:weighted=true", {}), ("mean", {"trust_examples": True})], ids=["rule", "trusted"]
)
def test_those_that_are_thrown_out_make_no_room_for_another(rule: str, arguments: dict[str, Any]) -> None:
    """Two claim as much as the third and send NaN: of all claims a third of these is little, of what is left all."""
    attack = [claiming(2.0**53, 0, value=10.0), claiming(2.0**53, 1, 2, value=float("nan"))]
    assert moved(rule, *attack, max_share=0.2, **arguments) == pytest.approx(0.2 * 10 + 0.8 * 0.5, rel=1e-6)


def test_size_weighted_and_clipped() -> None:
    rule = "clip-norm:radius=median >> mean:weighted=true"
    app = Quadratic([hostile.reply_mod("many-examples", liars(0)), claiming(1e12, 0, value=-1e6)], spread=0.0).app
    strategy = quiet(rule, max_share=0.3)
    result = strategy.start(InProcess(app), floats(), num_rounds=1)
    assert strategy.audits[0].kept == NODES
    assert weights(result.arrays) == pytest.approx(0.7 * 0.5 - 0.3 * 0.5, rel=1e-4)
    weight = [v.weight for v in strategy.audits[0].verdicts]
    assert max(weight[1:]) == weight[9]  # who claims more weighs more


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match=r"10\^12 would be the mean: say max_share=0\.3"):
        quiet("mean:weighted=true")
    with pytest.raises(ValueError, match="none count here"):
        quiet("mean", max_share=0.3)
    for share in (0, -1, 1.5, True, "half"):
        with pytest.raises(ValueError, match="0 < max_share <= 1"):
            quiet("mean:weighted=true", max_share=share)
