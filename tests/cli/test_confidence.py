"""The f of a specification: with what confidence it is expected, whether anybody knows it, and shares."""

from __future__ import annotations

from itertools import combinations

import pytest

import fedward as fw
from fedward.experiments.expected import Answers
from fedward.experiments.spec import SpecError, each_rule, make_spec
from tests.cli.test_cli import QUICK, invoke

HALF = {"clients": 12, "byzantine": 3, "participation": 0.5}


@pytest.mark.parametrize("confidence", [0.3, 0.5, 0.9, 0.99, 0.999])
def test_f_is_the_least_number_with_that_confidence(confidence: float) -> None:
    rounds = list(combinations(range(12), 6))
    share = [sum(sum(client < 3 for client in drawn) <= f for drawn in rounds) / len(rounds) for f in range(4)]
    least = next(f for f in range(4) if share[f] >= confidence - 1e-12)
    answers = Answers.of(**{**HALF, "dropout": 0.0, "late": 0.0, "confidence": confidence})  # type: ignore[arg-type]
    assert answers.worst == max(least, answers.mean)
    spec = make_spec({**HALF, "rule": "cge", "confidence": confidence})
    assert spec.resolved()["rule"] == f"cge:f={answers.worst}"
    assert make_spec({**HALF, "rule": {"name": "cge"}, "confidence": confidence}).rule == f"cge:f={answers.worst}"


def test_what_it_was_chosen_for_is_said_with_how_often_it_is_exceeded() -> None:
    warning = make_spec({**HALF, "rule": "cge", "confidence": 0.9}).warning
    assert "in 9.1 % of the rounds more than f = 2" in warning
    assert warning.endswith("f is chosen for a confidence of 90 %.")
    assert make_spec({**HALF, "rule": "cge", "confidence": 0.99}).warning == ""  # f = 3 is never exceeded
    assert "chosen" not in make_spec({**HALF, "rule": "cge:f=2"}).warning
    fewer = make_spec({"clients": 50, "byzantine": 10, "participation": 0.2, "rule": "multi-krum"}).warning
    assert fewer.endswith("A confidence of 99 % needs f = 5; of 10 the rule takes less.")


def test_runs_that_differ_in_how_f_was_found_alone_are_one_run() -> None:
    given = make_spec({**HALF, "rule": "cge:f=2"})
    assert make_spec({**HALF, "rule": "cge", "confidence": 0.9}).name() == given.name()
    assert make_spec({**HALF, "rule": "cge:f=2", "f": "unknown"}).name() == given.name()


def test_rules_that_need_an_unknown_f_are_refused_with_those_that_do_not() -> None:
    assert make_spec({"rule": "sign-guard >> median", "f": "unknown"}).resolved()["rule"] == "sign-guard >> median"
    assert make_spec({"rule": "krum:f=0.2", "f": "unknown"}).resolved()["rule"] == "krum:f=0.2"
    with pytest.raises(SpecError, match=r"nnm >> krum needs f, and f is unknown: .* median, .* sign-guard,"):
        make_spec({"rule": "nnm >> krum", "f": "unknown"})
    with pytest.raises(SpecError, match="needs f, and f is unknown"):
        make_spec({"rule": {"name": "krum"}, "f": "unknown"})
    with pytest.raises(SpecError, match="unknown argument of krum 'g'"):
        make_spec({"rule": "krum:g=1", "f": "unknown"})
    specs, refused = each_rule(["all"], lambda rule: make_spec({"rule": rule, "f": "unknown"}), None)
    assert set(refused) == {entry.name for entry in fw.catalogue("rule", packaged=True) if entry.needs_f}
    assert "median" in specs
    with pytest.raises(ValueError, match="got 'unknown'; where nobody knows f, take a rule that needs none"):
        fw.parse("krum:f=unknown")


def test_shares_are_held_against_every_number_of_answers() -> None:
    spec = make_spec({**HALF, "rule": "trimmed-mean:f=0.4"})
    assert "more than f = 2 of them" in spec.warning
    # f = 0.4 of 8 answers is 3, which takes 9; of 7 it is 2, which takes 7. One is late of 8, and none of 7.
    with pytest.raises(SpecError, match="f = 3 of 8 rows"):
        make_spec({"clients": 8, "byzantine": 2, "late": 0.13, "rule": "krum:f=0.4"})


def test_the_command_line_has_both(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    options = ["--rule", "cge", "--participation", "0.5", "--confidence", "0.5"]
    text = invoke("run", *QUICK, *options, "--rounds", "1")
    assert "f is chosen for a confidence of 50 %" in " ".join(text.split())
    assert "f is unknown" in invoke("run", *QUICK, "--rounds", "1", "--rule", "krum", "--f", "unknown", code=2)


def test_the_f_of_a_rule_on_all_clients_rows_is_about_all_clients() -> None:
    spec = make_spec({**HALF, "rule": "de-moa:base=trimmed-mean"})
    assert spec.resolved()["rule"] == "de-moa:base=trimmed-mean:f=3"
    assert spec.warning == ""
