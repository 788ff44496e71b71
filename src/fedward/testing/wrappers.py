"""What every wrapper must do: a rule around rules, an attack around attacks, and so on, has the traits of its parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from ..attacks import Attack, Batch
from ..clients import Client
from ..core import Aggregator, Context, Mixer, Rule
from ..registry.component import Component
from ..stack import Dense
from .attacks import check_knowledge, looks_at
from .compare import close
from .probes import PROBES
from .rounds import attack_rounds
from .stacks import fewest, root_data, rows_of_both
from .suite import Check, CheckOutcome, OnFail, carry_out

Make = Callable[[Any], Component]

_ROUNDS = 16  # enough to leave a warm-up behind, and for every part of a schedule to have its turn
_TRAITS = {
    "rule": ("history", "root_data", "by_client", "server_rows"),
    "mixer": ("history",),
    "attack": ("history", "protocol"),
    "client": ("talks",),
}


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
    return carry_out(wrapper_checks(make, kind), on_fail)


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
    for trait in _TRAITS[part.kind]:
        _check_trait(trait, whole, bare, part)
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


def _check_trait(trait: str, whole: Component, bare: Component, part: Component) -> None:
    expected = getattr(bare, trait) or getattr(part, trait)
    found = getattr(whole, trait)
    assert found == expected, f"{trait} is {found}, and the part's is {getattr(part, trait)}"


def _check_more(whole: Component, bare: Component, part: Component) -> None:
    """What is no matter of a flag."""
    if isinstance(part, Client):
        assert isinstance(whole, Client)
        assert whole.by_class == part.by_class, f"by_class is {whole.by_class}, and the part's is {part.by_class}"
        assert whole.sends == part.sends, f"it sends a {whole.sends}, and its part a {part.sends}"
    elif isinstance(whole, Attack):
        assert isinstance(bare, Attack)
        assert isinstance(part, Attack)
        _check_knowledge(whole, part)
        _check_hooks(whole, bare, part)
    elif isinstance(whole, Mixer):
        assert isinstance(part, Mixer)
        # What it is only if every part is: the others are those of the plain one's whole.
        others = [other for other in getattr(bare, "parts", ()) if other not in PROBES["mixer"]]
        for trait in ("keeps_clients", "diagonal"):
            expected = getattr(part, trait) and all(getattr(other, trait) for other in others)
            assert getattr(whole, trait) == expected, f"{trait} is {getattr(whole, trait)}"
    else:
        assert isinstance(whole, Rule)
        recorded = {*getattr(bare, "recorded", ()), *getattr(part, "recorded", ())}
        assert set(whole.recorded) == recorded, f"recorded is {whole.recorded}, expected {sorted(recorded)}"
        if getattr(part, "passes", 0) is None:
            assert whole.passes is None, f"passes is {whole.passes}, and the part's grows with n"
        elif getattr(bare, "passes", None) is not None:
            assert whole.passes is not None, "passes is None, and those of its parts are known"
        _check_play(whole)


# --- rules --------------------------------------------------------------------------------------------------


def _check_play(rule: Rule) -> None:
    """Some rounds, held against what it says of itself."""
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
        assert rule.history or not aggregator.state, "it remembers, and does not say so: history"
        if result.weights is not None and not rule.server_rows:
            close(result.weights @ G, result.output)
        if rule.passes is not None:
            passes = updates.columns_read / d
            assert passes <= rule.passes, f"{passes:g} passes in round {round}, declared: {rule.passes}"
        seen |= result.scores.keys()
    assert seen >= set(rule.recorded), f"scores {sorted(set(rule.recorded) - seen)} are to be recorded, and never given"


# --- attacks ------------------------------------------------------------------------------------------------


def _check_knowledge(whole: Attack, part: Attack) -> None:
    """It goes by the rows that it says, and says so where these are the honest ones alone."""
    honest, own = rows_of_both(7, 4, 11)
    for round in attack_rounds(whole, honest, own, _ROUNDS):
        assert whole.history or not round.state, "it remembers, and does not say so: history"
    check_knowledge(whole, honest, own, _ROUNDS)
    if part.knows == "honest" and whole.knows != "honest":
        by_own = looks_at(whole, "own", honest, own, _ROUNDS)
        assert by_own, f"it goes by honest rows alone, as its part does, and knows is {whole.knows!r}"


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
