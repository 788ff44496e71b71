"""`check_attack` catches attacks that do other than they say, and says which check it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
import torch
from torch import Tensor

import fedward as fw
from fedward import attacks
from fedward.attacks import View
from fedward.core import State
from fedward.stack import Dense, Updates, materialise
from fedward.testing import check_attack

TICK = count(1)


@dataclass(frozen=True, kw_only=True)
class Liar(attacks.Attack):
    """Sends what a function makes of the view."""

    rows: Callable[[View], Updates]
    knows: str = "all"

    def forge(self, view: View) -> Updates:
        return self.rows(view)


@dataclass(frozen=True, kw_only=True)
class Remembers(attacks.Attack):
    """Keeps what a function makes of its state."""

    keep: Callable[[State, Tensor], Any]
    declared = fw.Traits(history=True)

    def forge(self, view: View) -> Updates:
        return view.own

    def advance(self, view: View, forged: Tensor) -> State:
        kept: State = self.keep(view.state, forged)
        return kept


@dataclass(frozen=True, kw_only=True)
class Secretive(Remembers):
    """The same, and does not say that it remembers."""

    declared = fw.Traits(history=False)


def sent(view: View, rows: Tensor) -> Updates:
    return Dense(rows.to(view.own.dtype))


def honest_mean(view: View) -> Tensor:
    return materialise(view.honest).mean(0).expand(view.own.n, -1)


def own_mean(view: View) -> Tensor:
    return materialise(view.own).mean(0).expand(view.own.n, -1)


def overwritten(name: str, value: float) -> Callable[[View], Updates]:
    def rows(view: View) -> Updates:
        getattr(view, name).read(0, 1).fill_(value)
        return Dense(torch.ones(view.own.n, view.own.d, dtype=view.own.dtype))

    return rows


def doubled(name: str) -> Callable[[View], Updates]:
    def rows(view: View) -> Updates:
        getattr(view, name).read(0, view.own.d).mul_(2)
        return sent(view, honest_mean(view))

    return rows


def ticking(view: View) -> Updates:
    return Dense(torch.full((view.own.n, view.own.d), float(next(TICK)), dtype=view.own.dtype))


def late(view: View) -> Updates:
    """Peeks, but in later rounds alone."""
    return sent(view, honest_mean(view)) if view.context.round else view.own


def in_place(state: State, forged: Tensor) -> State:
    if "sum" in state:
        state["sum"].add_(1)
        return {"sum": state["sum"]}
    return {"sum": torch.zeros(1)}


LIARS: dict[str, tuple[attacks.Attack, str]] = {
    # knowledge
    "own, and peeks at honest rows": (
        Liar(rows=lambda v: sent(v, honest_mean(v)), knows="own"),
        "knowledge: it looks at honest rows",
    ),
    "own, and peeks at how large they are": (
        Liar(rows=lambda v: v.own.scale(v.honest.norms().max().expand(v.own.n)), knows="own"),
        "knowledge: it looks at honest rows",
    ),
    "own, and peeks in later rounds": (Liar(rows=late, knows="own"), "knowledge: it looks at honest rows"),
    "honest, and looks at its own": (
        Liar(rows=lambda v: sent(v, own_mean(v)), knows="honest"),
        "knowledge: it looks at the clients' own rows",
    ),
    "honest, and looks at all": (
        Liar(rows=lambda v: v.known("all").mix(torch.full((v.own.n, v.honest.n + v.own.n), 0.1)), knows="honest"),
        "knowledge: it looks at the clients' own rows",
    ),
    # inputs
    "overwrites honest rows": (Liar(rows=overwritten("honest", 7.0)), "rows alone: honest rows were modified"),
    "overwrites own rows": (Liar(rows=overwritten("own", 7.0)), "rows alone: own rows were modified"),
    "doubles honest rows": (
        Liar(rows=doubled("honest")),
        "rows alone: .*(modified|two calls with one seed differ|written to)",
    ),
    # chance
    "draws from the global generator": (
        Liar(rows=lambda v: sent(v, torch.rand(v.own.n, v.own.d))),
        "rows alone: two calls with one seed differ",
    ),
    "counts calls": (Liar(rows=ticking), "rows alone: two calls with one seed differ"),
    "counts calls from the second round on": (
        Liar(rows=lambda v: ticking(v) if v.context.round == 3 else v.own),
        "several rounds: two runs with one seed differ",
    ),
    # shape and dtype
    "one row too many": (
        Liar(rows=lambda v: Dense(torch.ones(v.own.n + 1, v.own.d, dtype=v.own.dtype))),
        "rows alone: .* forged 5 rows of 203 columns; it must return 4 rows of 203 columns",
    ),
    "one column too few": (
        Liar(rows=lambda v: Dense(torch.ones(v.own.n, max(v.own.d - 1, 1), dtype=v.own.dtype))),
        "rows alone: .* forged 4 rows of 202 columns; it must return 4 rows of 203",
    ),
    "one row for all": (
        Liar(rows=lambda v: Dense(torch.ones(1, v.own.d, dtype=v.own.dtype))),
        "rows alone: .* forged 1 rows of 203 columns; it must return 4 rows",
    ),
    "a vector": (Liar(rows=lambda v: torch.ones(v.own.d)), "rows alone: "),
    "whole numbers": (
        Liar(rows=lambda v: Dense(torch.ones(v.own.n, v.own.d, dtype=torch.int64))),
        "rows alone: TypeError: updates must be floating point, got torch.int64",
    ),
    "double precision, always": (
        Liar(rows=lambda v: Dense(torch.ones(v.own.n, v.own.d, dtype=torch.float64))),
        "rows alone: .*(dtype|float64)",
    ),
    "single precision, always": (
        Liar(rows=lambda v: Dense(torch.ones(v.own.n, v.own.d, dtype=torch.float32))),
        "rows alone: .*(dtype|float32)",
    ),
    # blocks
    "depends on blocks": (
        Liar(
            rows=lambda v: v.beside("all", lambda block: block.sum().expand(block.shape[1])).take(
                torch.full((v.own.n,), v.honest.n + v.own.n)
            )
        ),
        "rows alone: differ by",
    ),
    # memory
    "remembers in secret": (
        Secretive(keep=lambda state, forged: {"last": forged[0]}),
        "several rounds: it remembers, and does not say so: history",
    ),
    "remembers numbers": (
        Remembers(keep=lambda state, forged: {"rounds": 3}),
        "several rounds: its memory has something other than tensors",
    ),
    "changes its memory in place": (
        Remembers(keep=in_place),
        "several rounds: its memory was modified in place",
    ),
    "fails": (Liar(rows=lambda v: 1 / 0), "rows alone: ZeroDivisionError"),
}


@pytest.mark.parametrize("name", LIARS)
def test_caught(name: str) -> None:
    attack, words = LIARS[name]
    with pytest.raises(AssertionError, match=words):
        check_attack(attack)


def remembered(state: State, forged: Tensor) -> State:
    return {"rounds": state.get("rounds", torch.tensor(0)) + 1, "last": forged[0].clone()}


@pytest.mark.parametrize(
    "attack",
    [
        Liar(rows=lambda v: v.own),
        Liar(rows=lambda v: sent(v, own_mean(v)), knows="own"),
        Liar(rows=lambda v: sent(v, honest_mean(v)), knows="honest"),
        Liar(rows=lambda v: sent(v, torch.rand(v.own.n, v.own.d, generator=v.context.generator()))),
        Remembers(keep=remembered),
    ],
    ids=["own", "own mean", "honest mean", "seeded noise", "memory"],
)
def test_honest_ones_pass(attack: attacks.Attack) -> None:
    check_attack(attack)
    assert fw.testing.check_attack is check_attack


def test_an_attack_on_data_that_changes_the_batch_is_caught() -> None:
    """`poison` gets tensors of the training set's: what it writes there would stay."""

    @dataclass(frozen=True, kw_only=True)
    class Scribbles(attacks.Attack):
        def forge(self, view: View) -> Updates:
            return view.own

        def poison(self, batch: attacks.Batch, context: fw.Context) -> attacks.Batch:
            batch.labels.zero_()
            return batch

    with pytest.raises(AssertionError, match="modified"):
        check_attack(Scribbles())
