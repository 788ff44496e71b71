"""What every wrapper must do: a rule around rules, an attack around attacks, and so on, has the traits of its parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..attacks import Attack, Batch, View
from ..clients import Client
from ..core import Aggregator, Context, Mixer, Rule, State, Traits
from ..registry.component import Component
from ..registry.traits import MERGES
from ..stack import Dense, materialise
from .compare import Named, close, equal
from .probes import PROBES
from .rounds import averaging
from .stacks import QuadraticEvaluator, fewest

Make = Callable[[Any], Component]

_ROUNDS = 16  # enough to leave a warm-up behind, and for every part of a schedule to have its turn
_WHETHER = tuple(name for name, merge in MERGES.items() if merge is any)  # what a whole has if one of its parts does


def check_wrapper(make: Make, kind: str = "rule") -> None:
    """Put parts of every kind into a wrapper, and see whether the whole says and does what follows from the part.

    ``check_wrapper(lambda rule: rules.Delayed(base=rule))``. A trait of the whole is one that the part has, or that the
    wrapper has around a plain part. A part may be refused instead, by a ValueError that names it.

    Args:
        make: from a part to the whole; of several parts the others should be plain.
        kind: of the part: "rule", "mixer", "attack" or "client".

    Raises:
        AssertionError: a trait is lost, or claimed without ground; the message names the part and the trait.
    """
    made = {part: whole for part in PROBES[kind] if (whole := _made(make, part)) is not None}
    assert made, f"not one {kind} is taken"
    bare = next(iter(made.values()))
    for part, whole in made.items():
        with Named(f"around {part!r}"):
            _check_traits(whole.traits(), bare.traits(), part.traits())
            _check_more(whole, bare, part)


def _made(make: Make, part: Component) -> Component | None:
    """The whole, None if it refuses the part."""
    try:
        return make(part)
    except ValueError as error:
        if type(part).__name__ not in str(error):
            raise AssertionError(f"{part!r} was refused without being named: {error}") from error
        return None


def _check_traits(whole: Traits, bare: Traits, part: Traits) -> None:
    """Those of any kind that follow from the part's and those around a plain part."""
    for name in _WHETHER:
        found, theirs = getattr(whole, name), getattr(part, name)
        assert found == (getattr(bare, name) or theirs), f"{name} is {found}, and the part's is {theirs}"
    recorded = {*bare.recorded, *part.recorded}
    assert set(whole.recorded) == recorded, f"recorded is {whole.recorded}, expected {sorted(recorded)}"
    if part.passes is None:
        assert whole.passes is None, "passes is known, and the part's grows with n"
    elif bare.passes is not None:
        assert whole.passes is not None, "passes is None, and those of its parts are known"


def _check_more(whole: Component, bare: Component, part: Component) -> None:
    """What is a matter of one kind."""
    has, theirs = whole.traits(), part.traits()
    if isinstance(part, Client):
        assert isinstance(whole, Client)
        assert has.by_class == theirs.by_class, f"by_class is {has.by_class}, and the part's is {theirs.by_class}"
        assert has.sends == theirs.sends, f"it sends a {has.sends}, and its part a {theirs.sends}"
    elif isinstance(whole, Attack):
        assert isinstance(bare, Attack)
        assert isinstance(part, Attack)
        _check_knowledge(whole, part)
        _check_hooks(whole, bare, part)
    elif isinstance(whole, Mixer):
        assert isinstance(part, Mixer)
        # What it is only if every part is: the others are those of the plain one's whole.
        others = [other.traits() for other in getattr(bare, "parts", ()) if other not in PROBES["mixer"]]
        for name in ("keeps_clients", "diagonal"):
            expected = getattr(theirs, name) and all(getattr(other, name) for other in others)
            assert getattr(has, name) == expected, f"{name} is {getattr(has, name)}"
    else:
        assert isinstance(whole, Rule)
        surplus = sorted(has.properties - theirs.properties) if isinstance(part, Rule) else []
        assert not surplus, f"properties has {surplus}, which its part does not claim"
        _check_play(whole)


