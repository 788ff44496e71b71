"""Plain functions as rules and attacks: they do what others do, wherever others are, and what is wrong is said."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import fedward as fw
from fedward import attacks, clients, mixers, redteam, rules, sim
from fedward.core import Context, apply, reads, step_or_skip
from fedward.experiments.spec import make_spec
from fedward.failures import ContractError, FunctionError
from fedward.registry.notation import describe, parse
from fedward.stack import Dense
from fedward.testing import QuadraticEvaluator, check_attack, check_rule

OWN = '''
from functools import partial
import numpy as np
import fedward as fw

def trim(G, f):
    """Trimmed mean."""
    return G.sort(0).values[f : len(G) - f].mean(0)

one = partial(trim, f=1)
krum = fw.rules.Krum(f=2)

@fw.rule(numpy=True, minimum=3)
def quantile(G, q: float = 0.5):
    return np.quantile(G, q, axis=0)

@fw.attack
def back(honest, own, z: float = 2.0):
    return -z * honest.mean(0)

def load(count: int = 20):
    return count

def nothing():
    return 1

def noisy(honest, own):
    return own * 3
'''


@pytest.fixture(autouse=True, scope="module")
def _own(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("own")
    (folder / "functions_of_mine.py").write_text(OWN)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield


def stack(n: int = 9, d: int = 30, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def median(G: Tensor) -> Tensor:
    return G.median(0).values


@fw.rule
def middle(G: Tensor) -> Tensor:
    return G.median(0).values


@fw.attack
def turned(honest: Tensor, own: Tensor) -> Tensor:
    return -honest.mean(0)


@dataclass(frozen=True)
class Trim:
    f: int

    def __call__(self, G: Tensor) -> Tensor:
        return G.sort(0).values[self.f : -self.f].mean(0)


class Bare:
    def __call__(self, G: Tensor) -> Tensor:
        return G.mean(0)


# --- it is a rule --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_equals_the_rule_of_the_same_formula(dtype: torch.dtype) -> None:
    G = stack(dtype=dtype)
    before = G.clone()
    for made in (fw.rule(median), middle, fw.rule(numpy=True)(lambda G: np.median(G, axis=0))):
        output = made(G)
        assert output.dtype == dtype
        assert torch.equal(output, rules.Median()(G))
    assert torch.equal(G, before)


def test_arrays_come_back_as_arrays() -> None:
    G = stack().numpy()
    output = middle(G)
    assert isinstance(output, np.ndarray)
    assert np.array_equal(output, np.median(G, axis=0))


def test_a_verdict_says_who_took_part_and_no_weights() -> None:
    G = stack()
    G[3, 4] = torch.nan
    result = fw.Aggregator(middle)([{"a": row[:10].reshape(2, 5), "b": row[10:]} for row in G])
    assert result.weights is None
    assert result.accepted.tolist() == [i != 3 for i in range(9)]
    assert result.reasons[3] is fw.Reason.NONFINITE
    assert "nonfinite" in result.table()
    rest = torch.cat([G[:3], G[4:]])
    assert torch.equal(result.state_dict()["a"], median(rest)[:10].reshape(2, 5))


@pytest.mark.parametrize(
    "front",
    [mixers.NNM(f=2), mixers.Bucketing(s=2), mixers.ClipNorm(radius="median") >> mixers.NNM(f=1), rules.MultiKrum(f=2)],
    ids=repr,
)
def test_after_mixers_and_filters_it_sees_what_any_rule_sees(front: Any) -> None:
    G = stack()
    G[0] = torch.inf
    own, usual = (fw.Aggregator(front >> rule)(G) for rule in (fw.rule(lambda G: G.mean(0)), rules.Mean()))
    torch.testing.assert_close(own.output, usual.output)
    assert own.reasons == usual.reasons
    assert own.accepted.tolist() == usual.accepted.tolist()


def test_within_wrappers() -> None:
    G = stack(n=12)
    for make in (
        lambda rule: rules.Hierarchical(base=rule, size=4),
        lambda rule: rules.Hierarchical(base=rule, size=4, then=rules.Krum(f=0)),
        lambda rule: rules.ClassWise(base=rule),
        lambda rule: rules.DeMoA(base=rule),
    ):
        own, usual = (fw.Aggregator(make(rule)) for rule in (fw.rule(lambda G: G.mean(0)), rules.Mean()))
        for seed in range(3):
            torch.testing.assert_close(own(G + seed).output, usual(G + seed).output)


def test_it_says_that_it_holds_the_whole_stack() -> None:
    assert not rules.Krum(f=1).traits().in_memory
    for rule in (middle, mixers.NNM(f=1) >> middle, rules.SignGuard() >> middle, rules.Hierarchical(base=middle)):
        assert rule.traits().in_memory
    assert reads(middle) == ("the whole stack",)
    assert middle.traits().properties == frozenset()


def test_the_suites_pass() -> None:
    check_rule(fw.rule(lambda G: G.mean(0)), oracle=lambda G: G.mean(0))
    check_rule(fw.rule(partial(torch.quantile, q=0.5, dim=0), minimum=3))
    check_attack(turned)


def test_the_fewest_rows_are_counted_without_those_that_are_not_finite() -> None:
    rule = fw.rule(median, minimum=4)
    rule(stack(4))
    G = stack(4)
    G[0, 0] = torch.nan
    with pytest.raises(fw.BoundError, match="n >= 4 clients, got 3"):
        rule(G)


# --- it is an attack -----------------------------------------------------------------------------------------


def test_an_attack_equals_the_one_of_the_same_formula() -> None:
    honest, own = stack(), stack(3, seed=1)
    expected = attacks.IPM(epsilon=1.0)(honest, own)
    torch.testing.assert_close(turned(honest, own), expected)
    assert torch.equal(fw.attack(lambda honest, own: -own)(honest, own), attacks.SignFlip()(honest, own))
    forged = fw.attack(lambda honest, own: -np.mean(honest, axis=0), numpy=True)(honest.numpy(), own.numpy())
    assert isinstance(forged, np.ndarray)
    np.testing.assert_allclose(forged, expected)


def test_in_a_simulation_they_are_what_their_formulas_are() -> None:
    data = sim.federate(sim.load("fashion-mnist-subset"), clients=7)
    outcomes = []
    for rule, attack in ((fw.rule(median), turned), (rules.Median(), attacks.IPM(epsilon=1.0))):
        simulation = fw.Simulation(
            model=lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10)),
            data=data,
            rule=rule,
            attack=attack,
            byzantine=1,
            clients=clients.Gradient(batch_size=20),
            server=fw.ServerSGD(lr=0.1),
            threads=1,
        )
        outcomes.append([(r.loss, r.skipped, r.accepted) for r in simulation.run(rounds=2, evaluate_every=1)])
    (first, second) = outcomes
    assert [told[1:] for told in first] == [(None, (True,) * 7)] * 2
    np.testing.assert_allclose([told[0] for told in first], [told[0] for told in second], rtol=1e-4)


def test_the_red_team_plays_them() -> None:
    stacks = [stack(13, seed=seed, dtype=torch.float32) + 1 for seed in range(3)]
    captured = [redteam.Captured(rows=G, previous=None, evaluator=QuadraticEvaluator(30)) for G in stacks]
    own = redteam.play(fw.rule(median), turned, captured, 3)
    usual = redteam.play(rules.Median(), attacks.IPM(epsilon=1.0), captured, 3)
    assert own.kappa == pytest.approx(usual.kappa)
    searched = parse("maximise:attack=ipm,over=epsilon,bounds=(0, 5),candidates=3,zooms=0", "attack")
    assert redteam.play(fw.rule(median), searched, captured, 3).kappa >= own.kappa * (1 - 1e-6)


# --- by name, and in other processes --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("functions_of_mine:trim:f=2", "functions_of_mine.trim:f=2"),
        ("functions_of_mine.one", "functions_of_mine.trim:f=1"),
        ("functions_of_mine:one:f=2", "functions_of_mine.trim:f=2"),
        ("functions_of_mine:quantile", "functions_of_mine.quantile"),
        ("functions_of_mine:quantile:q=0.25", "functions_of_mine.quantile:q=0.25"),
        ("functions_of_mine:krum", "krum:f=2"),
        ("nnm:f=2 >> functions_of_mine.trim:f=1", "nnm:f=2 >> functions_of_mine.trim:f=1"),
        ("sign-guard >> functions_of_mine.quantile", "sign-guard >> functions_of_mine.quantile"),
        ("hierarchical:base=functions_of_mine.one,size=3", "hierarchical:base=(functions_of_mine.trim:f=1),size=3"),
    ],
)
def test_by_import_path(text: str, written: str) -> None:
    rule = parse(text, "rule")
    assert isinstance(rule, fw.Rule)
    assert parse(describe(rule), "rule") == rule == parse(written, "rule")
    again = pickle.loads(pickle.dumps(rule))
    assert again == rule
    assert repr(again) == repr(rule)
    assert torch.equal(again(stack()), rule(stack()))


def test_attacks_by_import_path() -> None:
    attack = parse("functions_of_mine:back:z=3", "attack")
    assert describe(attack) == "functions_of_mine.back:z=3"
    assert pickle.loads(pickle.dumps(attack)) == attack
    assert torch.equal(parse("functions_of_mine:noisy", "attack")(stack(), stack(2)), 3 * stack(2))


def test_an_f_that_is_not_given_is_the_number_of_byzantine_clients() -> None:
    spec = make_spec({"rule": "functions_of_mine:trim", "clients": 10, "byzantine": 3, "data": "fashion-mnist-subset"})
    assert describe(spec.make_rule()) == "functions_of_mine.trim:f=3"


def test_what_others_read_is_the_same_everywhere() -> None:
    assert repr(fw.rule(partial(median), minimum=3)) == f"rule({__name__}.median, minimum=3)"
    line = test_what_others_read_is_the_same_everywhere.__code__.co_firstlineno + 3
    assert repr(fw.rule(lambda G: G.mean(0))).endswith(f"<lambda> (line {line}))")
    assert repr(fw.rule(Trim(f=2))) == "rule(Trim(f=2))"
    assert repr(fw.rule(partial(Trim.__call__, Trim(f=2)))) == f"rule({__name__}.Trim.__call__ of Trim(f=2))"
    assert repr(fw.rule(Bare())) == f"rule({__name__}.Bare)"
    saved = fw.Aggregator(middle).state_dict()
    fw.Aggregator(pickle.loads(pickle.dumps(middle))).load_state_dict(saved)
    with pytest.raises(ValueError, match="saved with rule"):
        fw.Aggregator(fw.rule(median, minimum=2)).load_state_dict(saved)
    assert pickle.loads(pickle.dumps(middle)) is middle
    assert pickle.loads(pickle.dumps(replace(middle, minimum=5))) == replace(middle, minimum=5)
    # Options that stand nowhere but here would be lost by the path.
    assert describe(fw.rule(median, minimum=3)) == repr(fw.rule(median, minimum=3))


def test_a_function_is_registered_as_a_class_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedward.registry.entries._ENTRIES", dict(fw.registry.entries._ENTRIES))
    fw.register("middle-of-mine", paper="mine")(middle)
    (entry,) = (entry for entry in fw.catalogue("rule") if entry.name == "middle-of-mine")
    assert fw.build("middle-of-mine") is middle
    assert (entry.bound, entry.passes, reads(entry.build())) == ("n >= 1", 2, ("the whole stack",))


# --- what is wrong is said ------------------------------------------------------------------------------------

WRONG: dict[str, tuple[Callable[..., Any], type[Exception], str]] = {
    "nothing": (lambda G: None, ContractError, "returned None.*must end in return"),
    "all rows": (lambda G: G, ContractError, r"returned shape \(4, 6\).*with .mean\(0\)"),
    "one row, in two dimensions": (lambda G: G[:1], ContractError, r"\(1, 6\).*reshape\(-1\)"),
    "weights": (lambda G: G.norm(dim=1), ContractError, r"shape \(4,\).*weights @ G"),
    "a number": (lambda G: G.mean(), ContractError, r"shape \(\).*G.mean\(0\)"),
    "a float": (lambda G: 3.0, ContractError, "the number 3.0"),
    "too few": (lambda G: G[0, :3], ContractError, r"shape \(3,\).*as many numbers as G has columns"),
    "values and places": (lambda G: G.median(0), ContractError, r"a tuple.*return its \.values"),
    "a list": (lambda G: list(G), ContractError, "a list.*torch.stack"),
    "a rule": (lambda G: rules.Mean(), ContractError, "returned a rule.*what that makes of the rows"),
    "text": (lambda G: "0", ContractError, "a str.*return a tensor or an array"),
    "an array of text": (lambda G: np.array(["a"] * 6), ContractError, r"array of <U1.*\.astype\(float\)"),
    "whole numbers": (lambda G: G[0].long(), ContractError, r"int64.*\.to\(G\.dtype\)"),
    "another device": (lambda G: torch.zeros(6, device="meta"), ContractError, "on meta.*device=G.device"),
    "a sparse tensor": (lambda G: G[0].to_sparse(), ContractError, r"sparse_coo.*\.to_dense\(\)"),
    "written": (lambda G: G.sub_(1).mean(0), ContractError, r"wrote to G.*G = G\.clone\(\)"),
    "not finite": (lambda G: G[0] / 0, FunctionError, "NaN or Inf in 6 of 6 entries.*divides by zero"),
    "too large": (lambda G: G[0].double() * 1e200, FunctionError, "NaN or Inf"),
    "an error": (lambda G: G @ G, FunctionError, "raised RuntimeError, .*in <lambda>, .*test_function.py, line"),
    "of NumPy": (lambda G: G.astype(float), FunctionError, r"'astype'.*fedward\.rule\(\.\.\., numpy=True\)"),
}


@pytest.mark.filterwarnings("ignore:.*sparse")
@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_row_gets_a_sentence(what: str) -> None:
    function, kind, said = WRONG[what]
    G = stack(4, 6, dtype=torch.float32)
    before = G.clone()
    with pytest.raises(kind, match=said) as told:
        fw.rule(function)(G)
    assert "where a rule makes one row, (6,), of G (4, 6), a float32 tensor" in str(told.value)
    assert "\n" not in str(told.value)
    assert torch.equal(G, before)


FORGED: dict[str, tuple[Callable[..., Any], type[Exception], str]] = {
    "nothing": (lambda honest, own: None, ContractError, "returned None"),
    "honest rows": (lambda honest, own: honest, ContractError, r"shape \(4, 6\).*as many as own has"),
    "one row, in two dimensions": (lambda honest, own: own[:1], ContractError, r"return its \[0\]"),
    "too few": (lambda honest, own: own[:2], ContractError, "return 3 rows, or one"),
    "written": (lambda honest, own: own.neg_(), ContractError, r"own = own\.clone\(\)"),
    "not finite": (lambda honest, own: own / 0, FunctionError, "NonFinite"),
}


@pytest.mark.parametrize("what", FORGED)
def test_what_is_no_forgery_gets_a_sentence(what: str) -> None:
    function, kind, said = FORGED[what]
    with pytest.raises(kind, match=said) as told:
        fw.attack(function)(stack(4, 6), stack(3, 6))
    assert "(3, 6), or one that all of them send, (6,), of honest (4, 6) and own (3, 6)" in str(told.value)


def test_an_array_cannot_be_written_to() -> None:
    with pytest.raises(FunctionError, match=r"read-only.*work on a \.copy\(\)"):
        fw.rule(lambda G: G.sort(axis=0), numpy=True)(stack())


def test_what_clients_may_have_caused_ends_no_run() -> None:
    def careful(G: Tensor) -> Tensor:
        if bool((G > 100).any()):
            raise ValueError("something is odd")
        return G.mean(0)

    G = stack()
    G[0] = 1e6
    skipped = step_or_skip(fw.rule(careful), Dense(G), {}, Context())
    assert "raised ValueError, 'something is odd'" in skipped.why  # type: ignore[union-attr]
    with pytest.raises(ContractError):
        step_or_skip(fw.rule(lambda G: None), Dense(G), {}, Context())

    def refusing(G: Tensor) -> Tensor:
        raise fw.BoundError("these are too few for me")

    with pytest.raises(fw.BoundError, match=r"^these are too few for me$"):
        apply(fw.rule(refusing), Dense(G), {}, Context())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: fw.rule(lambda G, f: G), r"must be told f besides the rows: bind it, .*functools\.partial"),
        (lambda: fw.rule(lambda: 1), "takes too few arguments: as a rule it is called with the rows"),
        (lambda: fw.attack(lambda honest: honest), "called with the honest rows and the byzantine clients' own"),
        (lambda: fw.rule(3), "of a function, got 3"),
        (lambda: fw.rule(rules.Krum), "of a function, got <class"),
        (lambda: fw.rule(rules.Median()), r"Median\(\) is a rule already"),
        (lambda: fw.rule(turned), "is an attack already"),
        (lambda: fw.Aggregator(median), r"fedward\.rule makes one of a function"),
        (lambda: rules.Hierarchical(base=median), r"fedward\.rule makes one of a function"),
        (lambda: mixers.NNM(f=1) >> median, r"median is a function, .*fedward\.rule makes one of it"),
        (lambda: rules.SignGuard() >> median, r"fedward\.rule makes one of it"),
        (lambda: rules.SignGuard() >> mixers.NNM(f=1) >> median, r"fedward\.rule makes one of it"),
        (lambda: check_rule(median), r"fedward\.rule makes one of a function"),
        (lambda: parse("functions_of_mine.trim"), r"fedward\.rule and fedward\.attack make one of a function"),
        (lambda: parse("functions_of_mine.trim", "rule"), "needs f, for example functions_of_mine.trim:f=2"),
        (lambda: parse("functions_of_mine.trim:g=1", "rule"), "Valid names: f"),
        (lambda: parse("functions_of_mine.quantile:q=x", "rule"), "q is a number, got 'x'"),
        (
            lambda: parse("functions_of_mine.load", "rule"),
            "not a rule: count: int = 20 is where load would get the rows",
        ),
        (lambda: parse("functions_of_mine.nothing", "attack"), "is not an attack: nothing.* takes too few arguments"),
        (lambda: parse("functions_of_mine.back", "rule"), "is an attack, a rule is needed"),
        (lambda: parse("functions_of_mine.quantile >> median", "rule"), "drops no clients"),
    ],
)
def test_what_is_no_such_function_is_refused(make: Callable[[], Any], said: str) -> None:
    with pytest.raises((TypeError, ValueError), match=said):
        make()


def test_the_file_of_a_mistake_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mistaken.py").write_text("def f(G):\n    return unknown\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(FunctionError, match=r"raised NameError, .*in f, .*mistaken\.py, line 2"):
        parse("mistaken:f", "rule")(stack())
