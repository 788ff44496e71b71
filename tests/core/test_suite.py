"""A suite goes on after a failure, says of every check what came of it, and is tests of pytest if asked to be."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass

import pytest
import torch

import fedward as fw
from fedward import attacks, rules
from fedward.attacks import View
from fedward.core import Context, Plan, State
from fedward.stack import Updates
from fedward.testing import CHECKS, Check, check_attack, check_rule, check_wrapper

HALF = "output has the input's dtype, device and kind"
COLUMNS = "claimed property columns"


@dataclass(frozen=True, kw_only=True)
class TwiceBroken(fw.Rule):
    """No mean in half precision, and another one for the first column."""

    declared = fw.Traits(properties=frozenset({"columns", "permutation"}))

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        if updates.dtype == torch.bfloat16:
            raise ZeroDivisionError("half of nothing")
        first = next(updates.blocks()).rows[:, :1].double().abs().flatten()
        return Plan(updates, first / first.sum().clamp_min(1e-300))


def test_all_failures_are_in_one_error_whose_cause_is_the_first() -> None:
    outcomes = check_rule(TwiceBroken(), on_fail="report")
    failed = [outcome for outcome in outcomes if not outcome.passed]
    assert {HALF, COLUMNS} < {outcome.name for outcome in failed}
    with pytest.raises(AssertionError) as caught:
        check_rule(TwiceBroken())
    assert str(caught.value).splitlines() == [str(outcome) for outcome in failed]
    assert str(caught.value.__cause__) == failed[0].why


def test_a_report_has_every_check_with_its_name_and_why() -> None:
    outcomes = {outcome.name: outcome for outcome in check_rule(TwiceBroken(), oracle=lambda G: G[0], on_fail="report")}
    assert {check.__doc__ for check in CHECKS} < outcomes.keys()
    assert "equals its oracle on a random stack" in outcomes
    assert outcomes[HALF].why == "ZeroDivisionError: half of nothing"
    assert outcomes[COLUMNS].why.startswith("differ by")
    passed = outcomes["claimed property permutation"]
    assert (passed.passed, passed.why, str(passed)) == (True, "", "claimed property permutation: passed")


def test_what_conforms_reports_no_failure() -> None:
    for outcomes in (check_rule(rules.Mean()), check_attack(attacks.Zero(), on_fail="report")):
        assert outcomes
        assert all(outcome.passed for outcome in outcomes)


def test_an_attack_and_a_wrapper_go_on_after_a_failure_too() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Fails(attacks.Zero):
        def forge(self, view: View) -> Updates:
            raise ZeroDivisionError

        def poison(self, batch: attacks.Batch, context: Context) -> attacks.Batch:
            batch.labels.zero_()
            return batch

    failed = [outcome.name for outcome in check_attack(Fails(), on_fail="report") if not outcome.passed]
    assert failed == ["rows alone", "several rounds", "copies", "data"]

    def refuses_all(part: fw.Rule) -> fw.Rule:
        raise ValueError("none of these")

    refused = check_wrapper(refuses_all, on_fail="report")
    assert len(refused) > 5
    assert not any(outcome.passed for outcome in refused)


@pytest.mark.parametrize("on_fail", ["warn", None])
def test_another_on_fail_is_named(on_fail: str | None) -> None:
    with pytest.raises(ValueError, match=f"on_fail is one of raise, report, got {on_fail!r}"):
        check_attack(attacks.Zero(), on_fail=on_fail)


# --- as tests of pytest -----------------------------------------------------------------------------------------

MARK = fw.testing.parametrize([TwiceBroken(), attacks.Zero()])


def test_there_is_a_test_for_every_check_of_every_component() -> None:
    (parameter, tests), ids = MARK.args, [test.id for test in MARK.args[1]]
    assert parameter == "check"
    assert len(set(ids)) == len(ids)
    assert {f"TwiceBroken(): {COLUMNS}", "Zero(): data", "Zero(): knowledge"} < set(ids)
    by_id = dict(zip(ids, tests, strict=True))
    by_id["Zero(): data"].values[0]()
    with pytest.raises(AssertionError, match=f"^{COLUMNS}: differ by"):
        by_id[f"TwiceBroken(): {COLUMNS}"].values[0]()


@fw.testing.parametrize([rules.Mean()], oracle=lambda G: G.mean(0))
def test_the_mean_is_the_mean(check: Check) -> None:
    check()


def test_something_else_than_a_rule_or_an_attack_is_named() -> None:
    with pytest.raises(TypeError, match="Krum'> is neither a rule nor an attack, with its parameters"):
        fw.testing.parametrize([rules.Krum])


def test_nothing_needs_pytest_but_its_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pytest", "hypothesis"):
        monkeypatch.setitem(sys.modules, name, None)
    for name in [name for name in sys.modules if name.startswith("fedward.testing")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(fw, "testing", None)
    testing = importlib.import_module("fedward.testing")
    testing.check_attack(attacks.Zero())
    with pytest.raises(ImportError):
        testing.parametrize([rules.Mean()])