# --- rules --------------------------------------------------------------------------------------------------


def _check_play(rule: Rule) -> None:
    """Some rounds, held against what it says of itself."""
    traits, n, d = rule.traits(), fewest(rule) + 5, 23
    aggregator, ids = Aggregator(rule), [f"client {i}" for i in range(n)]
    seen: set[str] = set()
    for round in range(_ROUNDS):
        generator = torch.Generator().manual_seed(round)
        G = 1 + torch.randn(n, d, generator=generator, dtype=torch.float64)
        updates = Dense(G, ids=ids, block=8)
        result = aggregator(updates, evaluator=QuadraticEvaluator(d) if traits.root_data else None)
        assert traits.history or not aggregator.state, "it remembers, and does not say so: history"
        if result.weights is not None and not traits.server_rows:
            close(result.weights @ G, result.output)
        if traits.passes is not None:
            passes = updates.columns_read / d
            assert passes <= traits.passes, f"{passes:g} passes in round {round}, declared: {traits.passes}"
        seen |= result.scores.keys()
    assert seen >= set(traits.recorded), (
        f"scores {sorted(set(traits.recorded) - seen)} are to be recorded, and never given"
    )


# --- attacks ------------------------------------------------------------------------------------------------


def _check_knowledge(whole: Attack, part: Attack) -> None:
    """It goes by the rows that it says, and says so where these are the honest ones alone."""
    generator = torch.Generator().manual_seed(0)
    honest = 1 + torch.randn(7, 11, generator=generator, dtype=torch.float64)
    own = 1 + torch.randn(4, 11, generator=generator, dtype=torch.float64)
    sent = _played(whole, honest, own)
    by_honest = not all(map(equal, sent, _played(whole, 3 - 2 * honest, own)))
    by_own = not all(map(equal, sent, _played(whole, honest, 3 - 2 * own)))
    knows = whole.traits().knows
    assert not (knows == "own" and by_honest), "it knows own rows alone, and goes by honest ones"
    assert not (knows == "honest" and by_own), "it knows honest rows alone, and goes by its clients' own"
    if part.traits().knows == "honest" and not by_own:
        assert knows == "honest", f"it goes by honest rows alone, as its part does, and knows is {knows!r}"


def _played(attack: Attack, honest: Tensor, own: Tensor) -> list[Tensor]:
    """What it sends in some rounds, with its memory."""
    state: State = {}
    sent = []
    for round in range(_ROUNDS):
        view = View(Dense(honest + round), Dense(own - round), Context(round=round), averaging, None, state)
        rows = materialise(attack.forge(view))
        after = attack.advance(view, rows)
        assert attack.traits().history or not after, "it remembers, and does not say so: history"
        sent.append(rows)
        state = after
    return sent


def _check_hooks(whole: Attack, bare: Attack, part: Attack) -> None:
    """What a part does besides sending rows is done by the whole, in some round at least."""
    rounds = [Context(round=round) for round in range(_ROUNDS)]
    labels = torch.arange(8) % 4
    batch = Batch(torch.zeros(8, 1, 2, 2), labels, classes=4, member=3, members=4)

    def differs(what: str, act: Callable[[Attack, Context], Any]) -> None:
        alone = any(act(part, context) != act(PROBES["attack"][0], context) for context in rounds)  # type: ignore[arg-type]
        within = any(act(whole, context) != act(bare, context) for context in rounds)
        assert alone == within, f"{what}: {'lost' if alone else 'changed'}"

    differs("what clients say", lambda attack, context: attack.say({}, context))
    differs("whether clients are present", lambda attack, context: attack.present(context))
    differs("poisoned data", lambda attack, context: attack.poison(replace(batch), context).labels.tolist())
    differs("what it is after", lambda attack, context: attack.aim(batch.inputs, labels, 4) is None)
