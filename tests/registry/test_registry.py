"""The catalogue, building by name, and components as text."""

import inspect
import itertools
import re
from dataclasses import dataclass, field, fields, is_dataclass

import pytest
import torch

import fedward as fw
from fedward import attacks, mixers, rules
from fedward.core import Chain, Mixers, reads
from fedward.registry import entries as registry
from fedward.registry.component import Component
from fedward.registry.entries import find, name_of

ENTRIES = {entry.name: entry for kind in fw.registry.entries.KINDS[:4] for entry in fw.catalogue(kind, packaged=True)}
MODULES = {"rule": rules, "mixer": mixers, "attack": attacks}
POSITIONAL = {  # what they are made of comes first, as in Schedule({0: NoAttack(), 50: MinMax()})
    "schedule": ["attacks"],
    "random-schedule": ["attacks"],
    "groups": ["attacks"],
    "maximise": ["attack"],
}


def public(kind):
    """The concrete components that a module names in __all__, by class."""
    found = (getattr(MODULES[kind], name) for name in MODULES[kind].__all__)
    return {cls for cls in found if inspect.isclass(cls) and issubclass(cls, Component) and not inspect.isabstract(cls)}


def kebab(name):
    """SignGuardSim is sign-guard-sim, ALIE is alie, DnC is dnc."""
    return re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", "-", name).lower()


@pytest.mark.parametrize("kind", MODULES)
def test_the_catalogue_has_all_that_is_public(kind):
    assert {entry.cls for entry in ENTRIES.values() if entry.kind == kind} == public(kind)
    assert all(entry.kind == kind for entry in fw.catalogue(kind))


@pytest.mark.parametrize("name", ENTRIES)
def test_a_line_of_the_catalogue(name):
    entry = ENTRIES[name]
    assert name == kebab(entry.cls.__name__) or entry.kind == "client"
    assert entry.paper
    assert entry.summary
    assert entry.summary.endswith((".", ":"))
    assert re.match(r"O\(.+\)", entry.complexity)
    assert is_dataclass(entry.cls)
    assert entry.cls.__dataclass_params__.frozen
    assert [f.name for f in fields(entry.cls) if not f.kw_only] == POSITIONAL.get(name, [])
    made = entry.build()
    assert type(made) is entry.cls
    assert name_of(made) == name
    assert made == entry.build()
    assert hash(made) == hash(entry.build())
    if entry.kind == "rule":
        assert entry.bound.startswith("n >= ")
        assert entry.passes is None or entry.passes >= 2
        assert entry.history == made.traits().history
        assert entry.root_data == made.traits().root_data
        assert entry.needs_f == ("f" in entry.arguments)
        assert ("f" in entry.bound.removeprefix("n >= ")) <= entry.needs_f


def test_the_order_of_the_catalogue():
    found = [(entry.kind, entry.name) for entry in fw.catalogue()]
    assert found == sorted(found, key=lambda e: (registry.KINDS.index(e[0]), e[1]))
    assert reads(fw.build("krum", f=1)) == ("gram",)
    assert reads(rules.Mean()) == ()
    assert find("sign-guard-sim").history
    assert not find("sign-guard").history
    assert find("bulyan").bound == "n >= 4f + 3"


# --- building -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sign-guard", "SignGuard", "signguard", "sign_guard", "Sign-Guard", "SIGNGUARD"])
def test_names_are_compared_without_hyphens_and_case(name):
    assert fw.build(name, lower=0.2) == rules.SignGuard(lower=0.2)


