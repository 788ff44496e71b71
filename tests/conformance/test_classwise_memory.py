"""What the base rule of `ClassWise` remembers is of one class, whatever classes rounds are about."""

from __future__ import annotations

from collections.abc import Hashable

import pytest
import torch
from torch import Tensor

import fedward as fw
from fedward import mixers, rules
from fedward.core.state import within
from fedward.testing import QuadraticEvaluator

D, CLASSES = 8, (0, 1, 2)
BASES = [
    *(entry.build() for entry in fw.catalogue("rule", packaged=True) if entry.history and entry.name != "class-wise"),
    rules.FedSECA(momentum=0.5),
    rules.FLDetector(window=2, momentum=0.5),
    rules.DeMoA(base=rules.CenteredClipping(radius=1.0)),
    mixers.ClipNorm(radius="median") >> rules.FoolsGold(),
]


def rows_for(c: int, visit: int, n: int = 7) -> Tensor:
    """Rows of one class, which lie where those of no other do."""
    generator = torch.Generator().manual_seed(100 * visit + c)
    centre = torch.zeros(D, dtype=torch.float64)
    centre[c] = 4.0 * (-1) ** c
    return centre + 0.3 * torch.randn(n, D, generator=generator, dtype=torch.float64)


def evaluator(rule: fw.Rule) -> QuadraticEvaluator | None:
    return QuadraticEvaluator(D) if rule.traits().root_data else None


def in_turn(base: fw.Rule, classes: tuple[int, ...], visits: int) -> tuple[dict[int, list[Tensor]], fw.State]:
    """Outputs for each class, where rounds are about one class each: round 3 v + c is the v-th about class c."""
    aggregate = fw.Aggregator(rules.ClassWise(base=base, gamma=0.0))
    outputs: dict[int, list[Tensor]] = {c: [] for c in classes}
    for visit in range(visits):
        for c in CLASSES:
            aggregate.round = 3 * visit + c  # random choices and warm-ups go by the round
            if c in classes:
                result = aggregate(rows_for(c, visit), group=c, evaluator=evaluator(base))
                outputs[c].append(result.output)
    return outputs, aggregate.state


@pytest.mark.parametrize("base", BASES, ids=repr)
def test_a_class_is_aggregated_as_if_there_were_no_other(base: fw.Rule) -> None:
    together, state = in_turn(base, CLASSES, 4)
    for c in CLASSES:
        alone, memory = in_turn(base, (c,), 4)
        for visit, (a, b) in enumerate(zip(together[c], alone[c], strict=True)):
            assert torch.equal(a, b), f"class {c}, visit {visit}"
        part = f"base of {c}"
        assert within(state, part).keys() == within(memory, part).keys()


@pytest.mark.parametrize("base", BASES, ids=repr)
def test_in_rounds_of_several_classes_no_class_learns_from_another(base: fw.Rule) -> None:
    """A buffer is what the base rule made of a class: the same as where that class comes alone."""

    def go_on(aggregate: fw.Aggregator, classes: tuple[int, ...], visit: int) -> None:
        held: list[tuple[int, int]] = [(i, c) for c in classes for i in range(7)]
        rows = torch.cat([rows_for(c, visit) for c in classes])
        group: dict[Hashable, int] = {row: row[1] for row in held}
        aggregate(rows, ids=held, group=group, evaluator=evaluator(base))

    several = fw.Aggregator(rules.ClassWise(base=base))
    single = {c: fw.Aggregator(rules.ClassWise(base=base)) for c in (0, 2)}
    for visit in range(4):
        go_on(several, (0, 2), visit)
        for c, aggregate in single.items():
            go_on(aggregate, (c,), visit)
            name = f"class momentum of {c}"
            torch.testing.assert_close(several.state[name], aggregate.state[name], msg=f"{name}, visit {visit}")


def test_centred_clipping_reaches_the_centre_of_each_class() -> None:
    aggregate = fw.Aggregator(rules.ClassWise(base=rules.CenteredClipping(radius=1.0), gamma=0.0))
    for t in range(40):
        sign = (-1.0) ** (t % 2)
        output = aggregate(torch.full((5, 16), sign), group=t % 2).output
        if t >= 30:
            torch.testing.assert_close(output, torch.full((16,), sign))


def test_a_class_is_forgotten_as_a_whole() -> None:
    aggregate = fw.Aggregator(rules.ClassWise(base=rules.FLDetector(window=2), remember=2))
    for c in (5, 6, 7):
        aggregate(rows_for(0, c), group=c)
    names = {name.split("/")[0] for name in aggregate.state if "/" in name}
    assert names == {"base of 6", "base of 7"}
    # It comes back as a class that was never there.
    fresh = fw.Aggregator(rules.ClassWise(base=rules.FLDetector(window=2)))
    fresh.round = aggregate.round
    for each in (aggregate, fresh):
        each(rows_for(0, 9), group=5)
    again, new = (within(each.state, "base of 5") for each in (aggregate, fresh))
    assert again.keys() == new.keys()
    assert all(torch.equal(value, new[name]) for name, value in again.items())


def of_before(state: fw.State) -> dict[str, Tensor]:
    """As states were that had one memory of the base rule for all classes."""
    return {name.replace("base of 0/", "base/").replace("base of 1/", "base/"): v for name, v in state.items()}


@pytest.mark.parametrize("base", [rules.FLDetector(window=2), rules.CenteredClipping(radius=1.0)], ids=repr)
def test_a_state_with_one_memory_for_all_classes_goes_on_where_there_was_one_class(base: fw.Rule) -> None:
    straight, resumed = (fw.Aggregator(rules.ClassWise(base=base)) for _ in range(2))
    for t in range(8):
        if t == 4:
            saved = straight.state_dict()
            resumed.load_state_dict({**saved, "state": of_before(saved["state"])})
        group = 1 if t == 5 else None  # another class comes before the old one is there again
        a = straight(rows_for(0, t), group=group)
        if t >= 4:
            assert torch.equal(a.output, resumed(rows_for(0, t), group=group).output)
            assert straight.state.keys() == resumed.state.keys()


def test_a_memory_of_several_classes_in_one_is_nobody_s() -> None:
    aggregate = fw.Aggregator(rules.ClassWise(base=rules.CenteredClipping(radius=1.0), gamma=0.0))
    for c in (0, 1):
        aggregate(rows_for(c, 0), group=c)
    saved = aggregate.state_dict()
    aggregate.load_state_dict({**saved, "state": of_before(saved["state"])})
    output = aggregate(rows_for(0, 1), group=0).output
    torch.testing.assert_close(output, rules.CenteredClipping(radius=1.0)(rows_for(0, 1)))
    assert not within(aggregate.state, "base")
