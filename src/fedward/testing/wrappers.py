"""What every wrapper must do: a rule around rules, an attack around attacks, and so on, has the traits of its parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from ..attacks import Attack, Batch
from ..clients import Client
from ..core import Aggregator, Context, Mixer, Rule, Traits
from ..registry.component import Component
from ..registry.traits import MERGES
from ..stack import Dense
from .attacks import check_knowledge, looks_at
from .compare import close
from .probes import PROBES, PlainAttack
from .rounds import attack_rounds
from .stacks import fewest, root_data, rows_of_both
from .suite import Check, CheckOutcome, OnFail, run_checks

Make = Callable[[Any], Component]

_ROUNDS = 16  # enough to leave a warm-up behind, and for every part of a schedule to have its turn
_WHETHER = tuple(name for name, merge in MERGES.items() if merge is any)  # what a whole has if one of its parts does


def check_wrapper(make: Make, kind: str = "rule", *, on_fail: OnFail = "raise") -> tuple[CheckOutcome, ...]:
    """Put parts of every kind into a wrapper, and see whether the whole says and does what follows from the part.

    ``check_wrapper(lambda rule: rules.Delayed(base=rule))``. A trait of the whole is one that the part has, or that the
    wrapper has around a plain part. A part may be refused instead, by a ValueError that names it.

    Args:
        make: from a part to the whole; of several parts the others should be plain.
        kind: of the part: "rule", "mixer", "attack" or "client".
        on_fail: "raise" an error, or "report" failures in what is returned.

    Raises:
        AssertionError: a trait is lost, or claimed without ground; the message has a line for each such part.
    """
    return run_checks(wrapper_checks(make, kind), on_fail)


def wrapper_checks(make: Make, kind: str = "rule") -> tuple[Check, ...]:
    """The suite of a wrapper, as data: one check for every part."""
    return (
        Check(name="takes parts", test=partial(_bare, make, kind)),
        *(Check(name=f"around {part!r}", test=partial(_check_around, make, part)) for part in PROBES[kind]),
    )


def _check_around(make: Make, part: Component) -> None:
    whole = _made(make, part)
    if whole is None:
        return
    bare = _bare(make, part.kind)
    _check_traits(whole.traits(), bare.traits(), part.traits())
    _check_more(whole, bare, part)


def _bare(make: Make, kind: str) -> Component:
    """The whole around the plainest part that it takes."""
    for part in PROBES[kind]:
        whole = _made(make, part)
        if whole is not None:
            return whole
    raise AssertionError(f"not one {kind} is taken")


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
        found = getattr(whole, name)
        theirs = getattr(part, name)
        assert found == (getattr(bare, name) or theirs), f"{name} is {found}, and the part's is {theirs}"
    recorded = {*bare.recorded, *part.recorded}
    assert set(whole.recorded) == recorded, f"recorded is {whole.recorded}, expected {sorted(recorded)}"
    if part.passes is None:
        assert whole.passes is None, "passes is known, and the part's grows with n"
    elif bare.passes is not None:
        assert whole.passes is not None, "passes is None, and those of its parts are known"


def _check_more(whole: Component, bare: Component, part: Component) -> None:
    """What is a matter of one kind."""
    has = whole.traits()
    theirs = part.traits()
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
        if theirs.history and has.history:
            _check_remembers(whole)


# --- rules --------------------------------------------------------------------------------------------------


def _check_play(rule: Rule) -> None:
    """Some rounds, held against what it says of itself."""
    traits = rule.traits()
    n = fewest(rule) + 5
    d = 23
    aggregator = Aggregator(rule)
    ids = [f"client {i}" for i in range(n)]
    seen: set[str] = set()
    for round in range(_ROUNDS):
        generator = torch.Generator().manual_seed(round)
        G = 1 + torch.randn(n, d, generator=generator, dtype=torch.float64)
        updates = Dense(G, ids=ids, block=8)
        result = aggregator(updates, evaluator=root_data(rule, d))
        assert traits.history or not aggregator.state, "it remembers, and does not say so: history"
        if result.weights is not None and not traits.server_rows:
            close(result.weights @ G, result.output)
        if traits.passes is not None:
            passes = updates.columns_read / d
            assert passes <= traits.passes, f"{passes:g} passes in round {round}, declared: {traits.passes}"
        seen |= result.scores.keys()
    never = sorted(set(traits.recorded) - seen)
    assert not never, f"scores {never} are to be recorded, and never given"


def _check_remembers(rule: Rule) -> None:
    """What its part remembers is kept, in some round at least."""
    aggregator = Aggregator(rule)
    n = fewest(rule) + 5
    for round in range(_ROUNDS):
        generator = torch.Generator().manual_seed(round)
        aggregator(torch.randn(n, 23, generator=generator, dtype=torch.float64), evaluator=root_data(rule, 23))
        if aggregator.state:
            return
    raise AssertionError("what its part remembers is lost: advance returned nothing in any round")


# --- attacks ------------------------------------------------------------------------------------------------


def _check_knowledge(whole: Attack, part: Attack) -> None:
    """It uses the rows that it says, and says so where these are the honest ones alone."""
    honest, own = rows_of_both(7, 4, 11)
    for round in attack_rounds(whole, honest, own, _ROUNDS):
        assert whole.traits().history or not round.state, "it remembers, and does not say so: history"
    check_knowledge(whole, honest, own, _ROUNDS)
    knows = whole.traits().knows
    if part.traits().knows == "honest" and knows != "honest":
        by_own = looks_at(whole, "own", honest=honest, own=own, rounds=_ROUNDS)
        assert by_own, f"it uses honest rows alone, as its part does, and knows is {knows!r}"


def _check_hooks(whole: Attack, bare: Attack, part: Attack) -> None:
    """What a part does besides sending rows is done by the whole, in some round at least."""
    rounds = [Context(round=round) for round in range(_ROUNDS)]
    labels = torch.arange(8) % 4
    batch = Batch(inputs=torch.zeros(8, 1, 2, 2), labels=labels, classes=4, member=3, members=4)

    def differs(what: str, act: Callable[[Attack, Context], Any]) -> None:
        alone = any(act(part, context) != act(PlainAttack(), context) for context in rounds)
        within = any(act(whole, context) != act(bare, context) for context in rounds)
        assert alone == within, f"{what}: {'lost' if alone else 'changed'}"

    differs("what clients say", lambda attack, context: attack.say({}, context))
    differs("whether clients are present", lambda attack, context: attack.present(context))
    differs("poisoned data", lambda attack, context: attack.poison(replace(batch), context).labels.tolist())
    differs("what it is after", lambda attack, context: attack.aim(batch.inputs, labels, 4) is None)
