"""A row that is lost while it is read reaches no output, whatever views it is seen through."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import fedward as fw
from fedward import mixers, rules
from fedward.core import BoundError, Plan
from fedward.distributed.sharded import ColumnRange
from fedward.stack import (
    Dense,
    Extended,
    Files,
    FromBase,
    Gathered,
    Joined,
    Offset,
    Rooted,
    RowsLostError,
    RowSource,
    Updates,
    lost_rows,
    materialise,
)
from fedward.stack.based import Origin

N, D, LOST = 7, 60, 2


def written(folder: Path) -> list[Path]:
    folder.mkdir(exist_ok=True)
    places = [folder / f"client-{k}.safetensors" for k in range(N)]
    for k, place in enumerate(places):
        save_file({"w": torch.randn(D, generator=torch.Generator().manual_seed(k))}, place)
    return places


def at(*rows: int) -> Tensor:
    return torch.tensor(rows)


def fixed(n: int) -> Dense:
    return Dense(torch.randn(n, D, generator=torch.Generator().manual_seed(50)))


def spread(block: Tensor) -> Tensor:
    return block.amax(0) - block.amin(0)


HALVES = torch.full((N,), 0.5, dtype=torch.float64)
ONES = Origin([torch.ones(D)], torch.float32)
MEMORY = [torch.ones(D) if k % 2 else None for k in range(N)]
# What is made of two stacks of the same files, and which of its rows are made of client 2's.
VIEWS: dict[str, tuple[Callable[[RowSource, RowSource], Updates], list[int]]] = {
    "itself": (lambda stack, _: stack, [2]),
    "taken": (lambda stack, _: stack.take(at(6, 2, 0, 1, 3, 4)), [1]),
    "taken of taken": (lambda stack, _: stack.take(at(6, 2, 0, 1, 3, 4)).take(at(1, 0, 2, 1, 4, 5, 3)), [0, 3]),
    "scaled": (lambda stack, _: stack.scale(HALVES), [2]),
    "taken of rooted": (lambda stack, _: Rooted(Rooted(stack.scale(HALVES)).take(at(0, 2, 4, 5, 6))), [1]),
    "renamed": (lambda stack, _: Rooted(stack, tuple("abcdefg")), [2]),
    "anchored": (lambda stack, _: stack.anchored(torch.ones(2, D)), [2]),
    "offset": (lambda stack, _: Offset(stack, MEMORY, shift=torch.ones(D), unit=0.5), [2]),
    "with a kernel's row": (lambda stack, _: Extended(stack, spread), [2, 7]),
    "above others": (lambda stack, _: Joined(stack, fixed(3)), [2]),
    "below others": (lambda stack, _: Joined(fixed(3), stack.take(at(1, 2, 3))), [4]),
    "joined": (lambda stack, other: Joined(stack, other), [2, 9]),
    "taken of joined": (lambda stack, other: Joined(stack, other).take(at(0, 2, 8, 9, 10, 11)), [1, 3]),
    "gathered": (lambda stack, _: Gathered([stack.scale(HALVES), stack.take(at(2, 5))]), [2, 7]),
    "from a base": (lambda stack, _: FromBase(stack, ONES).take(at(0, 2, 3, 4, 5)), [1]),
    "some columns": (lambda stack, _: ColumnRange(stack, 10, 20).take(at(5, 2, 3, 4, 6)), [1]),
}
RULES = [rules.Mean(), rules.Median(), rules.MultiKrum(f=0), mixers.NNM(f=1) >> rules.TrimmedMean(f=1)]


@pytest.mark.parametrize("rule", RULES, ids=repr)
@pytest.mark.parametrize("name", VIEWS)
def test_the_output_is_that_of_the_other_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, rule: fw.Rule
) -> None:
    make, gone = VIEWS[name]
    places, others = written(tmp_path / "a"), written(tmp_path / "b")
    whole = make(Files(places), Files(others))
    kept = [row for row in range(whole.n) if row not in gone]
    expected = fw.Aggregator(rule)(whole.take(at(*kept))).output
    view = make(Files(places), Files(others))
    execute = Plan.execute

    def meddled(plan: Plan) -> Tensor:
        for folder in (places, others):
            os.truncate(folder[LOST], 100)
        return execute(plan)

    monkeypatch.setattr(Plan, "execute", meddled)
    found = fw.Aggregator(rule)(view)
    assert torch.equal(found.output, expected)
    assert not found.accepted[gone].any()
    # The next time nobody is told any more, and what is known of the rows is from before.
    assert torch.equal(fw.Aggregator(rule)(view).output, expected)


@pytest.mark.parametrize("name", VIEWS)
def test_rows_of_a_view_are_marked_that_are_made_of_lost_ones(tmp_path: Path, name: str) -> None:
    make, gone = VIEWS[name]
    places, others = written(tmp_path / "a"), written(tmp_path / "b")
    view = make(Files(places), Files(others))
    for folder in (places, others):
        os.truncate(folder[LOST], 100)
    for _ in range(2 if "joined" in name else 1):
        with pytest.raises(RowsLostError) as told:
            materialise(view)
        assert set(told.value.among(view).nonzero().flatten().tolist()) <= set(gone)
    assert lost_rows(view).nonzero().flatten().tolist() == gone
    assert materialise(view).isnan().any(1).nonzero().flatten().tolist() == gone


def test_what_was_lost_before_is_left_out_by_every_rule(tmp_path: Path) -> None:
    places = written(tmp_path)
    stack = Files(places)
    stack.compute(*rules.MultiKrum(f=1).statistics({}, fw.Context()))
    os.truncate(places[LOST], 100)
    with pytest.raises(RowsLostError):
        stack.check_unwritten()
    others = Files([place for k, place in enumerate(places) if k != LOST])
    for rule in RULES:
        assert torch.equal(rule(stack), rule(others))


def test_a_mix_is_made_of_all_rows(tmp_path: Path) -> None:
    places = written(tmp_path)
    stack = Files(places)
    stack.gram()
    os.truncate(places[LOST], 100)
    with pytest.raises(BoundError, match="every one of the 7 clients"):
        fw.Aggregator(rules.Median())(stack.mix(torch.eye(N)))
