"""What rules remember of clients is bounded, and who comes regularly is never forgotten."""

from __future__ import annotations

import io
from collections.abc import Hashable
from dataclasses import fields, replace
from typing import Any
from zlib import crc32

import numpy as np
import pytest
import torch

import fedward as fw
from fedward import mixers, rules
from fedward.core.state import key, updated
from fedward.testing import QuadraticEvaluator

D, NEW, LIMIT = 7, 5, 8
REGULARS: list[Hashable] = ["anna", 0, "0"]


def bounded(rule: fw.Rule, limit: int = LIMIT) -> fw.Rule:
    """The rule with a short memory, that of the rules in it included."""
    changes: dict[str, Any] = {}
    for parameter in fields(rule):  # type: ignore[arg-type]  # rules are dataclasses
        value = getattr(rule, parameter.name)
        if parameter.name == "remember":
            changes["remember"] = limit
        elif isinstance(value, fw.Rule):
            changes[parameter.name] = bounded(value, limit)
        elif isinstance(value, tuple) and value and all(isinstance(part, fw.Rule) for part in value):
            changes[parameter.name] = tuple(bounded(part, limit) for part in value)
    return replace(rule, **changes)  # type: ignore[type-var]


REMEMBERING = [
    *(
        entry.build()
        for entry in fw.catalogue("rule", packaged=True)
        if entry.cls.declared.history or entry.cls.declared.by_client
    ),
    rules.FLDetector(window=2, momentum=0.5),
    rules.SIREN(rollback="printed"),
    rules.FedSECA(momentum=0.5),
    rules.ClassWise(base=rules.FoolsGold()),
    rules.Delayed(base=rules.FLDetector(window=2), start=2),
    rules.RobustTailor(rules=(rules.FoolsGold(), rules.RFFL(warmup=1), rules.FLDetector(window=2))),
    mixers.ClipNorm(radius="median") >> rules.FoolsGold(),
    mixers.SequentialBucketing(s=2) >> rules.ClassWise(base=rules.Median()),
]


def go_on(aggregate: fw.Aggregator, t: int, ids: list[Hashable], group: int | None = None) -> fw.Result[torch.Tensor]:
    """Round t: everybody's row depends on its id and the round alone."""
    seeds = [crc32(f"{client!r} {t}".encode()) for client in ids]
    rows = torch.stack([1 + torch.from_numpy(np.random.default_rng(s).normal(size=D)) for s in seeds])
    messages = {client: {"alarm": t % 3 == 0 and client == "anna", "num-examples": 5} for client in ids}
    evaluator = QuadraticEvaluator(D) if aggregate.rule.traits().root_data else None
    return aggregate(rows, ids=ids, messages=messages, evaluator=evaluator, group=t if group is None else group)


def newcomers(t: int) -> list[Hashable]:
    return [f"new {t}, {k}" for k in range(NEW)]


def size(state: fw.State) -> tuple[int, int]:
    """How many entries there are, and how many numbers in them."""
    return len(state), sum(value.numel() for value in state.values())