@pytest.mark.parametrize("name", ENTRIES)
def test_build_by_name(name):
    entry = ENTRIES[name]
    assert fw.build(name, **entry.example) == entry.build()
    with pytest.raises(ValueError, match=f"unknown argument of {name} 'nonsense'") as caught:
        fw.build(name, nonsense=1, **entry.example)
    listed = re.findall(r"\w+", str(caught.value).partition("Valid names: ")[2].partition(" and ")[0])
    assert len(listed) == min(len(entry.arguments) or 1, 5)
    assert set(listed) <= {*entry.arguments, "none"}
    required = [a for a, default in entry.arguments.items() if default is ...]
    if required:
        with pytest.raises(ValueError, match=f"{name} needs {', '.join(required)}, for example {name}:{required[0]}="):
            fw.build(name)


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("krun", "krum"),
        ("multikrun", "multi-krum"),
        ("sign_gard", "sign-guard"),
        ("Medain", "median"),
        ("mim-max", "min-max"),
    ],
)
def test_unknown_names_list_the_nearest_valid_ones(wrong, near):
    with pytest.raises(ValueError, match=f"unknown name '{wrong}'; did you mean '{near}'") as caught:
        fw.build(wrong)
    assert f"Valid names: {near}, " in str(caught.value)
    assert str(caught.value).endswith(" others (fedward list)")


