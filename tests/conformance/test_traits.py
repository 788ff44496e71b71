"""Traits: declared once, merged in one place, and nothing that a class says of itself is overlooked."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import pytest

import fedward as fw
from fedward import attacks, clients, mixers, rules
from fedward.core import WHOLE, Mixer, Traits, merged
from fedward.registry.traits import CLAIMS, MERGES
from fedward.testing import PROPERTIES
from fedward.testing.probes import PlainAttack, PlainClient, PlainMixer, PlainRule
from tests.conformance.test_wrappers import WRAPPERS

MARKS: dict[str, Any] = {
    "history": True,
    "bound": fw.Bound(3, 5),
    "definition": fw.Bound(1, 5),
    "passes": 7,
    "properties": frozenset({"scale"}),
    "in_memory": True,
    "root_data": True,
    "by_client": True,
    "server_rows": True,
    "selects": False,
    "judges": False,
    "recorded": ("mark",),
    "recalls": True,
    "starts": 12,
    "learns": 5,
    "hears_alarms": True,
    "diagonal": False,
    "keeps_clients": False,
    "extra_passes": 7,
    "protocol": True,
    "knows": "own",
    "sends": "gradient",
    "talks": True,
    "by_class": 3,
    "draw": "random",
}
"""A value of each trait that changes something when it is merged."""

PLAIN = replace(WHOLE, sends="delta")


@dataclass(frozen=True, kw_only=True)
class MarkedRule(PlainRule):
    """Has the traits that it is given."""

    given: Traits

    def traits(self) -> Traits:
        return self.given


@dataclass(frozen=True, kw_only=True)
class MarkedMixer(PlainMixer):
    """The same among mixers."""

    given: Traits

    def traits(self) -> Traits:
        return self.given


@dataclass(frozen=True, kw_only=True)
class MarkedAttack(PlainAttack):
    """The same among attacks."""

    given: Traits

    def traits(self) -> Traits:
        return self.given


@dataclass(frozen=True, kw_only=True)
class MarkedClient(PlainClient):
    """The same among client algorithms."""

    given: Traits

    def traits(self) -> Traits:
        return self.given


MARKED: dict[str, Any] = {"rule": MarkedRule, "mixer": MarkedMixer, "attack": MarkedAttack, "client": MarkedClient}


def test_there_is_a_mark_for_every_trait() -> None:
    assert MARKS.keys() == MERGES.keys() == {trait.name for trait in fields(Traits)}
    for name, mark in MARKS.items():
        assert mark != getattr(PLAIN, name)


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_every_wrapper_merges_every_trait(wrapper: str) -> None:
    make, kind = WRAPPERS[wrapper]
    plain = make(MARKED[kind](given=PLAIN))
    wrong = {}
    refused = []
    for name, mark in MARKS.items():
        if name == "selects" and "rejection" in wrapper:
            continue  # who is left out is told before the base rule is asked
        if name == "judges" and "after a filter" in wrapper:
            continue  # whom the filter drops is known, whatever follows
        if name == "learns" and "robust-tailor" in wrapper:
            continue  # of all rounds a rule sees those that it is drawn for: tests.redteam.test_played
        try:
            whole = make(MARKED[kind](given=replace(PLAIN, **{name: mark})))
        except ValueError as error:
            refused.append(str(error))
            continue
        found = getattr(whole.traits(), name)
        if found != expected(name, getattr(plain.traits(), name), kind, whole.kind):
            wrong[name] = found
    assert not wrong
    assert len(refused) <= 4
    assert all(MARKED[kind].__name__ in error for error in refused)


def expected(name: str, around_plain: Any, kind: str, whole: str) -> Any:
    """The trait of a whole around a part of this kind that bears the mark, from that around one that bears none."""
    if kind == "mixer" and whole == "rule" and name not in {"history", "by_client"}:
        return around_plain  # a mixer's matrix is a matter of the chain alone
    if name == "sends":
        return MARKS[name]
    if name == "passes" and kind == "rule":
        return None if around_plain is None else around_plain - PLAIN.passes + MARKS[name]
    return MERGES[name]([around_plain, MARKS[name]])


def test_what_a_mixer_reads_counts_in_its_chain() -> None:
    costly = MarkedMixer(given=replace(PLAIN, extra_passes=7))
    assert (costly >> rules.Mean()).traits().passes == 9
    assert (mixers.ClipNorm(radius=1.0) >> costly >> rules.Mean()).traits().passes == 9
    assert (costly >> costly).traits().extra_passes == 14


def test_the_traits_of_a_whole() -> None:
    one = Traits(recorded=("a", "b"), passes=3, knows="own", by_class=1, sends="delta")
    other = Traits(recorded=("b", "c"), passes=None, knows="honest", history=True)
    whole = merged(one, other)
    assert whole.recorded == ("a", "b", "c")
    assert whole.passes is None
    assert whole.knows == "all"
    assert whole.history
    assert whole.sends == "delta"
    assert whole.by_class == 1
    assert merged(WHOLE, one) == replace(one, bound=WHOLE.bound)


def test_each_claim_has_its_check() -> None:
    assert PROPERTIES.keys() == CLAIMS


# --- nothing is overlooked --------------------------------------------------------------------------------------

KINDS = {"rule": fw.Rule, "mixer": Mixer, "attack": attacks.Attack, "client": clients.Client}


@pytest.mark.parametrize("kind", KINDS)
def test_a_trait_that_is_not_declared_as_one_is_refused(kind: str) -> None:
    for name in MERGES:
        meant = "extra_passes" if (kind, name) == ("mixer", "passes") else name
        message = rf"^Mine\.{name} is a trait: write declared = fedward\.Traits\({meant}=\.\.\.\)"
        for body in (
            {name: True},
            {name: True, "__annotations__": {name: "ClassVar[bool]"}},
            {"__annotations__": {name: ClassVar[bool]}},
            {name: property(lambda component: True)},
        ):
            with pytest.raises(TypeError, match=message):
                type("Mine", (KINDS[kind],), body)
        if (kind, name) != ("attack", "knows"):
            with pytest.raises(TypeError, match=message):
                type("Mine", (KINDS[kind],), {name: 1, "__annotations__": {name: int}})


def test_what_an_attack_knows_may_be_a_parameter() -> None:
    assert attacks.ALIE().traits().knows == "honest"
    assert attacks.ALIE(knows="own").traits().knows == "own"
    assert attacks.SignFlip().traits().knows == "all"


@pytest.mark.parametrize("annotations", [{"declared": Traits}, {"declared": "Traits"}])
def test_traits_are_no_parameter(annotations: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"^Mine: write declared = fedward\.Traits\(\.\.\.\), without an annotation"):
        type("Mine", (fw.Rule,), {"declared": Traits(), "__annotations__": annotations})
    with pytest.raises(TypeError, match=r"^Mine: write declared"):
        type("Mine", (fw.Rule,), {"declared": {"history": True}})


def test_a_client_says_what_its_rows_are() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Silent(clients.Client):
        declared = Traits(talks=True)

    with pytest.raises(TypeError, match=r"^Silent does not say what its rows are: write declared = fedward\.Traits"):
        Silent()


def test_a_subclass_loses_no_trait_of_its_parent_silently() -> None:
    message = (
        r"^Mine: declared says nothing of bound, definition, properties, selects, which Krum declares: "
        r"write declared = dataclasses\.replace\(Krum\.declared, \.\.\.\), or say what it is here$"
    )
    with pytest.raises(TypeError, match=message):
        type("Mine", (rules.Krum,), {"declared": Traits(history=True)})
    kept = type("Mine", (rules.Krum,), {"declared": replace(rules.Krum.declared, history=True)})
    assert kept.declared.bound == rules.Krum.declared.bound
    assert kept.declared.history
    # A default that is said is meant, by `replace` too.
    type(
        "Mine",
        (rules.Krum,),
        {"declared": Traits(bound=fw.Bound(), definition=None, properties=frozenset(), selects=False)},
    )
    type("Mine", (rules.Krum,), {"declared": replace(rules.Krum.declared, bound=fw.Bound())})
    # A grandchild of one that declares nothing itself is held to what that one has.
    between = type("Between", (rules.Krum,), {})
    with pytest.raises(
        TypeError, match=r"declared says nothing of bound, definition, properties, selects, which Krum declares"
    ):
        type("Mine", (between,), {"declared": Traits(history=True)})


def test_traits_that_were_copied_are_what_they_were() -> None:
    declared = Traits(history=True, bound=fw.Bound(2, 3))
    for again in (copy.copy(declared), copy.deepcopy(declared), pickle.loads(pickle.dumps(declared))):
        assert again == declared
        assert again.given == declared.given == {"history", "bound"}
