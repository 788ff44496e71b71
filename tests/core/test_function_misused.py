"""What is wrong with a plain function, or with what it returns, gets a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import fedward as fw
from fedward import mixers, rules
from fedward.core import Context, apply, step_or_skip
from fedward.failures import ContractError, FunctionError
from fedward.registry.notation import parse
from fedward.stack import Dense
from fedward.testing import check_rule
from tests.core.test_function import median, stack, turned

pytestmark = pytest.mark.usefixtures("functions_of_mine")

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
    "an error": (
        lambda G: G @ G,
        FunctionError,
        "raised RuntimeError, .*in <lambda>, .*test_function_misused.py, line",
    ),
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
        (lambda: parse("functions_of_mine.trim"), "is a function, which is a rule or an attack where"),
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
