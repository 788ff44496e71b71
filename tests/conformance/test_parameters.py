"""Every parameter of every component takes what its annotation says, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, fields
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import numpy as np
import pytest
import torch
from torch import nn

import fedward as fw
from fedward import attacks, clients, mixers, rules, sim
from fedward.data.partition import PARTITIONS
from fedward.registry.parameters import parameters_of

if TYPE_CHECKING:
    from nowhere import Unknown

MADE: dict[str, Any] = {e.name: e.build() for e in fw.catalogue(packaged=True) if e.is_component}
PARAMETERS = [(name, parameter.name) for name, made in MADE.items() for parameter in fields(made)]

# What no parameter takes, unless its annotation has one of the types beside it.
WRONG: dict[str, tuple[Any, set[Any]]] = {
    "text": ("zzz", {str, Hashable}),
    "a fraction": (0.5, {float, Hashable}),
    "NaN": (float("nan"), set()),
    "NumPy's NaN": (np.float32("nan"), set()),
    "None": (None, {NoneType, Hashable}),
    "true": (True, {bool, Hashable}),
    "NumPy's false": (np.False_, {bool, Hashable}),
    "a list": ([1, "zzz"], set()),
    "an object": (object(), {Hashable}),
    "a class": (int, {Hashable}),
    "a tensor": (torch.ones(2), {Hashable}),
    "a number that is none": (complex(1, 1), {Hashable}),
}


def remade(made: Any, name: str, value: Any) -> Any:
    """The component with another value of one parameter."""
    return type(made)(**{**{p.name: getattr(made, p.name) for p in fields(made)}, name: value})


def allowed(made: Any, name: str) -> set[Any]:
    hint = get_type_hints(type(made))[name]
    return {hint, *get_args(hint)}


def test_no_annotation_of_fedward_s_own_is_beyond_the_check() -> None:
    for made in MADE.values():
        for name, parameter in parameters_of(type(made)).items():
            assert parameter.takes is not Any, f"{type(made).__name__}.{name}"


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_a_value_of_another_type_is_refused_by_name(name: str, parameter: str) -> None:
    made = MADE[name]
    wrong = [value for value, types in WRONG.values() if not types & allowed(made, parameter)]
    if name == "non-finite":  # there it is what is asked for
        wrong.remove(WRONG["NaN"][0])
    for value in wrong:
        with pytest.raises(ValueError, match=rf"^{type(made).__name__}: {parameter} is .*got ") as caught:
            remade(made, parameter, value)
        assert repr(value) in str(caught.value)


@pytest.mark.parametrize("name", MADE)
def test_a_number_that_is_taken_has_traits(name: str) -> None:
    """Infinity is refused by name where nothing can be counted with it, and breaks nothing where it is taken."""
    for parameter in fields(MADE[name]):
        for value in (float("inf"), float("-inf"), 1e300):
            try:
                made = remade(MADE[name], parameter.name, value)
            except ValueError:
                continue
            assert made.traits() is not None
            if isinstance(made, fw.Rule):
                made.check(1000)


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_values_of_the_right_type_are_taken_and_kept_plain(name: str, parameter: str) -> None:
    made = MADE[name]
    value = getattr(made, parameter)
    others = {bool: np.bool_, int: np.int32, float: np.float64, str: np.str_, tuple: list}
    for other in (value, others[type(value)](value) if type(value) in others else value):
        again = remade(made, parameter, other)
        assert again == made
        assert hash(again) == hash(made)
        assert repr(again) == repr(made)  # checkpoints go by it


def test_whole_numbers_do_where_a_number_is_due() -> None:
    assert mixers.ClipNorm(radius=np.int64(2)) == mixers.ClipNorm(radius=2) == mixers.ClipNorm(radius=2.0)
    assert attacks.ALIE(z=1) == attacks.ALIE(z=1.0)
    assert fw.ServerSGD(lr=1) == fw.ServerSGD(lr=1.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rules.MultiKrum(f=1, m=2.5), "MultiKrum: m is a whole number of at least 1 or None, got 2.5"),
        (
            lambda: rules.MultiKrum(f=True),
            "MultiKrum: f is a whole number of at least 0 or a number above 0 and below 1, got True",
        ),
        (lambda: rules.SignGuard(clip="no"), "SignGuard: clip is true or false, got 'no'"),
        (lambda: rules.SignGuard(upper=True), "SignGuard: upper is a number of at least 0, got True"),
        (lambda: rules.SignGuardSim(variant="code"), "SignGuardSim: variant is one of paper, official, got 'code'"),
        (lambda: rules.FedSECA(vote="none"), "FedSECA: vote is one of crise, count, mass or None, got 'none'"),
        (lambda: rules.ClassWise(base=3), "ClassWise: base is a rule, got 3"),
        (
            lambda: rules.ClassWise(base=rules.Mean(), divisor=1.5),
            "of at least 1 or 'available', got 1.5",
        ),
        (
            lambda: rules.Delayed(base="krum"),
            r"Delayed: base is a rule, got 'krum'; fedward\.parse\('krum'\) makes one of text",
        ),
        (lambda: rules.Delayed(base=rules.Krum), "Delayed: base is a rule, got <class"),
        (lambda: rules.RobustTailor(rules=(rules.Mean(), "krum")), "rules is a list or tuple, each of it a rule, got"),
        (
            lambda: rules.RobustTailor(rules=(rules.Mean(),), probabilities=(True,)),
            "probabilities is a list or tuple, each of it a number or None",
        ),
        (lambda: mixers.NNM(f=1) >> rules.Mean(weighted=1), "Mean: weighted is true or false, got 1"),
        (lambda: fw.core.Chain(mixer=rules.Mean(), rule=rules.Mean()), "Chain: mixer is a mixer, got Mean"),
        (
            lambda: attacks.LabelFlip(source=0.5, target=1),
            "LabelFlip: source is a whole number of at least 0",
        ),
        (lambda: attacks.ByzMean(inner="alie"), "ByzMean: inner is an attack, got 'alie'; fedward.parse"),
        (
            lambda: attacks.Schedule({0.5: attacks.ALIE()}),
            "Schedule: attacks is a mapping from a whole number to an attack or a list",
        ),
        (lambda: attacks.Maximise(rules.Krum, over="f"), "attack is an attack or the class of an attack, got <class"),
        (lambda: attacks.Maximise(attacks.IPM, over="epsilon", bounds=(False, 2)), r"\(a number, a number\), got"),
        (lambda: clients.WorkerMomentum(inner=attacks.ALIE()), "WorkerMomentum: inner is a client algorithm, got ALIE"),
        (lambda: fw.ServerSGD(lr="0.1"), r"ServerSGD: lr is a number above 0 and of at most 3e\+38, got '0.1'"),
        (lambda: PARTITIONS["k-classes"](k=2.0), "KClasses: k is a whole number of at least 1, got 2.0"),
    ],
)
def test_what_the_error_says(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


# --- classes of other people's -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Forgetful(fw.Rule):
    """Has checks of its own, and does not call those of its base."""

    f: int = 1
    size: float = 1.0
    title: str | None = None
    where: Path = Path()
    unknown: Unknown | None = None

    def __post_init__(self) -> None:
        pass

    def decide(self, updates: fw.Updates, state: fw.State, context: fw.Context) -> fw.Plan:
        return fw.average_of(updates, torch.arange(updates.n))


@pytest.mark.parametrize(
    "wrong", [{"size": "one"}, {"size": True}, {"title": 3}, {"f": 0.5}, {"f": -1}, {"where": "x"}]
)
@pytest.mark.parametrize(
    "use",
    [
        lambda made: fw.Aggregator(made),
        lambda made: rules.Delayed(base=made),
        lambda made: rules.RobustTailor(rules=[rules.Mean(), rules.ClassWise(base=made)]),
        lambda made: mixers.NNM(f=1) >> made,
        lambda made: fw.parse(
            {"name": f"{__name__}.Forgetful", **{k: getattr(made, k) for k in ("f", "size", "title", "where")}}
        ),
    ],
    ids=["aggregator", "wrapper", "wrapped twice", "chain", "by name"],
)
def test_a_class_that_forgets_the_check_is_checked_where_it_is_used(
    wrong: dict[str, Any], use: Callable[[Any], object]
) -> None:
    use(Forgetful())
    use(Forgetful(title="a", size=2, where=Path("x")))
    with pytest.raises(ValueError, match=rf"^Forgetful: {next(iter(wrong))} "):
        use(Forgetful(**wrong))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rule": "krum"}, r"Simulation: rule is a rule, got 'krum'; fedward\.parse\('krum'\) makes one of text"),
        ({"rule": Forgetful(size="one")}, "Forgetful: size is a number, got 'one'"),  # type: ignore[arg-type]
        ({"rule": rules.Mean(), "attack": "alie"}, "Simulation: attack is an attack or None, got 'alie'"),
        ({"rule": rules.Mean(), "attack": rules.Mean()}, "Simulation: attack is an attack or None, got Mean"),
        ({"rule": rules.Mean(), "clients": 5}, "Simulation: clients is a client algorithm or None, got 5"),
        ({"rule": rules.Mean(), "server": 0.1}, "Simulation: server is a server or None, got 0.1"),
        ({"rule": rules.Mean(), "participation": "all"}, "Simulation: participation is a number, got 'all'"),
        ({"rule": rules.Mean(), "seed": 0.5}, "Simulation: seed is a whole number of at least 0, got 0.5"),
        ({"rule": rules.Mean(), "root": True}, "Simulation: root is a whole number, got True"),
    ],
)
def test_a_simulation_checks_what_it_is_made_of(wrong: dict[str, Any], message: str) -> None:
    split = sim.Split(inputs=torch.zeros(4, 1), labels=torch.arange(4))
    data = sim.federate(sim.Dataset(name="tiny", train=split, test=split, classes=4), clients=2)
    with pytest.raises(ValueError, match=message):
        fw.Simulation(model=nn.Linear(1, 4), data=data, **wrong)
    with pytest.raises(ValueError, match="Simulation: data is FederatedData, got None"):
        fw.Simulation(model=nn.Linear(1, 4), data=None, rule=rules.Mean())  # type: ignore[arg-type]


def test_a_rule_that_is_no_dataclass_has_no_parameters_to_check() -> None:
    class Mine(fw.Rule):
        def decide(self, updates: fw.Updates, state: fw.State, context: fw.Context) -> fw.Plan:
            return fw.average_of(updates, torch.arange(updates.n))

    fw.Aggregator(mixers.NNM(f=1) >> rules.Delayed(base=Mine(), start=0))(torch.ones(3, 2))


def test_names_that_only_a_type_checker_knows_are_taken_on_trust() -> None:
    assert parameters_of(Forgetful)["unknown"].takes is Any
    assert parameters_of(Forgetful)["size"].takes is float

    class Local:
        pass

    @dataclass(frozen=True, kw_only=True)
    class Mine(fw.Rule):
        thing: Local
        count: int = 1

        def decide(self, updates: fw.Updates, state: fw.State, context: fw.Context) -> fw.Plan:
            return fw.average_of(updates, torch.arange(updates.n))

    assert Mine(thing=3).count == 1  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Mine: count is a whole number, got 'one'"):
        Mine(thing=Local(), count="one")  # type: ignore[arg-type]
