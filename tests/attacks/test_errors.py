"""Arguments out of their bounds are refused, by name, with the value and the bound; and attacks as text."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan

import pytest
import torch

import fedward as fw
from fedward import attacks, rules
from fedward.attacks import View
from fedward.registry.notation import describe, parse
from fedward.stack import Dense, materialise

GAMMA = {"over": "gamma"}

REFUSED: list[tuple[Callable[[], object], str]] = [
    # knowledge
    *(
        (lambda cls=cls: cls(knows="some"), "knows is one of honest, all, own, got 'some'")
        for cls in (attacks.ALIE, attacks.IPM, attacks.MinMax, attacks.MinSum, attacks.Deviation)
    ),
    *(
        (lambda cls=cls: cls(knows="all"), "knows is one of honest, own, got 'all'")
        for cls in (attacks.FangKrum, attacks.FangTrimmedMean)
    ),
    # directions and deviations
    *(
        (lambda cls=cls: cls(direction="up"), "direction is one of std, unit, sign, got 'up'")
        for cls in (attacks.MinMax, attacks.MinSum, attacks.Deviation)
    ),
    *(
        (lambda cls=cls: cls(ddof=-1), "ddof.*-1")
        for cls in (attacks.ALIE, attacks.MinMax, attacks.MinSum, attacks.Deviation)
    ),
    (lambda: attacks.ALIE(ddof=0.5), "ddof is a whole number of at least 0, got 0.5"),
    # shares, factors, sizes
    (lambda: attacks.ByzMean(split=1.5), "split is a number from 0 to 1, got 1.5"),
    (lambda: attacks.ByzMean(split=-0.1), "split is a number from 0 to 1, got -0.1"),
    (lambda: attacks.ROP(relocate=1.5), r"relocate is a number from 0 to 1, got 1\.5"),
    (lambda: attacks.ROP(reference=-0.5), r"reference is a number from 0 to 1, got -0\.5"),
    (
        lambda: attacks.Scaling(factor=-2),
        "of at least 0 or None, got -2; SignFlip turns rows around",
    ),
    (lambda: attacks.Scaling(factor=inf), "got inf"),
    (lambda: attacks.FangTrimmedMean(b=0.5), "b is a number of at least 1, got 0.5"),
    (lambda: attacks.Random(std=-1.0), r"std.*-1\.0"),
    (lambda: attacks.Gaussian(std=-1.0), r"std.*-1\.0"),
    (lambda: attacks.Noise(std=-1.0), r"std.*-1\.0"),
    (lambda: attacks.NonFinite(value="5"), "value is one of nan, inf, -inf, got '5'"),
    # not numbers, or without bound
    *(
        (lambda cls=cls, name=name: cls(**{name: nan}), f"{name} is a number.*, got nan")
        for cls, name in (
            (attacks.ALIE, "z"),
            (attacks.IPM, "epsilon"),
            (attacks.Deviation, "gamma"),
            (attacks.SignFlip, "scale"),
            (attacks.Scaling, "factor"),
            (attacks.Constant, "value"),
            (attacks.Random, "mean"),
            (attacks.Backdoor, "boost"),
            (attacks.PoisonedFL, "c"),
        )
    ),
    *(
        (lambda cls=cls, name=name: cls(**{name: inf}), f"(?s)(?=.*{name})(?=.*inf)")
        for cls, name in (
            (attacks.ALIE, "z"),
            (attacks.IPM, "epsilon"),
            (attacks.Deviation, "gamma"),
            (attacks.SignFlip, "scale"),
            (attacks.Constant, "value"),
            (attacks.ROP, "z"),
            (attacks.ROP, "angle"),
            (attacks.Random, "std"),
            (attacks.Random, "mean"),
            (attacks.Noise, "std"),
            (attacks.FangTrimmedMean, "b"),
            (attacks.PoisonedFL, "c"),
        )
    ),
    # rounds
    (lambda: attacks.Mimic(warmup=-1), "at least 0, got -1"),
    (lambda: attacks.Mimic(warmup=1.5), "warmup is a whole number of at least 0, got 1.5"),
    (lambda: attacks.PoisonedFL(c=0.0), r"c is a number above 0, got 0\.0"),
    (lambda: attacks.PoisonedFL(every=0), "every is a whole number of at least 1, got 0"),
    (lambda: attacks.Sybils(join=-1), "join.*-1"),
    (lambda: attacks.RandomSchedule([attacks.ALIE()], every=0), "every is a whole number of at least 1, got 0"),
    (lambda: attacks.Schedule({-1: attacks.ALIE()}), r"0 or later.*\[-1\]"),
    (lambda: attacks.Schedule({0.5: attacks.ALIE()}), r"0\.5"),
    (lambda: attacks.Schedule(((0, attacks.ALIE()), (0, attacks.IPM()))), r"each once, got \[0, 0\]"),
    # labels
    (lambda: attacks.LabelFlip(source=1), "go together, got 1 and None"),
    (lambda: attacks.LabelFlip(target=1), "go together, got None and 1"),
    (lambda: attacks.LabelFlip(source=-1, target=2), "-1"),
    (lambda: attacks.LabelFlip(source=2, target=2), "2"),
    (lambda: attacks.TargetedPoisoning(source=1, label=1), "different.*source=1 and label=1"),
    (lambda: attacks.TargetedPoisoning(source=-1, label=1), "source is a whole number of at least 0, got -1"),
    (lambda: attacks.TargetedPoisoning(boost=-1.0), r"boost is a number of at least 0 or None, got -1\.0"),
    (lambda: attacks.Backdoor(boost=-1.0), r"boost is a number of at least 0 or None, got -1\.0"),
    (lambda: attacks.Backdoor(share=1.5), r"share is a number from 0 to 1, got 1\.5"),
    (lambda: attacks.Backdoor(size=0), "size is a whole number of at least 1, got 0"),
    (lambda: attacks.Backdoor(label=-1), "label is a whole number of at least 0, got -1"),
    # attacks of attacks
    (lambda: attacks.Schedule({}), "at least one attack is needed, got none"),
    (lambda: attacks.RandomSchedule([]), "at least one attack"),
    (lambda: attacks.Groups([]), "at least one attack"),
    *(
        (lambda make=make: make(rules.Median()), "(?s)(?=.*attack)(?=.*[Mm]edian)")
        for make in (
            lambda a: attacks.ByzMean(inner=a),
            lambda a: attacks.Sybils(inner=a),
            lambda a: attacks.FalseAlarms(inner=a),
            lambda a: attacks.SilentAlarms(inner=a),
            lambda a: attacks.Schedule({0: a}),
            lambda a: attacks.RandomSchedule([a]),
            lambda a: attacks.Groups([a]),
            lambda a: attacks.Maximise(a, over="f"),
        )
    ),
    # searches
    (lambda: attacks.Maximise(attacks.ALIE, over="x"), "ALIE has no number 'x' to search over, only z"),
    (lambda: attacks.Maximise(attacks.ALIE, over="knows"), "knows"),
    (
        lambda: attacks.Maximise(attacks.Deviation, objective="harm", **GAMMA),
        "objective is one of accepted, distance, regress, got 'harm'",
    ),
    (lambda: attacks.Maximise(attacks.Deviation, bounds=(3, 1), **GAMMA), r"low < high.*bounds=\(3, 1\)"),
    (lambda: attacks.Maximise(attacks.Deviation, bounds=(1, 1), **GAMMA), r"low < high.*bounds=\(1, 1\)"),
    (lambda: attacks.Maximise(attacks.Deviation, bounds=(0, nan), **GAMMA), r"bounds .*got \(0, nan\)"),
    (lambda: attacks.Maximise(attacks.Deviation, bounds=(0, inf), **GAMMA), r"bounds=\(0, inf\)"),
    (lambda: attacks.Maximise(attacks.Deviation, bounds=(0, 1, 2), **GAMMA), r"bounds .*got \(0, 1, 2\)"),
    (lambda: attacks.Maximise(attacks.Scaling, over="factor", bounds=(-1, 1)), "at least 0"),
    (
        lambda: attacks.Maximise(attacks.Deviation, candidates=1, **GAMMA),
        "whole number from 2 to 10000, got 1",
    ),
    (
        lambda: attacks.Maximise(attacks.Deviation, candidates=2.5, **GAMMA),
        "whole number from 2 to 10000, got 2.5",
    ),
]


@pytest.mark.parametrize(
    ("make", "words"),
    [pytest.param(*case, id=f"{i}-{case[1]}") for i, case in enumerate(REFUSED)],
)
def test_refused_when_made(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize(
    "text",
    [
        "alie:z=high",
        "ipm:epsilon=high",
        "scaling:factor=high",
        "constant:value=high",
        "random:std=high",
        "sign-flip:scale=high",
        "fang-trimmed-mean:b=high",
        "poisonedfl:c=high",
        "backdoor:share=high",
        "mimic:warmup=high",
        "sybils:join=high",
        "maximise:attack=ipm,over=epsilon,bounds=high",
        "byz-mean:inner=median",
        "groups:attacks=(alie | median)",
        "schedule:attacks=(0: median)",
        "schedule:attacks=(alie | zero)",
        "false-alarms:inner=(clip-norm:radius=1)",
    ],
)
def test_text_with_something_else_where_a_number_or_an_attack_belongs(text: str) -> None:
    with pytest.raises(ValueError, match=r"high|[Mm]edian|median|clip-norm|ClipNorm|Schedule: attacks is"):
        parse(text, kind="attack")


def test_alie_names_its_numbers_where_z_max_is_infinite() -> None:
    with pytest.raises(ValueError, match=r"z_max is inf for 5 byzantine of 8 clients: give z, for example z=0\.3"):
        attacks.ALIE(z=None)(torch.ones(3, 4), torch.ones(5, 4))
    with pytest.raises(ValueError, match="z_max is -inf for 1 byzantine of 2 clients"):
        attacks.ALIE(z=None)(torch.ones(1, 4), torch.ones(1, 4))


def test_a_search_without_a_defence_does_what_its_docstring_says() -> None:
    """It says: where the rule is not known, the upper bound is played."""
    H = Dense(torch.randn(4, 5, generator=torch.Generator().manual_seed(0)))
    attack = attacks.Maximise(attacks.IPM, over="epsilon", bounds=(0.0, 2.0))
    torch.testing.assert_close(materialise(attack.forge(View(honest=H, own=H)))[0], -2 * materialise(H).mean(0))


# --- text ---------------------------------------------------------------------------------------------------

MADE: list[attacks.Attack] = [
    *(entry.build() for entry in fw.catalogue("attack", packaged=True)),
    attacks.ALIE(z=None, ddof=1, knows="all"),
    attacks.LabelFlip(source=2, target=7),
    attacks.Scaling(factor=None),
    attacks.ROP(z=None, relocate=0.25, angle=270.0),
    attacks.NonFinite(value="-inf"),
    attacks.NonFinite(value="nan"),
    attacks.IPM(epsilon=1e-30, knows="own"),
    attacks.Backdoor(boost=2.5, label=3, share=0.25, size=5),
    attacks.Schedule({7: attacks.NoAttack()}),
    attacks.Schedule({0: attacks.NoAttack(), 50: attacks.MinMax(direction="sign", ddof=1), 80: attacks.NoAttack()}),
    attacks.RandomSchedule([attacks.ALIE(z=1.0, ddof=1)], every=20),
    attacks.Groups([attacks.Mimic(warmup=3), attacks.Zero(), attacks.FangKrum(knows="own")]),
    attacks.Maximise(attacks.IPM, over="epsilon", bounds=(-1, 10), objective="regress", candidates=7),
    attacks.Maximise(attacks.ALIE(ddof=1, knows="all"), over="z", bounds=(0.5, 1e-3 + 1)),
    attacks.ByzMean(inner=attacks.ByzMean(inner=attacks.MinSum(direction="unit"), split=0.8)),
    attacks.FalseAlarms(inner=attacks.SilentAlarms(inner=attacks.TargetedPoisoning(source=4, label=2))),
    attacks.Sybils(
        inner=attacks.Schedule({0: attacks.Groups([attacks.ALIE(), attacks.SignFlip(scale=4.0)]), 3: attacks.Zero()}),
        join=6,
    ),
    attacks.Groups(
        [
            attacks.Schedule({0: attacks.RandomSchedule((attacks.ALIE(), attacks.Zero()), every=2), 9: attacks.IPM()}),
            attacks.Maximise(attacks.ByzMean(inner=attacks.ALIE(z=2, ddof=1)), over="split", bounds=(0, 1)),
            attacks.Groups([attacks.Groups([attacks.Random(std=1.0, mean=2.0)])]),
        ]
    ),
]


@pytest.mark.parametrize("attack", MADE, ids=repr)
def test_text_comes_back_as_the_same_attack(attack: attacks.Attack) -> None:
    text = describe(attack)
    again = parse(text)
    assert again == attack
    assert type(again) is type(attack)
    assert describe(again) == text
    assert repr(again) == repr(attack)  # checkpoints go by it
    assert hash(again) == hash(attack)
    assert parse(text, kind="attack") == attack
    assert parse(f" {text} ") == attack


@pytest.mark.parametrize(
    ("spec", "made"),
    [
        ("schedule:attacks=(50: min-max | 0: no-attack)", {0: attacks.NoAttack(), 50: attacks.MinMax()}),
        (
            {"name": "schedule", "attacks": {"0": "no-attack", "50": "min-max"}},
            {0: attacks.NoAttack(), 50: attacks.MinMax()},
        ),
        ({"name": "schedule", "attacks": {0: {"name": "alie", "z": 1.0}}}, {0: attacks.ALIE(z=1.0)}),
    ],
)
def test_schedules_as_configuration_files_have_them(spec: object, made: dict[int, attacks.Attack]) -> None:
    assert parse(spec) == attacks.Schedule(made)


def test_the_class_of_an_attack_and_one_of_its_kind_are_the_same_search() -> None:
    assert attacks.Maximise(attacks.IPM, over="epsilon") == attacks.Maximise(attacks.IPM(), over="epsilon")
    assert attacks.Maximise(attacks.IPM, over="epsilon", bounds=[0, 1]).bounds == (0, 1)