@pytest.mark.parametrize("rule", REMEMBERING, ids=repr)
def test_memory_is_bounded_whoever_comes(rule: fw.Rule) -> None:
    aggregate = fw.Aggregator(bounded(rule))
    rounds = max(20 * LIMIT // NEW, 3 * getattr(rule, "window", 1) + 6)  # RobustTailor may draw a rule late
    sizes = []
    for t in range(rounds):
        go_on(aggregate, t, [*REGULARS, *newcomers(t)])
        sizes.append(size(aggregate.state))
    half = rounds // 2
    assert max(n for n, _ in sizes) == max(n for n, _ in sizes[:half]), "more and more entries"
    assert max(d for _, d in sizes) == max(d for _, d in sizes[:half]), "more and more numbers"


# New clients of RFFL start with the average of all that it remembers, so its reputations depend on them.
SEPARATE = [rule for rule in REMEMBERING if "RFFL" not in repr(rule) and "remember" in repr(rule)]


@pytest.mark.parametrize("rule", SEPARATE, ids=repr)
def test_who_comes_regularly_is_remembered_bit_for_bit(rule: fw.Rule) -> None:
    short, long = fw.Aggregator(bounded(rule, 3 * LIMIT)), fw.Aggregator(bounded(rule, 10_000))
    for t in range(36):  # twelve of each class, which have a memory each
        ids = [*REGULARS[: 1 + t % 3], *newcomers(t)[:3]]
        go_on(short, t, ids, group=t % 3)
        go_on(long, t, ids, group=t % 3)
        for name, value in long.state.items():
            if any(name.endswith(f" of {client!r}") for client in REGULARS) and "last seen" not in name:
                assert torch.equal(short.state[name].nan_to_num(), value.nan_to_num()), f"{name} in round {t}"
    assert len(short.state) < len(long.state) or not rule.traits().by_client


def test_rffl_keeps_whom_it_removed_as_long_as_they_come() -> None:
    aggregate = fw.Aggregator(rules.RFFL(warmup=2, decay=0.5, remember=4))
    honest = torch.ones(3, D)
    for t in range(12):
        ids: list[Hashable] = ["liar", "anna", f"new {t}", f"newer {t}"]
        result = aggregate(torch.cat([-honest[:1], honest]), ids=ids)
        if t > 6:
            assert result.reasons[0] is fw.Reason.DISTRUSTED
    # And it comes back as a new client where others pushed it out.
    for t in range(2):
        aggregate(honest, ids=["anna", f"flood {t}", f"flooder {t}"])
    assert key("reputation", "liar") not in aggregate.state
    assert aggregate(torch.cat([-honest[:1], honest]), ids=["liar", "anna", "x", "y"]).accepted[0]


@pytest.mark.parametrize("rule", [r for r in REMEMBERING if "remember" in repr(r)], ids=repr)
def test_resuming_while_forgetting_is_bitwise_the_same(rule: fw.Rule) -> None:
    straight, resumed = fw.Aggregator(bounded(rule)), fw.Aggregator(bounded(rule))
    for t in range(8):
        if t in (2, 5):
            buffer = io.BytesIO()
            torch.save(straight.state_dict(), buffer)
            buffer.seek(0)
            resumed.load_state_dict(torch.load(buffer, weights_only=True))
        ids = [*REGULARS[t % 3 :], *newcomers(t)]
        a, b = go_on(straight, t, ids), go_on(resumed, t, ids)
        assert torch.equal(a.output, b.output)
        if t >= 2:
            assert straight.state.keys() == resumed.state.keys()


def entries(state: fw.State) -> set[str]:
    return {name.removeprefix("row of ") for name in state if name.startswith("row of ")}


def seen(state: fw.State, clients: list[Hashable], limit: int = 3) -> dict[str, torch.Tensor]:
    rows = {key("row", client): torch.zeros(1) for client in clients}
    return updated(state, rows, clients, limit)


def test_the_least_recently_seen_go_first() -> None:
    state = seen(seen(seen({"other": torch.ones(1)}, ["a"]), ["b"]), ["c"])
    state = seen(state, ["a"])
    assert entries(seen(state, ["d"])) == {"'c'", "'a'", "'d'"}
    assert entries(seen(state, ["d", "e"])) == {"'a'", "'d'", "'e'"}
    assert entries(seen(state, ["d", "e", "f", "g"])) == {"'d'", "'e'", "'f'", "'g'"}, "those of the round all stay"
    assert "other" in seen(state, ["d", "e", "f", "g"])


def test_of_those_seen_last_in_one_round_order_does_not_decide() -> None:
    first, second = seen({}, ["a", "b", "c"]), seen({}, ["c", "b", "a"])
    assert entries(seen(first, ["x"])) == entries(seen(second, ["x"]))
    assert len(entries(seen(first, ["x"]))) == 3


def test_names_that_look_like_entries_are_names() -> None:
    state = seen({}, ["x of y", "y", "last seen of z"], limit=3)
    assert entries(seen(state, ["y"], limit=3)) == {"'x of y'", "'y'", "'last seen of z'"}
    assert entries(seen(state, ["new"], limit=1)) == {"'new'"}


@pytest.mark.parametrize("cls", [rules.FoolsGold, rules.RFFL, rules.FLDetector, rules.SIREN, rules.ClippedClustering])
def test_a_memory_of_nobody_is_refused(cls: type[fw.Rule]) -> None:
    with pytest.raises(ValueError, match="at least 1, got 0"):
        cls(remember=0)  # type: ignore[call-arg]
