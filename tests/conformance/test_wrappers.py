"""Every wrapper around every kind of part: the whole has the traits of what it is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import pytest
import torch

import fedward as fw
from fedward import attacks, clients, mixers, rules, sim
from fedward.core import Chain
from fedward.registry.component import Component
from fedward.registry.parameters import parameters_of
from fedward.stack import Dense
from fedward.testing import check_wrapper
from fedward.testing.probes import PROBES

CHEAP = {"maximise": {"candidates": 2, "zooms": 0}}


def inside(annotation: Any, part: Component) -> list[Any]:
    """The values of a parameter of this type that hold the part: alone, and after a plain one."""
    plain = PROBES[part.kind][0]
    if "Mapping" in str(annotation):
        return [{0: part}, {0: plain, 5: part}, {5: part}]
    return [(part,), (plain, part)] if "tuple" in str(annotation) or "Sequence" in str(annotation) else [part]


def wrappers() -> dict[str, tuple[Callable[[Any], Component], str]]:
    """Every way to put a component into another one that fedward has, with the kind of what is put in."""
    found: dict[str, tuple[Callable[[Any], Component], str]] = {}
    for entry in (entry for kind in PROBES for entry in fw.catalogue(kind, packaged=True)):
        made = entry.build(**CHEAP.get(entry.name, {}))
        for name, parameter in parameters_of(entry.cls).items():
            for cls in parameter.components:
                if cls.kind not in PROBES:  # a schedule of learning rates has no traits that could be lost
                    continue
                for way in range(len(inside(parameter.takes, PROBES[cls.kind][0]))):

                    def make(
                        part: Any, made: Any = made, name: str = name, hint: Any = parameter.takes, way: int = way
                    ) -> Any:
                        kept = {p.name: getattr(made, p.name) for p in fields(made)}
                        return type(made)(**{**kept, name: inside(hint, part)[way]})

                    found[f"{entry.name}, {name}, {way}"] = (make, cls.kind)
    for mixer in fw.catalogue("mixer"):
        found[f"{mixer.name} before a rule"] = (lambda rule, entry=mixer: entry.build() >> rule, "rule")
    found["nnm >> clip-norm before a rule"] = (
        lambda rule: mixers.NNM(f=1) >> mixers.ClipNorm(radius=1.0) >> rule,
        "rule",
    )
    found["after a filter"] = (lambda rule: rules.CGE(f=1) >> rule, "rule")
    found["after a filter and a mixer"] = (lambda rule: rules.CGE(f=1) >> mixers.NNM(f=1) >> rule, "rule")
    found["after a filter with memory"] = (lambda rule: rules.SignGuardSim() >> rule, "rule")
    found["before the mean"] = (lambda mixer: mixer >> rules.Mean(), "mixer")
    found["a chain's mixer"] = (lambda mixer: Chain(mixer=mixer, rule=rules.Median()), "mixer")
    found["before a mixer"] = (lambda mixer: mixer >> mixers.NNM(f=1), "mixer")
    found["after a mixer"] = (lambda mixer: mixers.ClipNorm(radius=1.0) >> mixer, "mixer")
    return found


WRAPPERS = wrappers()


def test_all_that_take_components_are_found() -> None:
    names = {name.partition(",")[0] for name in WRAPPERS if "," in name}
    assert names == {
        *(
            "delayed",
            "class-wise",
            "hierarchical",
            "robust-tailor",
            "de-moa",
            "error-rate-rejection",
            "loss-rejection",
            "union-rejection",
        ),
        *("byz-mean", "sybils", "false-alarms", "silent-alarms", "schedule", "random-schedule", "groups", "maximise"),
        "virtual",
        *("worker-momentum", "siren-client", "augment"),
    }


@pytest.mark.parametrize("name", WRAPPERS)
def test_the_whole_has_the_traits_of_its_parts(name: str) -> None:
    check_wrapper(*WRAPPERS[name])


# --- the check itself catches what is lost ---------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Careless(fw.Rule):
    """Does what its part does, and says nothing of it."""

    base: fw.Rule
    lost: str

    def traits(self) -> fw.Traits:
        if self.lost == "nothing":
            return self.base.traits()
        return replace(self.base.traits(), **{self.lost: getattr(self.declared, self.lost)})

    def decide(self, updates: fw.Updates, state: fw.State, context: fw.Context) -> fw.Plan:
        return self.base.decide(updates, state, context)

    def advance(self, state: fw.State, plan: fw.Plan, output: torch.Tensor, context: fw.Context) -> fw.State:
        return self.base.advance(state, plan, output, context)


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("history", r"around Remembering\(\): history is False"),
        ("root_data", r"around AskingRootData\(\): root_data is False"),
        ("by_client", r"around KnowingClients\(\): by_client is False"),
        ("server_rows", r"around AddingItsOwn\(\): server_rows is False"),
        ("recorded", r"around OnRecord\(\): recorded is \(\), expected \['probe'\]"),
        ("passes", r"around ReadingAgain\(\): 4 passes in round 0, declared: 2"),
    ],
)
def test_a_trait_that_is_lost_is_named(lost: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_wrapper(lambda rule: Careless(base=rule, lost=lost))
    check_wrapper(lambda rule: Careless(base=rule, lost="nothing"))


@dataclass(frozen=True, kw_only=True)
class Mute(attacks.Sybils):
    """Forgets something of its part."""

    join: int = 0
    lost: str = ""

    def say(self, messages: Mapping[str, Any], context: fw.Context) -> Mapping[str, Any]:
        return messages if self.lost == "say" else super().say(messages, context)

    def poison(self, batch: attacks.Batch, context: fw.Context) -> attacks.Batch:
        return batch if self.lost == "poison" else super().poison(batch, context)

    def present(self, context: fw.Context) -> bool:
        return self.lost == "present" or super().present(context)

    def aim(self, inputs: torch.Tensor, labels: torch.Tensor, classes: int) -> Any:
        return None if self.lost == "aim" else super().aim(inputs, labels, classes)

    def traits(self) -> fw.Traits:
        return replace(super().traits(), knows="all") if self.lost == "knows" else super().traits()


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("say", "what clients say: lost"),
        ("poison", "poisoned data: lost"),
        ("present", "whether clients are present: lost"),
        ("aim", "what it is after: lost"),
        ("knows", "it uses honest rows alone, as its part does, and knows is 'all'"),
    ],
)
def test_what_an_attack_loses_is_named(lost: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_wrapper(lambda attack: Mute(inner=attack, lost=lost), "attack")
    check_wrapper(lambda attack: Mute(inner=attack), "attack")


# --- what follows from traits -----------------------------------------------------------------------------------


def test_what_is_recorded_is_recorded_under_any_wrapper() -> None:
    tailor = rules.RobustTailor(rules=(rules.SIREN(), rules.SIREN(threshold=0.2)))
    assert tailor.traits().recorded == rules.SIREN().traits().recorded
    assert rules.ErrorRateRejection(f=1, base=rules.FLAME(noise=0.5)).traits().server_rows


def test_a_rejection_gives_the_base_rule_s_scores_and_reasons() -> None:
    """Who was kept and is not chosen by the base rule did no harm; scores are those of the rows that were kept."""
    generator = torch.Generator().manual_seed(0)
    G = 1 + torch.randn(9, 12, generator=generator, dtype=torch.float64)
    evaluator = fw.testing.QuadraticEvaluator(12)
    rule = rules.LossRejection(f=2, base=rules.MultiKrum(f=1, m=3))
    result = fw.Aggregator(rule)(G, evaluator=evaluator)
    kept = [i for i, reason in enumerate(result.reasons) if reason is not fw.Reason.HARMFUL]
    assert len(kept) == 7
    inner = fw.Aggregator(rules.MultiKrum(f=1, m=3))(G[kept])
    assert [result.reasons[i] for i in kept] == list(inner.reasons)
    torch.testing.assert_close(result.scores["krum"][kept], inner.scores["krum"])
    assert result.scores["krum"].isnan().sum() == 2
    assert not result.scores["loss impact"].isnan().any()


@pytest.mark.parametrize("base", [rules.Mean(), rules.Median(), rules.Krum(f=1), rules.SignGuard()], ids=repr)
def test_rounds_of_several_classes_read_no_more_than_is_declared(base: fw.Rule) -> None:
    rule = rules.ClassWise(base=base)
    aggregator = fw.Aggregator(rule)
    for round in range(3):
        G = torch.randn(12, 64, generator=torch.Generator().manual_seed(round), dtype=torch.float64)
        updates = Dense(G, block=8)
        aggregator(updates, group={i: i % 2 for i in range(12)})
        passes = rule.traits().passes
        assert passes is not None
        assert updates.columns_read <= passes * updates.d


ALIE = attacks.ALIE()


@pytest.mark.parametrize(
    ("attack", "spared"),
    [
        (ALIE, True),
        (attacks.ByzMean(inner=ALIE), True),
        (attacks.Sybils(inner=ALIE, join=0), True),
        (attacks.FalseAlarms(inner=ALIE), True),
        (attacks.SilentAlarms(inner=attacks.MinMax()), True),
        (attacks.Schedule({0: ALIE, 1: attacks.IPM()}), True),
        (attacks.RandomSchedule((ALIE, attacks.MinMax())), True),
        (attacks.Groups((ALIE, attacks.IPM())), True),
        (attacks.Maximise(attacks.IPM, over="epsilon", candidates=2, zooms=0), True),
        (attacks.Sybils(inner=attacks.Schedule({0: attacks.Groups([ALIE])}), join=0), True),
        (attacks.Schedule({1: ALIE}), False),  # before that they behave
        (attacks.Schedule({0: ALIE, 5: attacks.NoAttack()}), False),
        (attacks.Groups((ALIE, attacks.SignFlip())), False),
        (attacks.ByzMean(inner=attacks.ALIE(knows="own")), False),
        (attacks.Sybils(inner=attacks.ALIE(knows="all"), join=0), False),
    ],
    ids=repr,
)
def test_clients_are_spared_work_that_nobody_would_look_at(
    attack: attacks.Attack, spared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what comes out is the same as if they had worked."""

    def run() -> tuple[torch.Tensor, int]:
        simulation = fw.Simulation(
            model=sim.MODELS["linear"],
            data=sim.federate(sim.load("fashion-mnist-subset"), clients=6),
            rule=rules.Mean(),
            attack=attack,
            byzantine=2,
            clients=clients.Gradient(batch_size=4),
        )
        asked: list[int] = []
        messages = simulation.backend.messages

        def counted(algorithm: Any, tasks: Any, rows: Any) -> Any:
            asked.append(len(tasks))
            return messages(algorithm, tasks, rows)

        monkeypatch.setattr(simulation.backend, "messages", counted)
        for _ in simulation.run(rounds=2, evaluate_every=2):
            pass
        return simulation.progress.parameters, min(asked)

    parameters, working = run()
    assert working == (4 if spared else 6)
    monkeypatch.setattr(type(attack), "traits", lambda attack: replace(attack.declared, knows="all"))
    worked, everybody = run()
    assert everybody == 6
    torch.testing.assert_close(parameters, worked, rtol=0, atol=0)