def test_unknown_arguments_list_the_valid_ones_with_the_nearest():
    with pytest.raises(
        ValueError, match=r"'iteration'; did you mean 'iterations'\? Valid names: iterations, filter, f"
    ):
        fw.build("dnc", f=1, iteration=3)
    with pytest.raises(ValueError, match=r"unknown name 'zzzzz'\. Valid names: "):
        fw.build("zzzzz")


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("krum", {"f": -1}, "whole number of at least 0 .*, got -1"),
        ("krum", {"f": "two"}, "got 'two'"),
        ("sign-guard", {"lower": 4.0}, "lower=4.0 and upper=3.0"),
        ("sign-guard", {"lower": "a"}, "lower is a number of at least 0, got 'a'"),
        ("dnc", {"f": 1, "iterations": 0}, "iterations is a whole number from 1 to 10000, got 0"),
        ("min-max", {"direction": "up"}, "direction is one of std, unit, sign, got 'up'"),
        ("clip-norm", {"radius": 0}, "radius is a number above 0 or 'median', got 0"),
        ("clip-norm", {"radius": "mean"}, "got 'mean'"),
    ],
)
def test_arguments_out_of_bounds(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        fw.build(name, **arguments)


# --- third parties ------------------------------------------------------------------------------------------


def test_a_third_party_rule_is_found_everywhere(monkeypatch):
    monkeypatch.setattr(registry, "_ENTRIES", dict(registry._ENTRIES))

    @fw.register("test-only-first-row", paper="Nobody 2024", complexity="O(d)")
    @dataclass(frozen=True, kw_only=True)
    class FirstRow(fw.Rule):
        """The first row of all."""

        f: int
        extra: float = 2.0

        def decide(self, updates, state, context):
            return fw.average_of(updates, torch.tensor([0]))

    entry = find("test_only_first_row")
    assert entry in fw.catalogue("rule")
    assert (entry.paper, entry.summary, entry.complexity) == ("Nobody 2024", "The first row of all.", "O(d)")
    assert entry.arguments == {"f": ..., "extra": 2.0}
    assert entry.build() == FirstRow(f=1)
    made = fw.parse("clip-norm:radius=1.5 >> test-only-first-row:f=3")
    assert made == mixers.ClipNorm(radius=1.5) >> FirstRow(f=3)
    assert fw.describe(made) == "clip-norm:radius=1.5 >> test-only-first-row:f=3"
    fw.register("test-only-first-row", paper="Nobody 2025")(FirstRow)  # again, as a reload does
    assert find("test-only-first-row").paper == "Nobody 2025"

    @dataclass(frozen=True, kw_only=True)
    class Other(FirstRow):
        """Another."""

    for name in ("test-only-first-row", "TestOnlyFirstRow", "krum"):
        with pytest.raises(ValueError, match="is taken by"):
            fw.register(name, paper="-")(Other)
    assert find("test-only-first-row").cls is FirstRow
    assert find("krum").cls is rules.Krum
    assert fw.describe(Other(f=1)) == repr(Other(f=1))  # no name, so no text to make it of


# --- text ---------------------------------------------------------------------------------------------------


def test_lists_of_rules_are_parsed():
    made = rules.RobustTailor(
        rules=(
            mixers.NNM(f=2) >> rules.Krum(f=2),
            rules.LossRejection(f=1, base=mixers.ClipNorm(radius=2.0) >> rules.Median()),
            rules.RobustTailor(rules=(rules.Mean(),)),
        ),
        probabilities=(0.5, 0.25, 0.25),
    )
    text = fw.describe(made)
    assert fw.parse(text) == made
    assert fw.parse("robust-tailor:rules=(nnm >> krum | mean)", f=2).rules[0] == made.rules[0]
    assert fw.parse({"name": "robust-tailor", "rules": ["median", "krum:f=1"]}).rules[1] == rules.Krum(f=1)


def test_a_chain_of_mixers_is_the_same_chain_however_it_is_put_together():
    """What looks the same must draw the same random numbers: checkpoints go by how a rule looks."""

    @dataclass(frozen=True, kw_only=True)
    class Shuffle(fw.Mixer):
        def matrix(self, updates, context):
            return torch.rand(updates.n, updates.n, generator=context.generator(), dtype=torch.float64)

    a, b, rule = mixers.ClipNorm(radius=100.0), Shuffle(), rules.Mean()
    G = torch.randn(5, 20, generator=torch.Generator().manual_seed(0))
    one, other = (a >> b) >> rule, a >> (b >> rule)
    assert repr(one) == repr(other)
    assert torch.equal(one(G), other(G))
    assert not torch.equal(one(G), (b >> a >> rule)(G))  # there is something to tell apart


def test_arguments_of_any_name_that_take_components_are_parsed_as_such(monkeypatch):
    monkeypatch.setattr(registry, "_ENTRIES", dict(registry._ENTRIES))

    @fw.register("test-only-pair", paper="-")
    @dataclass(frozen=True, kw_only=True)
    class Pair(fw.Rule):
        """One rule, then others; ``base`` is a number here, and ``table`` a table."""

        first: fw.Rule
        then: tuple[fw.Rule, ...] = ()
        last: fw.Rule | None = None
        by_round: dict[int, fw.Rule] | tuple[tuple[int, fw.Rule], ...] = ()
        base: float = 1.0
        table: dict[str, int] = field(default_factory=dict, hash=False)

        def decide(self, updates, state, context):
            return self.first.decide(updates, state, context)

    made = Pair(first=rules.Krum(f=2), then=(rules.Median(), rules.Mean()), last=rules.Mean(), base=2.5)
    assert fw.describe(made) == "test-only-pair:first=krum:f=2,then=(median | mean),last=mean,base=2.5"
    assert fw.parse(fw.describe(made)) == made
    assert fw.parse("test-only-pair:first=median,last=none") == Pair(first=rules.Median())
    assert fw.parse("test-only-pair:first=median,by_round=(3: mean)").by_round == ((3, rules.Mean()),)
    assert fw.parse({"name": "test-only-pair", "first": "median", "table": {"a": 1}}).table == {"a": 1}
    assert fw.parse({"name": "test-only-pair", "first": {"name": "krum", "f": 2}}).first == rules.Krum(f=2)
    with pytest.raises(ValueError, match="Pair: first is a rule, got 3"):
        fw.parse({"name": "test-only-pair", "first": 3})
    with pytest.raises(ValueError, match="Pair: first is a rule, got ALIE"):
        fw.parse("test-only-pair:first=alie")


def test_text():
    clip = mixers.ClipNorm
    made = fw.parse("clip-norm:radius=median >> krum:f=2")
    assert made == clip(radius="median") >> rules.Krum(f=2)
    assert isinstance(made, Chain)
    assert fw.describe(made) == "clip-norm:radius=median >> krum:f=2"
    assert isinstance(fw.parse("clip-norm:radius=1 >> clip-norm:radius=2"), Mixers)
    assert fw.parse("  krum : f = 2 ".replace(" :", ":")) == rules.Krum(f=2)
    assert fw.parse("median") == rules.Median()
    assert fw.parse("alie:z=none") == attacks.ALIE(z=None)
    assert fw.parse("sign-guard:upper=inf,clip=false") == rules.SignGuard(upper=float("inf"), clip=False)
    assert fw.parse("krum", f=3) == rules.Krum(f=3)
    assert fw.parse("krum:f=1", f=3) == rules.Krum(f=1)
    assert fw.parse("clip-norm:radius=2 >> krum", f=3) == clip(radius=2) >> rules.Krum(f=3)
    assert fw.parse({"name": "multi-krum", "f": 10}) == rules.MultiKrum(f=10)
    assert fw.parse({"name": "byz-mean", "inner": {"name": "alie", "z": 1.0}}).inner == attacks.ALIE(z=1.0)


@pytest.mark.parametrize(
    ("text", "inner", "split"),
    [
        ("byz-mean:inner=(alie:z=1,ddof=1),split=0.8", attacks.ALIE(z=1, ddof=1), 0.8),
        ("byz-mean:split=0.8,inner=(alie:z=1,ddof=1)", attacks.ALIE(z=1, ddof=1), 0.8),
        ("byz-mean:inner=alie:z=1", attacks.ALIE(z=1), 0.5),
        ("byz-mean:inner=(min-max)", attacks.MinMax(), 0.5),
        (
            "byz-mean:inner=(byz-mean:inner=(alie:z=1,ddof=1),split=0.8),split=0.1",
            attacks.ByzMean(inner=attacks.ALIE(z=1, ddof=1), split=0.8),
            0.1,
        ),
        (
            "byz-mean:inner=(byz-mean:split=0.8,inner=(alie:z=1,ddof=1)),split=0.1",
            attacks.ByzMean(inner=attacks.ALIE(z=1, ddof=1), split=0.8),
            0.1,
        ),
    ],
)
def test_attacks_within_attacks(text, inner, split):
    assert fw.parse(text) == attacks.ByzMean(inner=inner, split=split)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("krun:f=2", "did you mean 'krum'"),
        ("krum:g=2", "unknown argument of krum 'g'.* Valid names: f"),
        ("krum", "krum needs f, for example krum:f=2"),
        ("krum:2", "'2' in 'krum:2' is not of the form argument=value"),
        ("dirichlet:0.3", r"not of the form argument=value; did you mean dirichlet:alpha=0\.3\?"),
        ("dirichlet:alpha", "'alpha' in 'dirichlet:alpha' is not of the form argument=value$"),
        ("krum:f=two", "got 'two'"),
        ("krum:f=1,f=2", "f is given more than once in 'krum:f=1,f=2'"),
        ("delayed:base=(krum:f=1,f=1)", "f is given more than once"),
        ("median >> krum:f=1", "drops no clients, so that it cannot stand before Krum"),
        ("alie >> krum:f=1", "alie stands before '>>' in .*, where only mixers and rules that drop clients"),
        ("sign-gard >> median", "did you mean 'sign-guard'"),
        ("krum:f=1 >> clip-norm:radius=1", "ends with the mixer clip-norm:radius=1, and krum:f=1 before it waits"),
        ("", "unknown name ''"),
        ("clip-norm:radius=1 >>", "unknown name ''"),
        ({"f": 2}, "a table needs a name, got only f"),
        ({}, "a table needs a name, got only nothing"),
        ("clip-norm:radius=1 >> alie", "alie"),
    ],
    ids=str,
)
def test_text_that_is_none(spec, message):
    with pytest.raises(ValueError, match=message):
        fw.parse(spec)


@pytest.mark.parametrize(("text", "kind"), [*itertools.product(["median", "clip-norm:radius=1", "alie"], MODULES)])
def test_only_the_kind_that_is_needed(text, kind):
    if find(text.split(":")[0]).kind == kind:
        assert fw.parse(text, kind=kind).kind == kind
    else:
        with pytest.raises(ValueError, match=f"an? {kind} is needed: ") as caught:
            fw.parse(text, kind=kind)
        listed = str(caught.value).partition("is needed: ")[2].partition(" and ")[0].split(", ")
        names = {entry.name for entry in fw.catalogue(kind)}
        assert set(listed) <= names
        assert len(listed) == (len(names) if len(names) <= 5 else 5)
