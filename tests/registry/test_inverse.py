"""`describe` and `parse` are inverse, for every component and whatever its annotations say that its parameters take."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import fedward as fw
from fedward.registry.bounds import Above, AtLeast, AtMost, Below, Limit
from fedward.registry.entries import Entry
from fedward.registry.notation import recipe
from fedward.registry.parameters import Parameter

ENTRIES = {entry.name: entry for entry in fw.catalogue(packaged=True) if entry.is_component}
DEEPEST = 2
AWKWARD = [
    "3",
    "none",
    "True",
    "-inf",
    "inf",
    "a,b",
    "a >> b",
    "(",
    ")",
    "(a)",
    "a|b",
    "it's",
    "'",
    '"',
    "x='a",
    " a",
    "",
]
TEXT = st.sampled_from(AWKWARD) | st.text(st.characters(codec="utf-8"), max_size=6)

# Where parameters are bound by one another, not each by itself.
TOGETHER: Mapping[str, Mapping[str, st.SearchStrategy[Any]]] = {
    "label-flip": {"source": st.just(1), "target": st.just(2)},
    "local-sgd": {"steps": st.none(), "momentum": st.just(0.0)},
    "maximise": {"attack": st.just(fw.attacks.Deviation()), "over": st.just("gamma"), "bounds": st.just((-1.5, 20))},
    "robust-tailor": {"probabilities": st.none()},
    "torch-schedule": {"of": st.just("StepLR"), "arguments": st.just("step_size=3, gamma=0.5")},
    "sign-guard-sim": {"warmup": st.none() | st.integers(1, 99) | st.just("3 epochs")},
    "sign-guard-dist": {"warmup": st.none() | st.integers(1, 99) | st.just("3 epochs")},
}


def values(takes: Any, depth: int) -> st.SearchStrategy[Any]:
    """Values of an annotation."""
    origin, inner = get_origin(takes), get_args(takes)
    if origin is Annotated:
        return within(inner[0], inner[1:]) if inner[0] in (int, float) else values(inner[0], depth)
    if origin in (Union, UnionType):
        return st.one_of([values(part, depth) for part in inner])
    if origin is Literal:
        return st.sampled_from(inner)
    if origin is type:
        return st.nothing()
    if origin is tuple and inner[-1] is not Ellipsis:
        return st.tuples(*(values(part, depth) for part in inner))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return st.dictionaries(st.integers(0, 99), values(inner[1], depth), min_size=1, max_size=3)
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return st.lists(values(inner[0], depth), min_size=1, max_size=3).map(tuple)
    if isinstance(getattr(takes, "kind", None), str):
        return components(takes, depth + 1)
    plain = {bool: st.booleans(), str: TEXT, NoneType: st.none(), Hashable: st.integers(0, 99) | TEXT}
    return plain[takes] if takes in plain else within(takes, ())


def within(kind: type, bounds: Sequence[Any]) -> st.SearchStrategy[Any]:
    """Numbers within bounds."""
    lows = [b.limit for b in bounds if isinstance(b, AtLeast | Above)]
    highs = [b.limit for b in bounds if isinstance(b, AtMost | Below)]
    low, high = max(lows, default=-1e30), min([*highs, 1e30])
    if kind is int:
        return st.integers(int(low), int(min(high, 10**6)))
    drawn = st.floats(low, high) | st.integers(int(low) + 1, int(low) + 9)
    return drawn.filter(lambda x: all(b.holds(x) for b in bounds if isinstance(b, Limit)))


def arguments(entry: Entry, depth: int) -> st.SearchStrategy[dict[str, Any]]:
    own = TOGETHER.get(entry.name, {})
    drawn = {name: own.get(name, values(p.takes, depth)) for name, p in entry.parameters.items()}
    required = {name: drawn[name] for name, p in entry.parameters.items() if p.default is ... or name in own}
    return st.fixed_dictionaries(required, optional={k: v for k, v in drawn.items() if k not in required})


def fits(entry: Entry, given: dict[str, Any]) -> bool:
    try:
        entry.make(given)
    except ValueError:
        return False
    return True


def made(entry: Entry, depth: int) -> st.SearchStrategy[Any]:
    return arguments(entry, depth).filter(lambda given: fits(entry, given)).map(entry.make)


def components(cls: type, depth: int) -> st.SearchStrategy[Any]:
    """Components of a kind; simple ones where they are deep inside of others."""
    entries = [e for e in ENTRIES.values() if issubclass(e.cls, cls)]
    if depth > DEEPEST:
        entries = [e for e in entries if not any(p.components for p in e.parameters.values())]
    simple = st.sampled_from(entries).flatmap(lambda entry: made(entry, depth))
    if cls is not fw.Rule or depth > DEEPEST:
        return simple
    return simple | st.builds(
        lambda mixer, rule: mixer >> rule, components(fw.Mixer, depth + 1), st.just(fw.rules.Mean())
    )


@pytest.mark.parametrize("name", ENTRIES)
@settings(max_examples=15)
@given(st.data())
def test_what_is_described_is_parsed(name: str, data: st.DataObject) -> None:
    component = data.draw(made(ENTRIES[name], 0))
    text = fw.describe(component)
    again = fw.parse(text, component.kind)
    assert again == component
    assert fw.describe(again) == text
    assert recipe(text, component.kind).entry is ENTRIES[name]
    table = {key: getattr(component, key) for key in ENTRIES[name].parameters}
    if not any(value in AWKWARD for value in table.values()):  # text in a table is read like text elsewhere
        assert fw.parse({"name": name, **table}) == component


@settings(max_examples=40)
@given(st.lists(components(fw.Mixer, 1), min_size=1, max_size=3), components(fw.Rule, 1))
def test_chains_are_parsed_as_python_reads_them(before: list[Any], rule: Any) -> None:
    assume(not rule.traits().by_client or all(part.traits().keeps_clients for part in before))
    assume(not rule.links())
    chain = before[0]
    for part in [*before[1:], rule]:
        chain = chain >> part
    text = fw.describe(chain)
    assert fw.parse(text) == chain
    assert fw.describe(fw.parse(text)) == text


@pytest.mark.parametrize("text", AWKWARD)
def test_text_that_looks_like_something_else_stays_text(text: str) -> None:
    rule = fw.rules.MoNNA(f=1, pivot=text)
    inside = fw.rules.RobustTailor(rules=(rule, fw.rules.Delayed(base=rule)))
    for component in (rule, inside, fw.mixers.NNM(f=1) >> rule):
        assert fw.parse(fw.describe(component)) == component


def test_every_parameter_says_what_it_takes() -> None:
    """Otherwise the test above draws nothing of interest for it."""
    assert not [(e.name, p.name) for e in ENTRIES.values() for p in e.parameters.values() if p.takes is Any]
    assert isinstance(ENTRIES["krum"].parameters["f"], Parameter)
